"""Processors, memory and accelerators that the steps ask for."""

import json

import pytest
import yaml
from click.testing import CliRunner
from step_pod import step_pod

from components.errors import UserError
from components.train.settings import WORKER_RESOURCES
from pipelines.cli import twotower
from pipelines.compiled import CHECKED_IN
from pipelines.kubeflow.pods import PodSettings


def _apply(**flags):
    return list(yaml.safe_load_all(PodSettings(**flags).apply(CHECKED_IN.read_text("utf-8"))))


def _containers(**flags):
    """The containers of the project's own steps."""
    documents = _apply(**flags)
    executors = documents[0]["deploymentSpec"]["executors"]
    pods = {label.removeprefix("exec-"): step_pod(documents, label) for label in executors}
    return {step: pod["spec"]["containers"][0] for step, pod in pods.items()}


def _resources(**flags):
    return {step: container["resources"] for step, container in _containers(**flags).items()}


_PLAIN = _resources(labels=("a=b",))


def test_a_step_asks_for_what_is_said_and_the_others_as_before():
    asked = _resources(requests=("train:cpu=500m,memory=2Gi",))
    assert asked["train"] == {"requests": {"cpu": "500m", "memory": "2Gi"}, "limits": {"memory": "2Gi"}}
    assert {**asked, "train": None} == {**_PLAIN, "train": None}


def test_what_is_said_of_a_step_holds_over_all_in_any_order():
    asked = _resources(requests=("train:memory=8Gi", "all:cpu=100m,memory=512Mi,limit=1Gi", "train:cpu=2"))
    assert asked["train"] == {"requests": {"cpu": "2", "memory": "8Gi"}, "limits": {"memory": "8Gi"}}
    others = [asked[step] for step in asked if step != "train"]
    assert all(
        one == {"requests": {"cpu": "100m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}} for one in others
    )


def test_the_last_of_two_for_the_same_step_holds():
    asked = _resources(requests=("all:memory=1Gi,limit=2Gi", "all:memory=3Gi"))["train"]
    assert (asked["requests"]["memory"], asked["limits"]["memory"]) == ("3Gi", "3Gi")


def test_a_laptop_holds_the_small_profile():
    for step, asked in _resources(profile="small").items():
        assert asked["requests"] == {"cpu": "100m", "memory": "512Mi"}, step
        assert asked["limits"] == {"memory": "3Gi"}, step
    assert _resources(profile="small", requests=("train:memory=6Gi",))["train"]["limits"] == {"memory": "6Gi"}


def test_old_fields_agree_with_the_new_ones():
    (executor, *_) = (
        one["container"]["resources"]
        for label, one in _apply(requests=("train:cpu=250m,memory=2Gi,limit=4G",))[0]["deploymentSpec"][
            "executors"
        ].items()
        if label == "exec-train"
    )
    assert executor["cpuRequest"] == 0.25
    assert executor["memoryRequest"] == pytest.approx(2.147483648)
    assert executor["memoryLimit"] == 4


def test_accelerators_go_to_the_training_or_to_the_step_that_is_named():
    asked = _resources(accelerators=("nvidia.com/gpu:2", "evaluate=amd.com/gpu"))
    assert asked["train"]["limits"]["nvidia.com/gpu"] == "2"
    assert asked["evaluate"]["limits"]["amd.com/gpu"] == "1"
    rest = {step: one for step, one in asked.items() if step not in ("train", "evaluate")}
    assert rest == {step: one for step, one in _PLAIN.items() if step not in ("train", "evaluate")}


def _of_workers(**flags):
    container = _containers(**flags)["train"]
    (value,) = [one["value"] for one in container["env"] if one["name"] == WORKER_RESOURCES]
    return container["resources"], json.loads(value)


def test_workers_ask_apart_from_the_step_that_starts_them():
    train, workers = _of_workers(requests=("train:cpu=100m,memory=1Gi", "workers:memory=16Gi"))
    assert train == {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    assert workers == {
        "requests": {"cpu": _PLAIN["train"]["requests"]["cpu"], "memory": "16Gi"},
        "limits": {"memory": "16Gi"},
    }


def test_workers_can_have_accelerators_and_the_step_none():
    train, workers = _of_workers(accelerators=("workers=nvidia.com/gpu:1",), profile="small")
    assert "nvidia.com/gpu" not in train["limits"]
    assert workers["limits"] == {"memory": "3Gi", "nvidia.com/gpu": "1"}


def test_without_a_word_on_workers_they_ask_as_the_step_does():
    assert WORKER_RESOURCES not in str(_apply(requests=("train:cpu=1",)))


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"requests": ("train",)}, "--request train: write it as STEP:cpu=2,memory=4Gi"),
        ({"requests": ("train:gpu=1",)}, "--request train:gpu=1: write it as"),
        ({"requests": ("train:memory=4",)}, "memory is a number above 0 with its unit, such as 512Mi or 4Gi"),
        ({"requests": ("train:cpu=0",)}, "cpu is a number above 0"),
        ({"requests": ("train:cpu=2.5.1",)}, "cpu is a number above 0"),
        ({"requests": ("trian:cpu=2",)}, "--request trian: the pipeline has no such step; it has "),
        ({"requests": ("train:memory=4Gi,limit=2Gi",)}, "asks for 4Gi of memory and its limit is 2Gi; raise"),
        ({"profile": "tiny"}, "--profile tiny: there is no such profile; choose small"),
        ({"accelerators": ("gpu",)}, "--accelerator gpu: write it as RESOURCE"),
        ({"accelerators": ("trian=nvidia.com/gpu",)}, "--accelerator trian: the pipeline has no such step"),
    ],
)
def test_what_cannot_be_asked_for_is_named(flags, says):
    with pytest.raises(UserError, match=says):
        _apply(**flags)


def test_the_doctor_knows_the_steps_too(double, host):
    words = ["doctor", "--host", host, "--request", "trian:cpu=1"]
    with pytest.raises(UserError, match="--request trian: the pipeline has no such step"):
        CliRunner().invoke(twotower, words, catch_exceptions=False)
    assert double.requests == []

"""The pipeline for Vertex AI Pipelines: one document that its own loader takes."""

import os
import subprocess

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.errors import UserError
from pipelines.cli import twotower
from pipelines.compiled import CHECKED_IN, NOT_ON_VERTEX, for_vertex, pipeline_inputs

_IMAGE = "europe-docker.pkg.dev/films/images/twotower:1.0"


@pytest.fixture(scope="module")
def document():
    (document,) = yaml.safe_load_all(for_vertex(CHECKED_IN.read_text("utf-8"), _IMAGE))
    return document


def _containers(document):
    executors = document["deploymentSpec"]["executors"]
    return {label: executor["container"] for label, executor in executors.items()}


def test_it_is_a_pipeline(document):
    json_format.ParseDict(document, pipeline_spec_pb2.PipelineSpec())


def test_the_image_is_fixed_and_no_input_any_more(document):
    assert {container["image"] for container in _containers(document).values()} == {_IMAGE}
    inputs = document["root"]["inputDefinitions"]["parameters"]
    assert set(pipeline_inputs()) - set(inputs) == {"image"}
    assert "pipelinechannel--image" not in str(document)


def test_every_step_gets_a_machine_of_the_size_that_it_asks_for(document):
    for label, container in _containers(document).items():
        resources = container["resources"]
        assert resources["cpuLimit"] == resources["cpuRequest"] > 0, label
        assert resources["memoryLimit"] > 0, label


def test_pauses_between_tries_are_no_longer_than_it_takes(document):
    tasks = [
        task
        for component in [document["root"], *document["components"].values()]
        for task in component.get("dag", {}).get("tasks", {}).values()
    ]
    pauses = [task["retryPolicy"]["backoffMaxDuration"] for task in tasks if "retryPolicy" in task]
    assert pauses
    assert {int(pause.removesuffix("s")) for pause in pauses} == {3600}


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TWOTOWER_TARGETS", raising=False)
    monkeypatch.delenv("TWOTOWER_TARGET", raising=False)

    def call(*words):
        result = CliRunner().invoke(twotower, ["compile", *words])
        if isinstance(result.exception, UserError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_compile_writes_one_document_and_says_what_it_leaves_out(call, tmp_path):
    said = call(
        *("--target", "vertex", "--image", _IMAGE, "--request", "train:cpu=8", "--accelerator", "NVIDIA_L4:1")
    )
    assert [line.strip() for line in said.splitlines()[2:]] == list(NOT_ON_VERTEX)
    (document,) = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text("utf-8"))
    train = _containers(document)["exec-train"]["resources"]
    assert train["cpuLimit"] == 8
    assert (train["accelerator"]["type"], train["accelerator"]["count"]) == ("NVIDIA_L4", "1")


def test_a_table_of_the_file_can_hold_image_and_sizes(call, tmp_path):
    text = f'[vertex]\nimage = "{_IMAGE}"\n\n[gcp]\nplatform = "vertex"\nimage = "{_IMAGE}-2"\n'
    (tmp_path / "twotower.toml").write_text(text, "utf-8")
    for target, image in (("vertex", _IMAGE), ("gcp", f"{_IMAGE}-2")):
        call("--target", target)
        (document,) = yaml.safe_load_all((tmp_path / "pipeline.yaml").read_text("utf-8"))
        assert _containers(document)["exec-train"]["image"] == image


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ([], "--image: Vertex AI fixes the image in the file; name one that it can pull"),
        (["--image", _IMAGE, "--volume", "data:/data"], "--volume: Vertex AI has no such setting"),
        (["--image", _IMAGE, "--run-as", "any"], "--run-as: Vertex AI has no such setting"),
        (["--image", _IMAGE, "--accelerator", "nvidia.com/gpu"], "e.g. NVIDIA_L4:1"),
    ],
)
def test_flags_that_it_has_no_use_for_are_refused(call, flags, says):
    with pytest.raises(UserError, match=says):
        call("--target", "vertex", *flags)


_LOADER = """
import sys
from google.auth import credentials
from google.cloud import aiplatform
job = aiplatform.PipelineJob(
    display_name="films",
    template_path=sys.argv[1],
    pipeline_root="gs://films/outputs",
    parameter_values={"ratings": "gs://films/ratings.csv", "registry": "gs://films/registry", "seed": 7},
    project="films",
    location="europe-west1",
    credentials=credentials.AnonymousCredentials(),
)
print(job.pipeline_spec["pipelineInfo"]["name"])
"""


@pytest.mark.process
def test_its_own_loader_takes_it_and_not_the_file_for_kubeflow(document, tmp_path):
    """google-cloud-aiplatform does not resolve with the versions of KFP: it has a Python of its own."""
    python = os.environ.get("TWOTOWER_VERTEX_PYTHON")
    if not python:
        pytest.skip("needs google-cloud-aiplatform, which `make test-vertex` installs apart")
    (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump(document), "utf-8")

    def load(path):
        return subprocess.run([python, "-c", _LOADER, str(path)], capture_output=True, text=True, check=False)

    taken = load(tmp_path / "pipeline.yaml")
    assert taken.stdout == "twotower-training\n", taken.stderr
    assert "expected a single document" in load(CHECKED_IN).stderr

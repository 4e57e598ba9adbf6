"""Names are checked before anything is sent: what is accepted here makes a pod that Kubernetes accepts."""

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from step_pod import faults, step_pod

from components.errors import UserError
from pipelines.cli import twotower
from pipelines.kubeflow import client
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.submit import Place, check_image, experiment
from pipelines.kubeflow.transport import ApiError
from pipelines.kubeflow.versions import upload

_LONG = "a" * 64


def _pods(package, **flags):
    """The pods of the small pipeline's two steps."""
    documents = list(yaml.safe_load_all(PodSettings(**flags).apply(package.read_text("utf-8"))))
    return [step_pod(documents, label) for label in ("exec-step", "exec-notify")]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"volumes": ("films.v1:/data",)}, "--volume films.v1: Kubeflow names the pod's volume after it"),
        ({"volumes": (f"{_LONG}:/data",)}, "63 characters at most"),
        ({"volumes": ("kfp-launcher:/data",)}, "--volume kfp-launcher: Kubeflow has a volume of that name"),
        ({"volumes": ("-data:/data",)}, "--volume -data: not a Kubernetes name"),
        ({"volumes": ("data:/tmp",)}, "--volume data:/tmp: it would hide /tmp"),
        ({"volumes": ("data:/minio",)}, "hide /minio"),
        ({"volumes": ("data:/gcs/x",)}, "hide /gcs"),
        ({"volumes": ("data:/kfp",)}, "hide /kfp"),
        ({"volumes": ("data:/var/run/secrets",)}, "hide /var/run/secrets"),
        ({"volumes": ("data:/opt/twotower/",)}, "hide /opt/twotower"),
        ({"volumes": ("data://",)}, "hide /bin"),
        ({"volumes": ("data:/a/../tmp",)}, "write it as CLAIM:/PATH"),
        ({"volumes": ("a:/data", "b:/data/")}, "--volume b:/data/: /data is taken by --volume a:/data"),
        ({"volumes": ("key:/data",), "gcs_secret": "key"}, "--gcs-secret key: a claim of --volume has that"),
        ({"gcs_secret": "key.v1"}, "--gcs-secret key.v1: Kubeflow names the pod's volume after it"),
        ({"gcs_secret": "s3-scratch"}, "Kubeflow has a volume of that name"),
        ({"gcs_secret": "mlpipeline-minio-artifact"}, "Kubeflow has a volume of that name"),
        ({"webhook_secret": "a" * 254}, "--webhook-secret a+….*253 characters"),
        ({"image_pull_secrets": ("a..b",)}, "--image-pull-secret a..b: not a Kubernetes name"),
        ({"node_selectors": ("a b=c",)}, "--node-selector a b=c: a b is not a label's key"),
        ({"node_selectors": (f"pool={_LONG}",)}, "not a label's value"),
        ({"node_selectors": ("Big.Org/pool=x",)}, "the domain Big.Org: not a Kubernetes name"),
        ({"node_selectors": ("pool=a", "pool=b")}, "--node-selector pool=b: pool is taken"),
        ({"tolerations": ("spot=a/b:NoSchedule",)}, "--toleration spot=a/b:NoSchedule: a/b is not a label's"),
        ({"image": "r.io/TwoTower:1.0"}, "--image r.io/TwoTower:1.0: not the name of an image"),
        ({"image": "r.io/twotower:1.0 "}, "not the name of an image"),
    ],
)
def test_what_no_pod_could_have_is_refused(flags, says):
    with pytest.raises(UserError, match=says):
        PodSettings(**flags)


@pytest.mark.parametrize(
    "flags",
    [
        {"volumes": ("data:/data", "data:/registry", "other:/data/films")},
        {"volumes": ("a" * 63 + ":/tmp/data",), "gcs_secret": "key:key.json"},
        {"webhook_secret": "chat.example:url", "image_pull_secrets": ("registry.example", "two")},
        {"node_selectors": ("kubernetes.io/hostname=n-1.example", "gpu=")} | {"tolerations": ("a.b/c_D=",)},
        {"image": "localhost:5000/a/b_c:1.0@sha256:" + "a" * 64},
    ],
)
def test_what_pods_can_have_is_accepted(package, flags):
    for pod in _pods(package, **flags):
        assert faults(pod) == []


_WORD = st.text("aA0-._/:= ", max_size=8) | st.sampled_from(["data", "kfp-launcher", "key", _LONG])
_PATH = st.lists(
    st.sampled_from(["tmp", "minio", "gcs", "kfp", "data", "opt", "var", "run", "..", ""]), max_size=3
)
_VOLUME = st.builds(lambda name, parts: f"{name}:/{'/'.join(parts)}", _WORD, _PATH)


@given(
    volumes=st.lists(_VOLUME, max_size=3).map(tuple),
    gcs_secret=_WORD,
    image_pull_secrets=st.lists(_WORD, max_size=1).map(tuple),
    node_selectors=st.lists(st.builds("{}={}".format, _WORD, _WORD), max_size=2).map(tuple),
    tolerations=st.lists(_WORD, max_size=1).map(tuple),
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_settings_are_refused_or_make_a_valid_pod(package, **flags):
    try:
        pods = _pods(package, **flags)
    except UserError:
        return
    assert [faults(pod) for pod in pods] == [[], []]


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ({"pipeline": "a" * 129}, "--pipeline a+…: give a name of 1 to 128"),
        ({"experiment": " "}, "--experiment : give a name of 1 to 128"),
        ({"experiment": "é" * 65}, "--experiment"),
        ({"service_account": "Trainer"}, "--service-account Trainer: not a Kubernetes name"),
        ({"pipeline_root": "/data/outputs"}, "--pipeline-root /data/outputs: write it as s3://"),
    ],
)
def test_names_on_the_server_are_checked(names, says):
    with pytest.raises(UserError, match=says):
        Place(**{"pipeline": "training", "experiment": "nightly"} | names)


def test_names_of_the_longest_kind_are_taken_and_longer_ones_not(kubeflow, package, monkeypatch):
    monkeypatch.setattr(client, "_PAUSES", ())
    assert Place(pipeline="a" * 128, experiment="b" * 128, pipeline_root="minio://mlpipeline/v2")
    upload(kubeflow, package, "a" * 128)
    experiment(kubeflow, "b" * 128)
    with pytest.raises(ApiError, match="cannot exceed 128"):
        experiment(kubeflow, "b" * 129)


def test_the_namespace_is_checked(double, host):
    result = CliRunner().invoke(twotower, ["schedule", "list", "--host", host, "--namespace", "Ann"])
    assert str(result.exception).startswith("--namespace Ann: not a namespace")
    assert double.requests == []


def test_the_image_of_an_input_is_checked_as_well():
    with pytest.raises(UserError, match="not the name of an image"):
        check_image("r.io/Twotower:1.0")

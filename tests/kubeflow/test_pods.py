"""Settings of the pods in the compiled pipeline."""

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2

from components.errors import UserError
from pipelines.compiled import compile_pipeline
from pipelines.kubeflow.pods import PodSettings

_ALL = PodSettings(
    node_selectors=("pool=training", "zone=a"),
    tolerations=("dedicated=training:NoSchedule", "spot"),
    image_pull_secrets=("registry-key",),
    volumes=("data:/data",),
    gcs_secret="gcs-key",
    webhook_secret="chat:hook",
)


@pytest.fixture
def applied(package):
    """The documents of the small pipeline with all settings."""
    return list(yaml.safe_load_all(_ALL.apply(package.read_text("utf-8"))))


def _config(documents, label):
    """The pod's settings, which must be what kfp-kubernetes and the server understand."""
    config = documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"][label]
    return json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())


def test_without_settings_the_pipeline_is_as_it_was(package):
    text = package.read_text("utf-8")
    assert PodSettings().apply(text) == text


def test_every_step_has_the_settings(applied):
    for label in ("exec-step", "exec-notify"):
        config = _config(applied, label)
        assert dict(config.node_selector.labels) == {"pool": "training", "zone": "a"}
        assert [(t.key, t.operator, t.value, t.effect) for t in config.tolerations] == [
            ("dedicated", "Equal", "training", "NoSchedule"),
            ("spot", "Exists", "", ""),
        ]
        assert [secret.secret_name for secret in config.image_pull_secret] == ["registry-key"]
        assert [(mount.constant, mount.mount_path) for mount in config.pvc_mount] == [("data", "/data")]
        assert [secret.secret_name for secret in config.secret_as_volume] == ["gcs-key"]


def test_google_cloud_finds_the_key_file_where_the_secret_is_mounted(applied):
    (secret,) = _config(applied, "exec-step").secret_as_volume
    executor = applied[0]["deploymentSpec"]["executors"]["exec-step"]["container"]
    environment = {one["name"]: one["value"] for one in executor["env"]}
    assert environment == {
        "OTHER": "1",
        "GOOGLE_APPLICATION_CREDENTIALS": f"{secret.mount_path}/key.json",
    }


def test_only_notify_knows_the_webhook_and_does_without_it(applied):
    (secret,) = _config(applied, "exec-notify").secret_as_env
    assert (secret.secret_name, secret.optional) == ("chat", True)
    assert [(one.secret_key, one.env_var) for one in secret.key_to_env] == [("hook", "TWOTOWER_WEBHOOK")]
    assert not _config(applied, "exec-step").secret_as_env


def test_the_image_is_the_default_of_the_pipelines_own_input(package):
    (document,) = yaml.safe_load_all(PodSettings(image="r.io/twotower:1.0").apply(package.read_text("utf-8")))
    image = document["root"]["inputDefinitions"]["parameters"]["image"]
    assert image["defaultValue"] == "r.io/twotower:1.0"


def test_the_pipeline_is_still_one(applied):
    json_format.ParseDict(applied[0], pipeline_spec_pb2.PipelineSpec())
    json_format.ParseDict(applied[1], pipeline_spec_pb2.PlatformSpec())


def test_settings_of_the_pipelines_own_stay(package):
    once = PodSettings(node_selectors=("pool=training",)).apply(package.read_text("utf-8"))
    twice = list(yaml.safe_load_all(PodSettings(volumes=("data:/data",)).apply(once)))
    config = _config(twice, "exec-step")
    assert dict(config.node_selector.labels) == {"pool": "training"}
    assert len(config.pvc_mount) == 1


def test_what_the_cluster_must_have_is_known():
    assert _ALL.secrets() == ["registry-key", "gcs-key"]
    assert _ALL.claims() == ["data"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"node_selectors": ("pool",)}, "--node-selector pool: write it as KEY=VALUE"),
        ({"tolerations": ("=x",)}, "--toleration =x: write it as KEY"),
        ({"tolerations": ("a=b:Never",)}, "--toleration a=b:Never.*NoSchedule"),
        ({"volumes": ("data",)}, "--volume data: write it as CLAIM:/PATH"),
        ({"volumes": ("data:relative",)}, "--volume data:relative"),
        ({"volumes": ("Data:/data",)}, "not a Kubernetes name"),
        ({"image_pull_secrets": ("a b",)}, "--image-pull-secret a b: not a Kubernetes name"),
        ({"gcs_secret": "Key"}, "--gcs-secret Key: not a Kubernetes name"),
        ({"accelerator": "gpu"}, "--accelerator gpu: write it as RESOURCE"),
        ({"webhook_secret": "Chat"}, "--webhook-secret Chat: not a Kubernetes name"),
    ],
)
def test_what_cannot_be_read_is_named(package, settings, says):
    with pytest.raises(UserError, match=says):
        PodSettings(**settings).apply(package.read_text("utf-8"))


def test_a_url_in_place_of_its_secret_is_refused_and_not_repeated(package):
    with pytest.raises(UserError, match="the names and not the content") as refusal:
        PodSettings(webhook_secret="https://hooks.example.com/hush").apply(package.read_text("utf-8"))
    assert "hush" not in str(refusal.value)


def test_the_projects_own_pipeline_has_the_step_that_tells_the_webhook(tmp_path):
    path = compile_pipeline(tmp_path / "pipeline.yaml", PodSettings(webhook_secret="chat"))
    _, platform = yaml.safe_load_all(path.read_text("utf-8"))
    configs = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert [label for label, config in configs.items() if "secretAsEnv" in config] == ["exec-notify"]


def test_only_the_training_step_asks_for_accelerators(tmp_path):
    path = compile_pipeline(tmp_path / "pipeline.yaml", PodSettings(accelerator="nvidia.com/gpu:2"))
    executors = next(yaml.safe_load_all(path.read_text("utf-8")))["deploymentSpec"]["executors"]
    asked = {
        label: executor["container"]["resources"]["accelerator"]
        for label, executor in executors.items()
        if "accelerator" in executor["container"]["resources"]
    }
    assert list(asked) == ["exec-train"]
    assert (asked["exec-train"]["resourceType"], asked["exec-train"]["resourceCount"]) == (
        "nvidia.com/gpu",
        "2",
    )

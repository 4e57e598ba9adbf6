"""Settings of the pods in the compiled pipeline."""

import pytest
import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2
from step_pod import faults, restricted, step_pod

from components.errors import UserError
from components.train.pods.manifests import OwnPod, PodProgram, job_manifest
from pipelines.compiled import compile_pipeline
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.submit import Place, submit

_ALL = PodSettings(
    node_selectors=("pool=training", "zone=a"),
    tolerations=("dedicated=training:NoSchedule", "spot"),
    image_pull_secrets=("registry-key",),
    volumes=("data:/data",),
    gcs_secret="gcs-key",
    s3_secret="mlpipeline-minio-artifact",
    envs=("AWS_ENDPOINT_URL=http://seaweedfs.kubeflow:9000",),
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
        "AWS_ENDPOINT_URL": "http://seaweedfs.kubeflow:9000",
        "GOOGLE_APPLICATION_CREDENTIALS": f"{secret.mount_path}/key.json",
    }


def test_only_notify_knows_the_webhook_and_does_without_it(applied):
    _, secret = _config(applied, "exec-notify").secret_as_env
    assert (secret.secret_name, secret.optional) == ("chat", True)
    assert [(one.secret_key, one.env_var) for one in secret.key_to_env] == [("hook", "TWOTOWER_WEBHOOK")]
    assert "chat" not in [one.secret_name for one in _config(applied, "exec-step").secret_as_env]


@pytest.mark.parametrize(
    ("flag", "keys"),
    [
        ("mlpipeline-minio-artifact", ("accesskey", "secretkey")),
        ("s3.key:AWS_ACCESS_KEY_ID:AWS_SECRET_ACCESS_KEY", ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    ],
)
def test_every_step_gets_the_keys_of_the_object_store(package, flag, keys):
    pods = PodSettings(s3_secret=flag, envs=_ALL.envs)
    documents = list(yaml.safe_load_all(pods.apply(package.read_text("utf-8"))))
    for label in ("exec-step", "exec-notify"):
        (secret,) = _config(documents, label).secret_as_env
        assert secret.secret_name == flag.partition(":")[0]
        found = {one.env_var: one.secret_key for one in secret.key_to_env}
        assert found == dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys, strict=True))


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
    assert _ALL.secrets() == ["registry-key", "gcs-key", "mlpipeline-minio-artifact"]
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
        ({"s3_secret": "Key"}, "--s3-secret Key: not a Kubernetes name"),
        ({"s3_secret": "mlpipeline-minio-artifact"}, "give --env AWS_ENDPOINT_URL=http://seaweedfs.kubeflow"),
        ({"s3_secret": "key:id"}, "--s3-secret: write it as SECRET or SECRET:KEY:KEY"),
        ({"s3_secret": "key:id:a/b"}, "--s3-secret: write it as SECRET:KEY, the names"),
        ({"envs": ("AWS_SECRET_ACCESS_KEY=hush",)}, "--env AWS_SECRET_ACCESS_KEY: --s3-secret sets it"),
        ({"envs": ("HTTPS_PROXY",)}, "--env HTTPS_PROXY: write it as NAME=VALUE"),
        ({"envs": ("2=3",)}, "--env 2: not a variable's name"),
        ({"envs": ("KFP_POD_NAME=x",)}, "--env KFP_POD_NAME: Kubeflow sets such variables itself"),
        ({"envs": ("TWOTOWER_WEBHOOK=https://hush",)}, "--env TWOTOWER_WEBHOOK: --webhook-secret sets it"),
        ({"labels": ("team",)}, "--label team: write it as KEY=VALUE"),
        ({"labels": ("pipeline/runid=1",)}, "--label pipeline/runid=1: Kubeflow sets the labels pipeline/"),
        ({"image_pull_policy": "always"}, "--image-pull-policy always: choose one of Always"),
        ({"run_as": "0"}, "--run-as 0: write it as UID or UID:GID"),
        ({"run_as": "root"}, "--run-as root"),
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


def _pod(package, **flags):
    documents = list(yaml.safe_load_all(PodSettings(**flags).apply(package.read_text("utf-8"))))
    return step_pod(documents, "exec-step")


def test_pods_have_the_environment_the_labels_and_the_pull_policy_of_the_site(package):
    pod = _pod(
        package,
        envs=("HTTPS_PROXY=http://proxy:3128", "OTHER=a=b", "EMPTY="),
        labels=("team=films", "costs.example/centre=7"),
        image_pull_policy="Never",
    )
    (main,) = pod["spec"]["containers"]
    assert {one["name"]: one["value"] for one in main["env"]} == {
        "HTTPS_PROXY": "http://proxy:3128",
        "OTHER": "a=b",
        "EMPTY": "",
    }
    assert pod["metadata"]["labels"] == {"team": "films", "costs.example/centre": "7"}
    assert main["imagePullPolicy"] == "Never"
    assert faults(pod) == []


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """The project's own pipeline."""
    return compile_pipeline(tmp_path_factory.mktemp("compiled") / "pipeline.yaml")


def _own_pods(compiled, **flags):
    documents = list(yaml.safe_load_all(PodSettings(**flags).apply(compiled.read_text("utf-8"))))
    return {label: step_pod(documents, label) for label in documents[0]["deploymentSpec"]["executors"]}


@pytest.mark.parametrize("flags", [{}, {"volumes": ("data:/data",)}, {"run_as": "1000650000:0"}])
def test_every_step_starts_where_pod_security_is_restricted(compiled, flags):
    for label, pod in _own_pods(compiled, **flags).items():
        assert restricted(pod) == [], label
        assert faults(pod) == [], label


def test_workers_are_pods_like_the_step_that_starts_them(compiled):
    flags = {"labels": ("team=films",), "volumes": ("data:/data",), "image_pull_policy": "Never"}
    step = _own_pods(compiled, **flags, run_as="65532")["exec-train"]
    step["metadata"] |= {"name": "train-1", "uid": "1"}
    step["metadata"]["labels"]["workflows.argoproj.io/workflow"] = "run-1"
    template = job_manifest(OwnPod(step), 2, PodProgram("train", "a.module", ["/data/checkpoints"]))["spec"][
        "template"
    ]
    assert restricted(template) == []
    assert faults(template) == []
    assert template["metadata"]["labels"]["team"] == "films"
    assert "workflows.argoproj.io/workflow" not in template["metadata"]["labels"]
    (worker,) = template["spec"]["containers"]
    assert worker["imagePullPolicy"] == "Never"
    assert int(worker["securityContext"]["runAsUser"]) == 65532


def test_the_steps_run_as_the_user_that_is_asked_for(compiled):
    (main,) = _own_pods(compiled, run_as="65532:0")["exec-train"]["spec"]["containers"]
    context = main["securityContext"]
    assert [int(context["runAsUser"]), int(context["runAsGroup"])] == [65532, 0]
    assert context["runAsNonRoot"] is True
    assert PodSettings(run_as="65532:0").security_context() == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 0,
    }


@pytest.mark.parametrize("release", ["2.15.0", "2.16.1", "unknown"])
def test_every_release_gets_the_security_context_that_it_knows(tmp_path, double, host, release):
    double.release = release
    kubeflow = connect(Access(host))
    pods = PodSettings().for_release(kubeflow.release)
    path = compile_pipeline(tmp_path / "pipeline.yaml", pods)
    assert ("securityContext" in path.read_text("utf-8")) == (release != "2.15.0")
    assert submit(kubeflow, path, {}, Place("training", "nightly")).run_id


def test_a_user_is_refused_for_a_release_that_cannot_set_one():
    with pytest.raises(UserError, match=r"--run-as 1000: Kubeflow Pipelines can set it since 2\.16"):
        PodSettings(run_as="1000").for_release((2, 15, 2))


def test_a_file_for_an_older_release_says_nothing_of_the_user(compiled):
    assert restricted(_own_pods(compiled, run_as="any")["exec-train"]) == ["runAsNonRoot"]

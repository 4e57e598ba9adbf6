"""The step `train` with several workers, against a double of the Kubernetes API."""

import copy
import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes import client
from kubernetes_double import NAMESPACE, KubernetesDouble, condition
from pytest_httpserver import HTTPServer
from tfjob_schema import validate_tfjob
from training_world import World

from components.errors import UserError
from components.ingest.dataset import SplitSettings
from components.train.artifact import ModelRecord, write_record
from components.train.settings import WORKER_RESOURCES, TrainRequest
from components.train.step import train
from components.train.tfjob import launch
from components.train.tfjob.api import Api
from components.train.tfjob.launch import OwnPod, tfjob, train_in_pods
from components.train.tfjob.worker import Exchange

# What Argo makes of KFP's `train`, as the API gives it.
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "twotower-training-x7k2p-system-container-impl-3046721548",
        "namespace": NAMESPACE,
        "uid": "0b8e8b0e-7f0a-4a5e-9a43-6f1f5a3d1c11",
        "labels": {"workflows.argoproj.io/workflow": "twotower-training-x7k2p"},
    },
    "spec": {
        "serviceAccountName": "default-editor",
        "activeDeadlineSeconds": 43200,
        "nodeSelector": {"pool": "training"},
        "tolerations": [
            {"key": "dedicated", "operator": "Equal", "value": "training", "effect": "NoSchedule"}
        ],
        "imagePullSecrets": [{"name": "registry-key"}],
        "containers": [
            {"name": "wait", "image": "argoexec:v3", "volumeMounts": []},
            {
                "name": "main",
                "image": "registry.example.com/ann/twotower:0.1.0",
                "imagePullPolicy": "IfNotPresent",
                "command": ["/var/run/argo/argoexec", "emissary", "--", "/kfp-launcher/launch"],
                "env": [
                    {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "ARGO_TEMPLATE", "value": "{}"},
                    {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/var/run/secrets/gcs/key.json"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "resources": {"limits": {"memory": "12Gi", "nvidia.com/gpu": "1"}, "requests": {"cpu": "4"}},
                "volumeMounts": [
                    {"name": "twotower", "mountPath": "/data"},
                    {"name": "gcs-key", "mountPath": "/var/run/secrets/gcs"},
                    {"name": "kfp-launcher", "mountPath": "/kfp-launcher"},
                    {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io"},
                ],
            },
        ],
        "volumes": [
            {"name": "twotower", "persistentVolumeClaim": {"claimName": "twotower"}},
            {"name": "gcs-key", "secret": {"secretName": "gcs-key", "defaultMode": 420}},
            {"name": "kfp-launcher", "emptyDir": {}},
            {"name": "kube-api-access-x", "projected": {"sources": []}},
            {"name": "unused", "configMap": {"name": "unused"}},
        ],
    },
}

DONE = [condition("Created"), condition("Running"), condition("Succeeded", "TFJob successfully completed.")]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(launch, "SECONDS_BETWEEN_TRIES", 0.01)


@dataclass
class Cluster:
    """The double, and the step's arguments in a pod of its cluster."""

    double: KubernetesDouble
    pod: OwnPod
    world: World
    root: Path
    output: Path

    def train(self, workers: int = 2, root: str = "") -> Any:
        request = TrainRequest("default", {"steps": 10}, 0.0, 0.0, 42, root or str(self.root))
        inputs = str(self.world.interactions), str(self.world.vocabulary)
        return train_in_pods(self.pod, workers, request, *inputs, output=str(self.output))

    @property
    def exchange(self) -> Path:
        return self.root / "tfjobs" / self.pod.job_name

    def left(self) -> list[Path]:
        return [path for path in self.root.rglob("*") if path.is_file()]


@pytest.fixture
def cluster(httpserver: HTTPServer, world: World, tmp_path: Path) -> Iterator[Cluster]:
    """A pod whose volume is `tmp_path`, in a cluster that has all it takes."""
    double = KubernetesDouble()
    httpserver.expect_request(re.compile(".*")).respond_with_handler(double)
    pod = copy.deepcopy(POD)
    pod["spec"]["containers"][1]["volumeMounts"][0]["mountPath"] = str(tmp_path)
    double.claims["twotower"] = {"spec": {"accessModes": ["ReadWriteMany"]}}
    configuration = client.Configuration(host=httpserver.url_for("").rstrip("/"))
    configuration.retries = False
    with client.ApiClient(configuration) as connection:
        api = Api(connection, NAMESPACE)
        yield Cluster(double, OwnPod(api, pod), world, tmp_path / "checkpoints", tmp_path / "out" / "model")
    httpserver.check()


def _trained(cluster: Cluster) -> Callable[[KubernetesDouble], None]:
    """What the chief does while the job runs."""

    def put_model(_: KubernetesDouble) -> None:
        model = cluster.root.parent / "trained"
        model.mkdir(exist_ok=True)
        record = ModelRecord(
            preset="default",
            settings={},
            seed=42,
            split=SplitSettings(kind="random", seed=1, validation_fraction=0.1, test_fraction=0.1),
            fingerprint="",
            rating_scale=(1.0, 5.0),
            movies=1,
            training_users=1,
            steps=10,
            seconds=1.5,
            validation_rmse=0.9,
            validation_top_100_accuracy_unseen=0.3,
        )
        write_record(model, record)
        Exchange(str(cluster.exchange)).put_model(model)

    return put_model


def test_the_manifest_keeps_to_the_schema_of_a_tfjob():
    validate_tfjob(tfjob("twotower-0123456789ab", 4, POD, "gs://b/checkpoints/tfjobs/t"))


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ("spec", "tfReplicaSpec", {}),
        ("spec runPolicy", "cleanPodPolicy", "Never"),
        ("spec runPolicy", "backoffLimit", "20"),
        ("spec tfReplicaSpecs Worker", "restartPolicy", "Sometimes"),
        ("spec tfReplicaSpecs Worker", "replica", 4),
        ("spec tfReplicaSpecs Worker template spec", "serviceAccount_name", "x"),
        ("spec tfReplicaSpecs Worker template spec", "containers", [{"image": "x"}]),
        ("spec tfReplicaSpecs Worker template spec", "containers", [{"name": "main"}]),
    ],
)
def test_that_schema_finds_what_the_operator_would_drop_or_refuse(place, name, value):
    job = tfjob("twotower-0123456789ab", 4, POD, "gs://b/tfjobs/t")
    part = job
    for key in place.split():
        part = part[key]
    part[name] = value
    with pytest.raises(jsonschema.ValidationError):
        validate_tfjob(job)


def test_the_manifest_keeps_to_the_schema_that_a_cluster_has():
    file = os.environ.get("TWOTOWER_TFJOB_CRD", "")
    if not file:
        pytest.skip("name in TWOTOWER_TFJOB_CRD what `kubectl get crd tfjobs.kubeflow.org -o yaml` prints")
    versions = yaml.safe_load(Path(file).read_text("utf-8"))["spec"]["versions"]
    schema = next(one["schema"]["openAPIV3Schema"] for one in versions if one["name"] == "v1")
    jsonschema.validate(tfjob("twotower-0123456789ab", 4, POD, "gs://b/tfjobs/t"), schema)


def test_the_workers_are_like_the_pod_of_the_step():
    job = tfjob("twotower-0123456789ab", 4, POD, "gs://b/tfjobs/t")
    workers = job["spec"]["tfReplicaSpecs"]["Worker"]
    pod, own = workers["template"]["spec"], POD["spec"]["containers"][1]
    container = pod["containers"][0]
    assert workers["replicas"] == 4
    assert [container[field] for field in ("image", "resources")] == [own["image"], own["resources"]]
    assert [variable["name"] for variable in container["env"]] == ["GOOGLE_APPLICATION_CREDENTIALS", "TOKEN"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data", "/var/run/secrets/gcs"]
    assert [volume["name"] for volume in pod["volumes"]] == ["twotower", "gcs-key"]
    for field in ("serviceAccountName", "nodeSelector", "tolerations", "imagePullSecrets"):
        assert pod[field] == POD["spec"][field]
    assert job["metadata"]["ownerReferences"][0]["uid"] == POD["metadata"]["uid"]


def test_the_workers_ask_for_what_is_said_of_them():
    pod = copy.deepcopy(POD)
    of_worker = {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}
    pod["spec"]["containers"][1]["env"].append({"name": WORKER_RESOURCES, "value": json.dumps(of_worker)})
    job = tfjob("twotower-0123456789ab", 4, pod, "gs://b/tfjobs/t")
    [container] = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
    assert container["resources"] == of_worker
    assert WORKER_RESOURCES not in {variable["name"] for variable in container["env"]}


def test_a_job_is_created_followed_and_removed_and_its_model_is_the_output(cluster, capsys):
    cluster.double.course = [[], [condition("Created")], DONE[:2], DONE]
    cluster.double.on_look = _trained(cluster)
    cluster.double.logs[f"{cluster.pod.job_name}-worker-0"] = (
        "noise\ntwotower: train: step 10: well\ntwotower: train: step 20: better"
    )
    summary = cluster.train(workers=3)
    assert summary.validation_rmse == 0.9
    assert (cluster.output / "model.json").is_file()
    assert cluster.double.created[0]["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] == 3
    assert cluster.double.jobs == {}
    assert cluster.left() == []
    told = capsys.readouterr().err
    assert told.count("running") == told.count("train: step 10: well") == told.count("step 20: better") == 1
    assert "noise" not in told


def test_the_workers_find_inputs_and_request_in_the_shared_place(cluster):
    seen = {}

    def look(_: KubernetesDouble) -> None:
        exchange = Exchange(str(cluster.exchange))
        seen["request"] = exchange.request()
        exchange.fetch_inputs(cluster.root.parent / "fetched")
        _trained(cluster)(_)

    cluster.double.course, cluster.double.on_look = [DONE], look
    cluster.train()
    command = cluster.double.created[0]["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][
        0
    ]
    assert command["command"][-1] == str(cluster.exchange)
    assert seen["request"] == TrainRequest("default", {"steps": 10}, 0.0, 0.0, 42, str(cluster.root))
    for name in ("interactions", "vocabulary"):
        original, fetched = getattr(cluster.world, name), cluster.root.parent / "fetched" / name
        files = sorted(path.name for path in original.iterdir())
        assert files == sorted(path.name for path in fetched.iterdir())
        assert all((original / file).read_bytes() == (fetched / file).read_bytes() for file in files)


def test_a_failed_job_is_told_in_the_words_of_the_worker_that_ended_it(cluster):
    cluster.double.course = [[condition("Failed", "1 Worker replica(s) failed.")]]
    outcome = {"step": "train", "seconds": 1, "peak_memory_bytes": 1, "format": 1, "status": "mistake"}
    said = json.dumps({**outcome, "error": "--preset: no such thing"})
    cluster.double.logs[f"{cluster.pod.job_name}-worker-1"] = f"noise\n{said}"
    with pytest.raises(UserError, match=r"^--preset: no such thing$"):
        cluster.train()
    assert not cluster.output.exists()
    assert cluster.double.jobs == {}
    assert cluster.left() == []


def test_a_job_that_fails_without_a_word_is_told_by_its_condition(cluster):
    cluster.double.course = [[condition("Failed", "deadline exceeded")]]
    with pytest.raises(UserError, match=r"TFJob twotower-\w+ failed: deadline exceeded; look at"):
        cluster.train()


def test_a_cancelled_step_leaves_no_job_behind(cluster):
    def cancel(double: KubernetesDouble) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    cluster.double.course, cluster.double.on_look = [[condition("Running")]], cancel
    with pytest.raises(SystemExit) as ended:
        cluster.train()
    assert ended.value.code == 143
    assert cluster.double.jobs == {}
    assert cluster.left() == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_job_that_an_earlier_try_left_is_replaced(cluster):
    cluster.double.jobs[cluster.pod.job_name] = {"metadata": {"name": cluster.pod.job_name}}
    cluster.double.course, cluster.double.on_look = [DONE], _trained(cluster)
    cluster.train()
    assert [line.split()[0] for line in cluster.double.requests if "tfjobs" in line] == [
        *("POST", "DELETE", "POST"),
        *("GET", "DELETE"),
    ]


def test_an_api_that_is_down_for_a_while_ends_nothing(cluster):
    def down(double: KubernetesDouble) -> None:
        double.on_look, double.failures = _trained(cluster), 3

    cluster.double.course, cluster.double.on_look = [DONE[:1], DONE], down
    assert cluster.train().steps == 10


def test_an_api_that_stays_down_ends_the_step(cluster, monkeypatch):
    monkeypatch.setattr(launch, "_PATIENCE", 0.05)

    def down(double: KubernetesDouble) -> None:
        double.failures = 10_000

    cluster.double.course, cluster.double.on_look = [DONE[:1]], down
    with pytest.raises(UserError, match="the cluster's API answers 503"):
        cluster.train()


def test_a_job_that_somebody_deletes_ends_the_step(cluster):
    cluster.double.course = [DONE[:1]]
    cluster.double.on_look = lambda double: double.jobs.clear()
    with pytest.raises(UserError, match="was deleted while it ran; run this step again"):
        cluster.train()


@pytest.mark.parametrize("request_", ["POST tfjobs", "GET persistentvolumeclaims", "GET tfjobs"])
def test_a_missing_right_names_the_role_that_gives_it(cluster, request_):
    cluster.double.forbidden.add(request_)
    cluster.double.course = [DONE]
    with pytest.raises(UserError) as refused:
        cluster.train()
    assert "docs/tfjob-role.yaml" in str(refused.value)
    assert request_.split()[1] in str(refused.value)
    assert cluster.left() == []


def test_the_log_of_a_worker_is_not_needed(cluster):
    cluster.double.forbidden.add("GET pods/log")
    cluster.double.course, cluster.double.on_look = [DONE], _trained(cluster)
    assert cluster.train().steps == 10


def test_a_cluster_without_the_operator_is_named(cluster):
    cluster.double.operator = False
    with pytest.raises(UserError, match=r"no TFJob \(kubeflow.org/v1\); install the operator"):
        cluster.train()


@pytest.mark.parametrize(
    ("root", "modes", "reason"),
    [
        ("/elsewhere/checkpoints", ["ReadWriteMany"], "no volume of this pod lies there"),
        ("/kfp-launcher/x", ["ReadWriteMany"], "no volume of this pod lies there"),
        ("", ["ReadWriteOnce"], "the access mode ReadWriteOnce; --workers 2 needs ReadWriteMany"),
    ],
)
def test_a_place_that_is_not_shared_is_refused_before_anything_starts(cluster, root, modes, reason):
    cluster.double.claims["twotower"]["spec"]["accessModes"] = modes
    with pytest.raises(UserError, match=reason) as refused:
        cluster.train(root=root)
    assert str(refused.value).startswith("--checkpoint-root")
    assert "gs://" in str(refused.value)
    assert cluster.double.created == []
    assert not cluster.root.exists()


def test_a_bucket_is_a_shared_place(cluster, bucket):
    cluster.double.claims.clear()
    cluster.pod.check_shared(2, f"{bucket}/checkpoints")
    assert cluster.double.requests == []


def test_a_retry_has_the_same_name_and_another_run_another(cluster):
    retried, other = copy.deepcopy(cluster.pod.manifest), copy.deepcopy(cluster.pod.manifest)
    retried["metadata"]["name"] = "twotower-training-x7k2p-system-container-impl-1"
    other["metadata"]["labels"]["workflows.argoproj.io/workflow"] = "twotower-training-other"
    assert OwnPod(cluster.pod.api, retried).job_name == cluster.pod.job_name
    assert OwnPod(cluster.pod.api, other).job_name != cluster.pod.job_name


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"workers": 0}, "--workers 0: give a whole number, at least 1"),
        ({"workers": 2}, "--workers 2 needs --checkpoint-root"),
        ({"workers": 2, "preset": "notebook"}, "--workers 2: the preset notebook trains in one process"),
        ({"workers": 2, "checkpoint_root": "gs://b/c"}, "--workers 2 needs a cluster .* no pod of one"),
    ],
)
@pytest.mark.tensorflow
def test_what_cannot_be_is_refused_in_one_line(world, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    paths = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    with pytest.raises(UserError, match=reason):
        train(**paths, output=str(tmp_path / "model"), **arguments)
    assert not (tmp_path / "model").exists()


def test_the_role_grants_what_is_asked_for(cluster):
    role = yaml.safe_load((Path(__file__).parents[2] / "docs" / "tfjob-role.yaml").read_text("utf-8"))
    granted = {
        (verb, resource) for rule in role["rules"] for verb in rule["verbs"] for resource in rule["resources"]
    }
    cluster.double.pods[POD["metadata"]["name"]] = POD
    cluster.pod.api.pod(POD["metadata"]["name"])
    cluster.double.course, cluster.double.on_look = [DONE], _trained(cluster)
    cluster.train()
    verbs = {"GET": "get", "POST": "create", "DELETE": "delete"}
    asked = {
        (
            verbs[method],
            "pods/log" if path.endswith("/log") else path.split(f"/{NAMESPACE}/")[1].split("/")[0],
        )
        for method, path in map(str.split, cluster.double.requests)
    }
    assert asked == granted

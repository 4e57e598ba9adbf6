"""The step `train` in a pod of a cluster, which starts workers there."""

import copy
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import client
from kubernetes_double import ACCOUNT, NAMESPACE, KubernetesDouble
from pytest_httpserver import HTTPServer
from training_world import World

from components.ingest.dataset import SplitSettings
from components.train.artifact import ModelRecord, write_record
from components.train.pods.api import Api
from components.train.pods.launch import Launcher, train_in_pods
from components.train.pods.manifests import OwnPod
from components.train.pods.worker import Exchange, exchange_of
from components.train.settings import TrainRequest

RUN = "6f0a3a5c-0f7f-4f60-8c8e-0d1f3d5f7a11"

# What Argo makes of KFP's `train`, as the API gives it.
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "twotower-training-x7k2p-system-container-impl-3046721548",
        "namespace": NAMESPACE,
        "uid": "0b8e8b0e-7f0a-4a5e-9a43-6f1f5a3d1c11",
        "labels": {"workflows.argoproj.io/workflow": "twotower-training-x7k2p", "pipeline/runid": RUN},
    },
    "spec": {
        "nodeName": "node-1",
        "serviceAccountName": ACCOUNT,
        "activeDeadlineSeconds": 43200,
        "nodeSelector": {"pool": "training"},
        "tolerations": [
            {"key": "dedicated", "operator": "Equal", "value": "training", "effect": "NoSchedule"}
        ],
        "imagePullSecrets": [{"name": "registry-key"}],
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
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
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                },
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


def step_pod(**metadata: Any) -> OwnPod:
    """The pod above, a copy."""
    pod = copy.deepcopy(POD)
    pod["metadata"] |= metadata
    return OwnPod(pod)


@dataclass
class TrainingPods:
    """The double, and the step's arguments in a pod of its cluster."""

    double: KubernetesDouble
    launcher: Launcher
    world: World
    root: Path
    output: Path

    def train(self, workers: int = 2, root: str = "") -> ModelRecord:
        request = TrainRequest("default", {"steps": 10}, 0.0, 0.0, 42, root or str(self.root))
        inputs = str(self.world.interactions), str(self.world.vocabulary)
        return train_in_pods(self.launcher, workers, request, *inputs, output=str(self.output))

    @property
    def job(self) -> str:
        return self.launcher.pod.job_name

    @property
    def exchange(self) -> Exchange:
        return exchange_of(str(self.root), RUN, self.job)

    def left(self) -> list[str]:
        """Objects and files that a run has left, in the cluster and below the checkpoint root."""
        objects = [f"{plural}/{name}" for plural, name in self.double.objects if plural in _OWN]
        return [*objects, *(str(path) for path in self.root.rglob("*") if path.is_file())]

    def say(self, index: int, *lines: str) -> None:
        """Lets the last pod of an index print some lines."""
        name = self.double.pod_of(index)["metadata"]["name"]
        self.double.logs[name] = self.double.logs.get(name, "") + "".join(f"{line}\n" for line in lines)

    def fail(self, index: int, error: str) -> None:
        """Lets a worker end with a mistake of the user's."""
        outcome = {"step": "train", "seconds": 1, "peak_memory_bytes": 1, "format": 1, "status": "mistake"}
        self.say(index, "noise", json.dumps({**outcome, "error": error}))
        self.double.end(index, 2)

    def succeed(self, workers: int = 2) -> None:
        """Lets the chief put a Model into the exchange directory, and all workers end well."""
        model = self.root.parent / "trained"
        model.mkdir(exist_ok=True)
        split = SplitSettings(kind="random", seed=1, validation_fraction=0.1, test_fraction=0.1)
        facts: dict[str, Any] = {"preset": "default", "settings": {}, "seed": 42, "split": split, "movies": 1}
        facts |= {"training_users": 1, "rating_scale": (1.0, 5.0), "steps": 10, "seconds": 1.5}
        facts |= {"fingerprint": "", "validation_rmse": 0.9, "validation_top_100_accuracy_unseen": 0.3}
        write_record(model, ModelRecord(**facts))
        self.exchange.put_model(model)
        for index in range(workers):
            self.double.end(index)

    def at_looks(self, *actions: Any) -> None:
        """Does one of the functions at each look at the Job; clears all soon after the last of them."""
        left = [*actions, *[lambda: None] * 5, self.double.objects.clear]
        self.double.on_look = lambda _: left.pop(0)() if left else None


_OWN = ("jobs", "services", "pods")


@contextmanager
def training_pods(server: HTTPServer, world: World, place: Path) -> Iterator[TrainingPods]:
    """A pod whose volume is `place`, in a cluster that has all it takes."""
    double = KubernetesDouble()
    server.expect_request(re.compile(".*")).respond_with_handler(double)
    pod = step_pod()
    pod.container["volumeMounts"][0]["mountPath"] = str(place)
    double.objects["persistentvolumeclaims", "twotower"] = {"spec": {"accessModes": ["ReadWriteMany"]}}
    configuration = client.Configuration(host=server.url_for("").rstrip("/"))
    configuration.retries = False
    with client.ApiClient(configuration) as connection:
        launcher = Launcher(Api(connection, NAMESPACE), pod)
        yield TrainingPods(double, launcher, world, place / "checkpoints", place / "out" / "model")
    server.check()

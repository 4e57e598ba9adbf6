"""Manifests of the workers: the Job that runs them, and the Service by which they find each other."""

import copy
import hashlib
import json
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from components.train.pods.api import Object
from components.train.settings import WORKER_RESOURCES

CONTAINER = "worker"
PORT = 2222

# Label of everything that belongs to the workers of a run; its value is the run's id.
RUN = "twotower/run"

# Restarts of one worker, also of one that ended because another was lost, before the Job fails. Kubernetes
# waits before each of them, 10 s at first, then twice as long each time, up to 10 minutes.
_RESTARTS = 20
# Exit codes that another try would not change: unexpected error, mistake in the inputs, no such program.
_FINAL = [1, 2, 126, 127]
# Time limit of the Job in seconds, if the step's own pod has none.
_LONGEST = 12 * 3600
# Seconds for which a Job that has ended stays, if nobody deletes it.
_KEPT = 3600

# Labels by which Kubeflow and Argo find the pods of steps.
_THEIR_LABELS = ("workflows.argoproj.io/", "pipelines.kubeflow.org/", "pipeline/")

# Environment variables that are for the step's pod alone.
_FOREIGN_ENVIRONMENT = (WORKER_RESOURCES, "ARGO_", "KFP_", "METADATA_", "ML_PIPELINE_", "KUBERNETES_")
# Volumes with content; the others (emptyDir, tokens) are made anew for each pod, or not needed.
_SHARED_VOLUMES = ("persistentVolumeClaim", "secret", "configMap")
_POD_FIELDS = (
    "serviceAccountName",
    "nodeSelector",
    "tolerations",
    "affinity",
    "imagePullSecrets",
    "securityContext",
)
_CONTAINER_FIELDS = ("image", "imagePullPolicy", "resources", "securityContext")

# Annotation, and for newer versions label, that keeps Istio's sidecar away: it would outlive the program.
NO_SIDECAR = {"sidecar.istio.io/inject": "false"}

# KFP labels each pod with the run's id, Argo with the name of the workflow, which a retry keeps.
_RUN_LABELS = ("pipeline/runid", "workflows.argoproj.io/workflow")


class PodProgram(NamedTuple):
    """The program of the pods of a Job."""

    step: str  # that starts it
    module: str
    arguments: Sequence[str]


@dataclass(frozen=True)
class OwnPod:
    """The pod of this step, as the API gives it."""

    manifest: Mapping[str, Any]

    @property
    def run(self) -> str:
        """The id of the pipeline run."""
        labels = self.manifest["metadata"].get("labels", {})
        name = str(self.manifest["metadata"]["name"])
        return next((labels[label] for label in _RUN_LABELS if label in labels), name[:63].rstrip("-."))

    @property
    def labels(self) -> dict[str, str]:
        """The labels that the site gave the pod."""
        labels = self.manifest["metadata"].get("labels", {})
        return {key: value for key, value in labels.items() if not key.startswith(_THEIR_LABELS)}

    @property
    def job_name(self) -> str:
        """The name of the Job that this pod starts; another try of the step has another pod and name."""
        return f"twotower-{hashlib.sha256(self.manifest['metadata']['uid'].encode()).hexdigest()[:12]}"

    @property
    def container(self) -> Object:
        """The container that runs the step, which Argo calls "main"."""
        containers: list[Object] = self.manifest["spec"]["containers"]
        return next((one for one in containers if one["name"] == "main"), containers[0])

    @property
    def mounts(self) -> list[Object]:
        """The mounts of the container whose content other pods can have."""
        names = {
            volume["name"]
            for volume in self.manifest["spec"].get("volumes", [])
            if any(kind in volume for kind in _SHARED_VOLUMES)
        }
        return [mount for mount in self.container.get("volumeMounts", []) if mount["name"] in names]

    @property
    def volumes(self) -> list[Object]:
        """The volumes of `mounts`."""
        mounted = {mount["name"] for mount in self.mounts}
        return [one for one in self.manifest["spec"].get("volumes", []) if one["name"] in mounted]

    @property
    def claims(self) -> dict[str, str]:
        """The persistent volume claims by the paths at which they are mounted."""
        of_volume = {
            volume["name"]: volume["persistentVolumeClaim"]["claimName"]
            for volume in self.volumes
            if "persistentVolumeClaim" in volume
        }
        return {
            mount["mountPath"]: of_volume[mount["name"]]
            for mount in self.mounts
            if mount["name"] in of_volume
        }

    def claim_of(self, path: str) -> str:
        """The claim that a path lies on; "" if it lies on none."""
        mounted = {mount["mountPath"] for mount in self.container.get("volumeMounts", [])}
        place = PurePosixPath(posixpath.normpath(path))
        nearest = next((one for one in map(str, (place, *place.parents)) if one in mounted), "")
        return self.claims.get(nearest, "")


def addresses(name: str, workers: int) -> list[str]:
    """Returns the addresses of the pods of the Job `name`, short: the cluster's domain has any name."""
    return [f"{name}-{number}.{name}:{PORT}" for number in range(workers)]


def service_manifest(pod: OwnPod) -> Object:
    """Returns the Service that gives each worker of the step `pod` a name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(pod),
        "spec": {
            "clusterIP": "None",
            "selector": {RUN: pod.run},
            # A worker is needed by the others before it counts as ready.
            "publishNotReadyAddresses": True,
            "ports": [{"name": "tcp-training", "port": PORT}],
        },
    }


def job_manifest(pod: OwnPod, workers: int, program: PodProgram, same_node: bool = False) -> Object:
    """Returns a Job of `workers` pods that work together.

    They have the image, resources, environment, service account, volumes and nodes of the step's `pod`. The
    Job belongs to it: Kubernetes deletes it with the pod, whatever becomes of this process. A worker that
    lost another is started again; one that met a mistake of the user's ends the Job.

    Args:
      pod: the pod of the step.
      workers: number of pods.
      program: that each of them runs.
      same_node: whether all must run on the node of `pod`.
    """
    metadata = _metadata(pod, program.step)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            "backoffLimitPerIndex": _RESTARTS,
            "maxFailedIndexes": 0,
            "activeDeadlineSeconds": pod.manifest["spec"].get("activeDeadlineSeconds", _LONGEST),
            "ttlSecondsAfterFinished": _KEPT,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": _FINAL},
                    },
                ]
            },
            "template": {
                "metadata": {
                    "labels": {**pod.labels, **metadata["labels"], **NO_SIDECAR},
                    "annotations": NO_SIDECAR,
                },
                "spec": _pod_spec(pod, program, same_node),
            },
        },
    }


def _metadata(pod: OwnPod, step: str = "train") -> Object:
    owner = pod.manifest["metadata"]
    return {
        "name": pod.job_name,
        "labels": {
            "app.kubernetes.io/name": "twotower",
            "app.kubernetes.io/component": step,
            RUN: pod.run,
        },
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": owner["name"], "uid": owner["uid"]}],
    }


def _pod_spec(pod: OwnPod, program: PodProgram, same_node: bool) -> Object:
    spec, own = pod.manifest["spec"], pod.container
    environment = own.get("env", [])
    other = next((one["value"] for one in environment if one["name"] == WORKER_RESOURCES), "")
    container = {
        "name": CONTAINER,
        **{field: own[field] for field in _CONTAINER_FIELDS if field in own},
        **({"resources": json.loads(other)} if other else {}),
        "command": ["python3", "-m", program.module, *program.arguments],
        "env": [one for one in environment if not one["name"].startswith(_FOREIGN_ENVIRONMENT)],
        "ports": [{"containerPort": PORT}],
        "volumeMounts": pod.mounts,
    }
    worker = {
        **{field: spec[field] for field in _POD_FIELDS if field in spec},
        "restartPolicy": "Never",
        "subdomain": pod.job_name,
        # A worker calls no API of the cluster.
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # It has nothing to save: checkpoints are written in between.
        "terminationGracePeriodSeconds": 5,
        "containers": [container],
        "volumes": pod.volumes,
    }
    if same_node:
        worker["affinity"] = _on_node(spec.get("affinity") or {}, spec["nodeName"])
    return worker


def _on_node(affinity: Mapping[str, Any], node: str) -> Object:
    """Returns `affinity` with the condition that a pod runs on `node`."""
    changed: Object = copy.deepcopy(dict(affinity))
    required = changed.setdefault("nodeAffinity", {}).setdefault(
        "requiredDuringSchedulingIgnoredDuringExecution", {}
    )
    # One of the terms has to match, with all that it says.
    for term in required.setdefault("nodeSelectorTerms", [{}]):
        field = {"key": "metadata.name", "operator": "In", "values": [node]}
        term.setdefault("matchFields", []).append(field)
    return changed

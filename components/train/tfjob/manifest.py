"""The TFJob: this pod's container, so many times over."""

from collections.abc import Mapping
from typing import Any

from components.train.tfjob.api import Object

# The training operator looks for a container of this name.
CONTAINER = "tensorflow"

# Where the step's own container has no end set, in seconds.
_LONGEST = 12 * 3600
_RESTARTS = 20
# What KFP and Argo give their pods for themselves.
_FOREIGN_ENVIRONMENT = ("ARGO_", "KFP_", "METADATA_", "ML_PIPELINE_", "KUBERNETES_")
# Volumes with content of their own; the others (emptyDir, tokens) each pod gets anew or has no use for.
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


def tfjob(name: str, workers: int, pod: Mapping[str, Any], place: str) -> Object:
    """A TFJob of `workers` pods that train together.

    They get the image, resources, environment, service account, volumes and nodes of `pod`. The job belongs
    to `pod`: Kubernetes removes the one with the other, whatever becomes of this process. A worker that lost
    another ends with `LOST_WORKER` and is started again; one that met a mistake of the user's ends the job.

    Args:
      name: a DNS label, short enough for "-worker-" and a number behind it.
      pod: the pod of the step, as the API gives it.
      place: the root of the `Exchange`.
    """
    spec, metadata = pod["spec"], pod["metadata"]
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/name": "twotower", "app.kubernetes.io/component": "train"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
            ],
        },
        "spec": {
            "runPolicy": {
                # The others stay until their log has been read.
                "cleanPodPolicy": "Running",
                "backoffLimit": _RESTARTS,
                "activeDeadlineSeconds": spec.get("activeDeadlineSeconds", _LONGEST),
            },
            "tfReplicaSpecs": {
                "Worker": {
                    "replicas": workers,
                    "restartPolicy": "ExitCode",
                    "template": {
                        # Istio's sidecar would stand between the workers, and outlive them.
                        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}},
                        "spec": _pod_spec(spec, place),
                    },
                }
            },
        },
    }


def step_container(spec: Mapping[str, Any]) -> Object:
    """The container of a pod that runs the step: Argo calls it "main"."""
    containers: list[Object] = spec["containers"]
    return next((one for one in containers if one["name"] == "main"), containers[0])


def _pod_spec(spec: Mapping[str, Any], place: str) -> Object:
    own = step_container(spec)
    volumes = [one for one in spec.get("volumes", []) if any(kind in one for kind in _SHARED_VOLUMES)]
    names = {one["name"] for one in volumes}
    mounts = [one for one in own.get("volumeMounts", []) if one["name"] in names]
    mounted = {one["name"] for one in mounts}
    container = {
        "name": CONTAINER,
        **{field: own[field] for field in _CONTAINER_FIELDS if field in own},
        "command": ["python3", "-m", "components.train.tfjob.worker", place],
        "env": [one for one in own.get("env", []) if not one["name"].startswith(_FOREIGN_ENVIRONMENT)],
        "volumeMounts": mounts,
    }
    return {
        **{field: spec[field] for field in _POD_FIELDS if field in spec},
        "containers": [container],
        "volumes": [one for one in volumes if one["name"] in mounted],
    }

"""A pod like those of the steps, which writes to each volume and deletes what it wrote."""

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from components.errors import UserError
from components.progress import log
from components.train.pods.manifests import NO_SIDECAR
from pipelines.kubeflow.cluster import Cluster, Object
from pipelines.kubeflow.pods import PodSettings

# Seconds that the pod may take, and between two looks at it.
PATIENCE = 120.0
PAUSE = 2.0

# The message that Kubernetes keeps of a container is what this leaves in /dev/termination-log.
_PROGRAM = """
import json, os, sys, tempfile
found = {}
for path in sys.argv[1:]:
    found[path] = {"user": f"{os.getuid()}:{os.getgid()}", "fault": "", "links": True}
    try:
        with tempfile.TemporaryDirectory(dir=path, prefix=".twotower-doctor-") as directory:
            file = os.path.join(directory, "file")
            with open(file, "wb") as writing:
                writing.write(b"twotower")
                writing.flush()
                os.fsync(writing.fileno())
            try:
                os.link(file, file + "-2")
            except OSError:
                found[path]["links"] = False
    except OSError as error:
        owner = os.stat(path)
        of = f"it belongs to {owner.st_uid}:{owner.st_gid} with the mode {owner.st_mode & 0o7777:o}"
        found[path]["fault"] = f"{error.strerror}: {of}"
with open("/dev/termination-log", "w") as result:
    json.dump(found, result)
"""

# Reasons of a container that waits which do not pass.
_FINAL = ("CreateContainerConfigError", "ErrImageNeverPull", "ImagePullBackOff", "InvalidImageName")


@dataclass(frozen=True)
class Probed:
    """Result for the mount of a claim."""

    claim: str
    path: str
    user: str  # who wrote: "10001:0"
    fault: str  # "" if it could be written to
    links: bool  # whether the file system has hard links, which a registry needs


class ProbeError(UserError):
    """Raised when the pod did not come to write: its message says why, without a cure."""


def probe(cluster: Cluster, pods: PodSettings, image: str, service_account: str) -> list[Probed]:
    """Writes to all volumes of `pods` in a pod of `image` as the steps would, and deletes the pod.

    Takes two minutes at most. Raises `ProbeError` if the cluster refuses the pod or does not start it, and
    another `UserError` if it does not answer.
    """
    manifest = probe_pod(pods, image, service_account)
    with _created(cluster, manifest) as name:
        found = _result(cluster, name)
    return [Probed(one["name"], one["mountPath"], **found[one["mountPath"]]) for one in pods.mounts()]


def probe_pod(pods: PodSettings, image: str, service_account: str) -> Object:
    """Returns the pod: it has the user, the nodes, the secrets and the volumes of the steps' pods."""
    security = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
        **pods.security_context(),
    }
    mounts = pods.mounts()
    container = {
        "name": "main",
        "image": image,
        "command": ["python3", "-c", _PROGRAM, *(mount["mountPath"] for mount in mounts)],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
        "securityContext": security,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
        **({"imagePullPolicy": pods.image_pull_policy} if pods.image_pull_policy else {}),
    }
    own = {"app.kubernetes.io/name": "twotower", "app.kubernetes.io/component": "doctor"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"twotower-doctor-{secrets.token_hex(4)}",
            "labels": {**pods.pod_labels(), **own},
            "annotations": NO_SIDECAR,
        },
        "spec": {
            **pods.pod_spec(),
            **({"serviceAccountName": service_account} if service_account else {}),
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": int(PATIENCE),
            "containers": [container],
        },
    }


@contextmanager
def _created(cluster: Cluster, manifest: Object) -> Iterator[str]:
    """Creates the pod, yields its name, and deletes it."""
    name = manifest["metadata"]["name"]
    try:
        cluster.create("pod", manifest)
    except UserError as error:
        raise ProbeError(str(error)) from error
    try:
        yield name
    finally:
        try:
            cluster.delete("pod", name)
        except UserError as error:
            log(f"the pod {name} stays: {error}; `kubectl delete pod {name} -n {cluster.namespace}`")


def _result(cluster: Cluster, name: str) -> dict[str, Any]:
    """Waits for the end of the pod; returns what its program found, by path."""
    end = time.monotonic() + PATIENCE
    while True:
        pod = cluster.find("pod", name)
        if pod is None:
            raise ProbeError(f"somebody deleted the pod {name}")
        status = pod.get("status", {})
        if status.get("phase") in ("Succeeded", "Failed"):
            return _told(status)
        reason, final = _obstacle(cluster, pod)
        if final or time.monotonic() > end:
            raise ProbeError(
                f"a pod that mounts it does not start: {reason or 'Kubernetes does not say why'}"
            )
        time.sleep(PAUSE)


def _told(status: Object) -> dict[str, Any]:
    ended: Object = {}
    for container in status.get("containerStatuses") or []:
        ended = container.get("state", {}).get("terminated") or ended
    with suppress(ValueError):
        return dict(json.loads(ended.get("message", "")))
    reason = ended.get("reason") or status.get("reason") or "no reason is given"
    message = ended.get("message") or status.get("message") or ""
    raise ProbeError(f"the pod that should have written to it failed: {reason} {message}".strip())


def _obstacle(cluster: Cluster, pod: Object) -> tuple[str, bool]:
    """Returns why the pod has not started, and whether waiting is of no use."""
    states = (one.get("state", {}) for one in pod.get("status", {}).get("containerStatuses") or [])
    final = any((state.get("waiting") or {}).get("reason") in _FINAL for state in states)
    return cluster.why_pending(pod), final

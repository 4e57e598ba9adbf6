"""Trains with several workers: creates a TFJob, follows it to its end, and deletes it."""

import hashlib
import json
import os
import posixpath
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from types import FrameType
from typing import Any, NoReturn

from components.errors import UserError
from components.progress import PREFIX, log
from components.step import last_outcome
from components.storage import is_remote
from components.train.artifact import ModelRecord, read_record
from components.train.settings import WORKER_RESOURCES, TrainRequest
from components.train.tfjob.api import Api, ConflictError, MissingError, NoAnswerError, Object
from components.train.tfjob.worker import Exchange

# The training operator looks for a container of this name.
CONTAINER = "tensorflow"

# Time limit of the job in seconds, if the step's own pod has none.
_LONGEST = 12 * 3600
_RESTARTS = 20
# Environment variables that KFP and Argo set for their own pods.
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


def tfjob(name: str, workers: int, pod: Mapping[str, Any], place: str) -> Object:
    """Returns a TFJob of `workers` pods that train together.

    They have the image, resources, environment, service account, volumes and nodes of `pod`. The job belongs
    to `pod`: Kubernetes deletes it with the pod, whatever becomes of this process. A worker that lost another
    ends with `LOST_WORKER` and is started again; one that met a mistake of the user's ends the job.

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
    """Returns the container of a pod that runs the step, which Argo calls "main"."""
    containers: list[Object] = spec["containers"]
    return next((one for one in containers if one["name"] == "main"), containers[0])


def _pod_spec(spec: Mapping[str, Any], place: str) -> Object:
    own = step_container(spec)
    volumes = [one for one in spec.get("volumes", []) if any(kind in one for kind in _SHARED_VOLUMES)]
    names = {one["name"] for one in volumes}
    mounts = [one for one in own.get("volumeMounts", []) if one["name"] in names]
    mounted = {one["name"] for one in mounts}
    other = next((one["value"] for one in own.get("env", []) if one["name"] == WORKER_RESOURCES), "")
    container = {
        "name": CONTAINER,
        **{field: own[field] for field in _CONTAINER_FIELDS if field in own},
        **({"resources": json.loads(other)} if other else {}),
        "command": ["python3", "-m", "components.train.tfjob.worker", place],
        "env": [one for one in own.get("env", []) if not one["name"].startswith(_FOREIGN_ENVIRONMENT)],
        "volumeMounts": mounts,
    }
    return {
        **{field: spec[field] for field in _POD_FIELDS if field in spec},
        "containers": [container],
        "volumes": [one for one in volumes if one["name"] in mounted],
    }


SECONDS_BETWEEN_LOOKS = 10.0

# For so long the API may be out of reach: an upgrade of the control plane takes minutes.
_PATIENCE = 600.0
_LINES = 50


def follow(api: Api, name: str, workers: int) -> None:
    """Waits for the end of the job, and logs its conditions and the chief's log.

    Raises `UserError` if the job failed, with the message of the worker that ended it, or was deleted.
    """
    logged: set[tuple[str, str]] = set()
    last = ""
    while True:
        conditions = _conditions(api, name)
        for condition in conditions:
            if (key := (condition["type"], condition.get("lastTransitionTime", ""))) not in logged:
                logged.add(key)
                log(f"TFJob {name}: {condition['type'].lower()}: {condition.get('message', '')}")
        lines = [line.removeprefix(PREFIX) for line in _last_lines(api, name, 0) if line.startswith(PREFIX)]
        # The chief's lines for people after the one that was last logged; all if it is not among them.
        for line in lines[lines.index(last) + 1 :] if last in lines else lines:
            log(last := line)
        states = {condition["type"]: condition for condition in conditions}
        if "Succeeded" in states:
            return
        if "Failed" in states:
            raise UserError(_failure(api, name, workers, states["Failed"].get("message", "")))
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _conditions(api: Api, name: str) -> list[dict[str, Any]]:
    """Returns the conditions of the job that are true now."""
    given_up = time.monotonic() + _PATIENCE
    while True:
        try:
            found = api.job(name).get("status", {}).get("conditions") or []
        except NoAnswerError:
            if time.monotonic() > given_up:
                raise
            time.sleep(SECONDS_BETWEEN_LOOKS)
        except MissingError as error:
            raise UserError(f"the TFJob {name} was deleted while it ran; run this step again") from error
        else:
            return [condition for condition in found if condition["status"] == "True"]


def _last_lines(api: Api, name: str, worker: int) -> list[str]:
    return api.last_lines(f"{name}-worker-{worker}", CONTAINER, _LINES)


def _failure(api: Api, name: str, workers: int, message: str) -> str:
    outcomes = [last_outcome(_last_lines(api, name, worker)) for worker in range(workers)]
    errors = [outcome.error for outcome in outcomes if outcome is not None and outcome.error]
    if errors:
        return errors[-1]
    return (
        f"the TFJob {name} failed: {message or 'no reason is given'}; look at the log of its pods, "
        "where your cluster keeps it, and run this step again: it goes on from the last checkpoint"
    )


_WORKFLOW = "workflows.argoproj.io/workflow"
_MODE = "ReadWriteMany"


@dataclass(frozen=True)
class OwnPod:
    """The pod of this step, and the API that it reaches."""

    api: Api
    manifest: dict[str, Any]  # as the API gives it

    @classmethod
    def find(cls, workers: int) -> "OwnPod":
        """Returns the pod of this process; raises `UserError` if there is none, or it may not be read."""
        api = Api.of_this_pod()
        if api is None:
            raise UserError(
                f"--workers {workers} needs a cluster with Kubeflow's training operator, and this is no pod "
                "of one; use `twotower submit`, or leave it out: one process uses all GPUs of its machine"
            )
        # HOSTNAME is cut off after 63 characters.
        name = os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME", "")
        return cls(api, api.pod(name))

    @property
    def job_name(self) -> str:
        """The name of this run's TFJob, the same after a retry, so that one left behind is replaced."""
        metadata = self.manifest["metadata"]
        run = metadata.get("labels", {}).get(_WORKFLOW, metadata["name"])
        return f"twotower-{hashlib.sha256(run.encode()).hexdigest()[:12]}"

    def check_shared(self, workers: int, root: str) -> None:
        """Raises `UserError` unless the other pods will see the files below `root`."""
        if is_remote(root):
            return
        claim = self._claim_of(root)
        if claim is None:
            raise UserError(
                f"--checkpoint-root {root}: no volume of this pod lies there, so the other pods of --workers "
                f"{workers} would not see it; mount one (`twotower submit --volume CLAIM:/PATH`) and name a "
                "directory on it, or a gs:// prefix"
            )
        modes = self.api.claim(claim)["spec"]["accessModes"]
        if _MODE not in modes:
            raise UserError(
                f"--checkpoint-root {root}: the volume claim {claim} has the access mode {', '.join(modes)}; "
                f"--workers {workers} needs {_MODE}: name such a volume, or a gs:// prefix"
            )

    def _claim_of(self, path: str) -> str | None:
        """The claim of the volume that a path is on; None if it is on none."""
        spec = self.manifest["spec"]
        mounts = {one["mountPath"]: one["name"] for one in step_container(spec).get("volumeMounts", [])}
        claims = {
            one["name"]: one["persistentVolumeClaim"]["claimName"]
            for one in spec.get("volumes", [])
            if "persistentVolumeClaim" in one
        }
        place = PurePosixPath(posixpath.normpath(path))
        for directory in (place, *place.parents):
            if str(directory) in mounts:
                return claims.get(mounts[str(directory)])
        return None


SECONDS_BETWEEN_TRIES = 5.0

# A job that was deleted remains until its pods are gone.
_TRIES = 60


def train_in_pods(
    pod: OwnPod, workers: int, request: TrainRequest, interactions: str, vocabulary: str, output: str
) -> ModelRecord:
    """Trains in `workers` pods like `pod`, and makes `output` the Model that they trained.

    Inputs and Model go through a directory below the checkpoint root, which all pods must share, also because
    a worker that is started again resumes from there. Job and directory are removed in any case, also when
    this process is told to end; the checkpoint stays for the next try. Raises `UserError` if the place is not
    shared, the cluster refuses, or the training fails.
    """
    pod.check_shared(workers, request.checkpoint_root)
    name = pod.job_name
    exchange = Exchange(f"{request.checkpoint_root.rstrip('/')}/tfjobs/{name}")
    with _ended_by_sigterm(), _tidied(pod.api, name, exchange):
        log(f"staging the inputs in {exchange.root}")
        exchange.stage(request, Path(interactions), Path(vocabulary))
        _create(pod.api, name, tfjob(name, workers, pod.manifest, exchange.root))
        log(f"TFJob {name} in the namespace {pod.api.namespace}: {workers} workers")
        follow(pod.api, name, workers)
        exchange.fetch_model(output)
    return read_record(output)


def _create(api: Api, name: str, manifest: Object) -> None:
    """Creates the job, in place of one that an earlier try of this step left."""
    for _ in range(_TRIES):
        try:
            return api.create_job(manifest)
        except ConflictError:
            log(f"removing the TFJob {name} that an earlier try left")
            api.delete_job(name)
            time.sleep(SECONDS_BETWEEN_TRIES)
        except MissingError as error:
            raise UserError(
                "--workers needs Kubeflow's training operator, and this cluster has no TFJob "
                "(kubeflow.org/v1); install the operator, or leave --workers out"
            ) from error
    raise UserError(f"the TFJob {name} of an earlier try does not go away; delete it with kubectl")


@contextmanager
def _tidied(api: Api, name: str, exchange: Exchange) -> Iterator[None]:
    """Removes the job and its files in the end."""
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who tells us to end may do so again
        for remove in (partial(api.delete_job, name), exchange.delete):
            try:
                remove()
            except UserError as error:
                # It must not stand in the place of what went wrong before.
                log(f"something was left behind of the TFJob {name} or in {exchange.root}: {error}")


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM, by which a run is cancelled, end this process as an exception does."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

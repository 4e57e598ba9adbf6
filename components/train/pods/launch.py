"""Trains with several workers: creates their Job and Service, follows it to its end, and deletes both."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from components.errors import UserError
from components.progress import PREFIX, log
from components.step import last_outcome
from components.storage import is_remote
from components.train.artifact import ModelRecord, read_record
from components.train.pods.api import LEAST_RELEASE, Api, MissingError, NoAnswerError, Object
from components.train.pods.cleanup import delete_workers
from components.train.pods.manifests import (
    CONTAINER,
    RUN,
    OwnPod,
    PodProgram,
    addresses,
    job_manifest,
    service_manifest,
)
from components.train.pods.worker import beating, exchange_of
from components.train.settings import TrainRequest

_SHARED, _READ, _OF_ONE_NODE = "ReadWriteMany", "ReadOnlyMany", "ReadWriteOnce"


@dataclass(frozen=True)
class Launcher:
    """The pod of this step, and the API that it reaches."""

    api: Api
    pod: OwnPod
    flag: str = "--workers"  # asks for the pods, for messages

    @classmethod
    def find(cls, pods: int, flag: str = "--workers") -> "Launcher":
        """Returns the pod of this process; raises `UserError` if there is none, or it may not be read."""
        api = Api.of_this_pod()
        if api is None:
            raise UserError(
                f"{flag} {pods} starts pods on a Kubernetes cluster, and this is no pod of one; use "
                "`twotower submit`, or leave it out: one process uses all GPUs of its machine"
            )
        # HOSTNAME is cut off after 63 characters.
        name = os.environ.get("KFP_POD_NAME") or os.environ.get("HOSTNAME", "")
        return cls(api, OwnPod(api.read("pod", name)), flag)

    def check_shared(self, pods: int, root: str) -> bool:
        """Returns whether the other pods must run on this node to see the files below `root`.

        Raises `UserError` if they would not see them even there.
        """
        written = "" if is_remote(root) else self.pod.claim_of(root)
        if not is_remote(root) and not written:
            raise UserError(
                f"--checkpoint-root {root}: no volume of this pod lies there, so the other pods of "
                f"{self.flag} {pods} would not see it; mount one (`twotower submit --volume CLAIM:/PATH`) "
                "and name a directory on it, or a gs:// or s3:// prefix"
            )
        same_node = False
        for claim in sorted(set(self.pod.claims.values())):
            modes = self.api.read("persistent_volume_claim", claim)["spec"]["accessModes"]
            if _SHARED in modes or (_READ in modes and claim != written):
                continue
            if _OF_ONE_NODE not in modes:
                raise UserError(
                    f"--volume {claim}: the access mode of this claim is {', '.join(modes)}; "
                    f"{self.flag} {pods} needs {_SHARED}, or {_OF_ONE_NODE} for pods of one node: mount "
                    "such a volume, or keep everything in gs:// or s3://"
                )
            log(
                f"the volume claim {claim} has the access mode {_OF_ONE_NODE}: all {pods} pods have to "
                f"find room on this node, {self.pod.manifest['spec']['nodeName']}; with {_SHARED} they may "
                "run anywhere"
            )
            same_node = True
        return same_node

    def create(self, workers: int, place: str, same_node: bool) -> None:
        """Creates Service and Job of a training. Raises `UserError` as `create_job` does."""
        self.api.create("service", service_manifest(self.pod))
        names = [place, *addresses(self.pod.job_name, workers)]
        program = PodProgram("train", "components.train.pods.worker", names)
        self.create_job(workers, program, same_node)

    def create_job(self, pods: int, program: PodProgram, same_node: bool) -> None:
        """Creates the Job. Raises `UserError` if the cluster refuses it, or is too old."""
        job = self.api.create("job", job_manifest(self.pod, pods, program, same_node))
        # An older cluster drops what it does not know without a word, and would try for ever.
        if "backoffLimitPerIndex" not in job["spec"]:
            least = ".".join(map(str, LEAST_RELEASE))
            raise UserError(
                f"{self.flag} {pods} needs Kubernetes {least} or newer, which limits the restarts of each "
                "pod; leave it out on this cluster"
            )


def train_in_pods(
    launcher: Launcher, workers: int, request: TrainRequest, interactions: str, vocabulary: str, output: str
) -> ModelRecord:
    """Trains in `workers` pods like this one, and makes `output` the Model that they trained.

    Inputs and Model go through a directory below the checkpoint root, which all pods must share, also because
    a worker that is started again resumes from there. Job, Service and directory are removed in any case; the
    checkpoint stays for the next try. If this process is killed, its heartbeat ends and the workers with it;
    the exit handler of the run removes the rest. Raises `UserError` if the place is not shared, the cluster
    refuses, or the training fails.
    """
    api, pod, root = launcher.api, launcher.pod, request.checkpoint_root
    same_node = launcher.check_shared(workers, root)
    exchange = exchange_of(root, pod.run, pod.job_name)
    removals = partial(api.delete, "job", pod.job_name), partial(api.delete, "service", pod.job_name)
    with ended_by_sigterm(), tidied(*removals, exchange.delete):
        # What an earlier try of this step left.
        delete_workers(api, pod.run)
        exchange_of(root, pod.run).delete()
        log(f"staging the inputs in {exchange.root}")
        exchange.stage(request, Path(interactions), Path(vocabulary))
        with beating(exchange):
            launcher.create(workers, exchange.root, same_node)
            log(f"Job {pod.job_name} in the namespace {api.namespace}: {workers} workers")
            JobFollower(api, pod.job_name, pod.run, workers).follow()
        exchange.fetch_model(output)
    return read_record(output)


SECONDS_BETWEEN_LOOKS = 10.0

# For so long the API may be out of reach: an upgrade of the control plane takes minutes.
_PATIENCE = 600.0
_LINES = 50
# For a minute a pod may be missing: a quota or the namespace's pod-security may forbid it.
_LOOKS_WITHOUT_PODS = 6


class JobFollower:
    """Follows a Job to its end, and logs what happens to its pods and what the first, the chief, says."""

    def __init__(self, api: Api, job: str, run: str, workers: int, cure: str = "") -> None:
        """Args: `cure`: for a pod that ran out of memory; "" for that of a training."""
        self._api, self._job, self._run, self._workers = api, job, run, workers
        self._cure = cure or (
            "ask for more (--request workers:memory=…), or train on fewer ratings "
            "(--param max_train_rows=5000000)"
        )
        self._logged: set[str] = set()
        self._looks_without_pods = 0
        self._last = ""

    def follow(self) -> None:
        """Waits for the end of the Job.

        Raises `UserError` if it failed, with the message of the worker that ended it, if it was deleted, or a
        worker ran out of memory.
        """
        while True:
            status, pods = self._look()
            self._log_pods(pods)
            self._log_chief(pods)
            states = {one["type"]: one for one in status.get("conditions") or [] if one["status"] == "True"}
            if "Complete" in states:
                return
            for pod in pods:
                self._check_memory(pod)
            # The first of the two comes before the other workers have ended.
            for state in ("FailureTarget", "Failed"):
                if state in states:
                    raise UserError(self._failure(pods, states[state]))
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def _look(self) -> tuple[Object, list[Object]]:
        """Returns the status of the Job, and its pods in the order of their creation."""
        given_up = time.monotonic() + _PATIENCE
        while True:
            try:
                status = self._api.read("job", self._job).get("status", {})
                pods = self._api.find("pod", f"{RUN}={self._run}")
            except NoAnswerError:
                if time.monotonic() > given_up:
                    raise
                time.sleep(SECONDS_BETWEEN_LOOKS)
            except MissingError as error:
                raise UserError(
                    f"the Job {self._job} was deleted while it ran; run this step again"
                ) from error
            else:
                own = [pod for pod in pods if pod["metadata"]["name"].startswith(f"{self._job}-")]
                return status, sorted(own, key=lambda pod: str(pod["metadata"]["creationTimestamp"]))

    def _log_pods(self, pods: list[Object]) -> None:
        missing = self._workers - len({_number(pod) for pod in pods})
        self._looks_without_pods = self._looks_without_pods + 1 if missing else 0
        if self._looks_without_pods >= _LOOKS_WITHOUT_PODS:
            why = f"kubectl describe job {self._job} -n {self._api.namespace}"
            self._log_once(f"{missing} of {self._workers} workers have no pod yet; `{why}` says why")
        for pod in pods:
            name = f"worker {_number(pod)} of {self._workers} ({pod['metadata']['name']})"
            ended, waits = _end(pod), _waits_for(pod)
            if ended and ended["exitCode"]:
                self._log_once(f"{name} ended with exit status {ended['exitCode']}: {ended['reason']}")
            elif waits:
                self._log_once(f"{name} waits: {waits}")
            elif pod["status"].get("phase") == "Running":
                self._log_once(f"{name} runs on the node {pod['spec'].get('nodeName', '')}")

    def _log_once(self, line: str) -> None:
        if line not in self._logged:
            self._logged.add(line)
            log(line)

    def _log_chief(self, pods: list[Object]) -> None:
        """Logs the chief's lines for people that are new: all, if the last one logged is not among them."""
        chief = [pod for pod in pods if _number(pod) == 0]
        lines = [
            line.removeprefix(PREFIX)
            for line in (self._last_lines(chief[-1]) if chief else [])
            if line.startswith(PREFIX)
        ]
        for line in lines[lines.index(self._last) + 1 :] if self._last in lines else lines:
            log(line)
            self._last = line

    def _last_lines(self, pod: Object) -> list[str]:
        return self._api.last_lines(pod["metadata"]["name"], CONTAINER, _LINES)

    def _check_memory(self, pod: Object) -> None:
        ended = _end(pod)
        if ended and ended["reason"] == "OOMKilled":
            limit = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("memory", "none")
            raise UserError(
                f"worker {_number(pod)} of {self._workers} ran out of memory (its limit: {limit}), as it "
                f"would again; {self._cure}"
            )

    def _failure(self, pods: list[Object], condition: Object) -> str:
        """Returns the message of the worker that ended the Job, or what the Job says of its end."""
        failed = [pod for pod in pods if pod["status"].get("phase") == "Failed"]
        outcomes = [last_outcome(self._last_lines(pod)) for pod in failed]
        errors = [outcome.error for outcome in outcomes if outcome is not None and outcome.error]
        if errors:
            return errors[-1]
        reason = ": ".join(filter(None, (condition.get("reason"), condition.get("message"))))
        return (
            f"the Job {self._job} failed: {reason or 'no reason is given'}; look at the log of its pods, "
            "where your cluster keeps it, and run this step again: it goes on where it was"
        )


def _number(pod: Object) -> int:
    return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])


def _end(pod: Object) -> Object | None:
    """Returns how the container of a pod ended; None if it has not."""
    for status in pod["status"].get("containerStatuses") or []:
        if ended := status["state"].get("terminated"):
            return {"reason": "", **ended}
    return None


def _waits_for(pod: Object) -> str:
    """Returns why a pod does not start; "" if it has, or is about to."""
    for condition in pod["status"].get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return str(condition.get("message", ""))
    for status in pod["status"].get("containerStatuses") or []:
        waiting = status["state"].get("waiting", {})
        if waiting.get("message"):
            return f"{waiting['reason']}: {waiting['message']}"
    return ""


@contextmanager
def tidied(*removals: Callable[[], None]) -> Iterator[None]:
    """Removes Job, Service and files in the end, the Job first: a cancelled step has a second for it."""
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # who tells us to end may do so again
        for remove in removals:
            try:
                remove()
            except UserError as error:
                # It must not stand in the place of what went wrong before.
                log(f"something of the workers was left behind, for the exit handler of the run: {error}")


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM, by which a run is cancelled, end this process as an exception does."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

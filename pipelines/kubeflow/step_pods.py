"""Pods of the steps of a run: why one has not started or has failed, and what it printed."""

import base64
import gzip
import json
import re
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from components.errors import UserError
from components.step import TO_REPEAT
from pipelines.kubeflow.client import Kubeflow
from pipelines.kubeflow.cluster import Cluster, Object, one_line
from pipelines.kubeflow.transport import ApiError

# Seconds that a pod may take to start before the reason is looked for, and between two such looks.
PATIENCE = 60.0
_BETWEEN_LOOKS = 30.0

# KFP's label of everything that belongs to a run; its value is the run's id.
_RUN = "pipeline/runid"
# Argo's name of the node that a pod belongs to: WORKFLOW(0).root(0).exit-handler-1(0).train(0).executor(1)
_NODE_NAME = "workflows.argoproj.io/node-name"
_ATTEMPT = re.compile(r"\(\d+\)$")
_DRIVER = "-driver"
# Argo's name of the log of a step in the artifact store.
_ARCHIVED_LOG = "main-logs"

# Lines that KFP's launcher and Argo's executor add to the log of a step.
_LAUNCHER = re.compile(
    r"^[IWEF]\d{4} [\d:.]+ +\d+ \w+\.go:\d+\] |^time=\S+ level=.* argo=true|^Error: exit status "
    r"|^\[KFP Executor "
)


class StepLog(NamedTuple):
    """Last lines of the log of a step."""

    step: str  # name of the step in the graph; with "-driver" for the pod of KFP's that prepares it
    source: str  # the pod, or "the artifact store"
    lines: list[str]

    def last_of_the_step(self, count: int) -> list[str]:
        """Returns the last lines for people: without those of KFP, of Argo and the outcome as JSON."""
        own = [line for line in self.lines if not _LAUNCHER.search(line)]
        # KFP's executor prints its input before the step begins.
        begin = max((number for number, line in enumerate(own, 1) if TO_REPEAT in line), default=0)
        end = max((number for number, line in enumerate(own) if line.startswith('{"step"')), default=None)
        return (own[begin:end] or self.lines)[-count:]


class RunPod(NamedTuple):
    """A pod of a run."""

    step: str
    name: str
    phase: str
    object: Object


class RunPods:
    """Pods and logs of a run: by the kubeconfig, and by the server where it keeps logs in the artifact store.

    `missing` says why what was asked for last was not read, by the way that was tried.
    """

    def __init__(self, kubeflow: Kubeflow, run_id: str, titles: Mapping[str, str]) -> None:
        """Args: `titles`: of the steps, by their name in the graph."""
        self.kubeflow, self.run_id, self._titles = kubeflow, run_id, titles
        namespace = kubeflow.pods_namespace
        self._selector = f"--namespace {namespace} --selector {_RUN}={run_id}"
        # Prints the logs of all steps of the run.
        self.kubectl_logs = f"kubectl logs {self._selector} --container main --tail 20 --prefix"
        self.missing: dict[str, str] = {}
        self._first_seen: dict[str, float] = {}
        self._next_look, self._notes = 0.0, list[str]()
        self._cluster: Cluster | None = None
        try:
            self._cluster = Cluster(namespace)
        except UserError as error:
            self.missing["kubeconfig"] = str(error)

    def title(self, step: str) -> str:
        """Returns the title of a step, or of its driver."""
        name = step.removesuffix(_DRIVER)
        title = self._titles.get(name, name)
        return title if name == step else f"{title} (its driver)"

    def notes(self, run: Any) -> list[str]:
        """Says why pods of a run in progress have not started for long; looks at most twice a minute."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _BETWEEN_LOOKS
            self._notes = self._look(run)
        return self._notes

    def _look(self, run: Any) -> list[str]:
        pods = {pod.name: pod for pod in self.pods()}
        pending = [name for name, pod in pods.items() if pod.phase == "Pending"]
        if not pods:
            pending = [
                f"{one.display_name} {start_of(one)}" for one in tasks_of(run) if one.state == "PENDING"
            ]
        late = self._late(pending)
        if self._cluster is None or not pods:
            if not late:
                return []
            since, why = f"{PATIENCE:.0f} s", self.missing["kubeconfig"]
            return [
                f"a pod of the run has not started for more than {since}, and why is not known here ({why}); "
                f"see `kubectl describe pods {self._selector}`"
            ]
        waiting = ((pods[name].step, self._cluster.why_pending(pods[name].object)) for name in late)
        refused = {step: text for step, text in self.node_messages().items() if _REFUSED.search(text)}
        return [
            *(f"{self.title(step)}: its pod has not started: {reason}" for step, reason in waiting if reason),
            *(f"{self.title(step)}: its pod cannot be created: {text}" for step, text in refused.items()),
        ]

    def _late(self, pending: list[str]) -> list[str]:
        """Returns those that were seen pending before, for longer than patience, by this machine's clock."""
        now = time.monotonic()
        self._first_seen = {name: self._first_seen.get(name, now) for name in pending}
        return [name for name, seen in self._first_seen.items() if now - seen >= PATIENCE]

    def pods(self) -> list[RunPod]:
        """Lists the pods of the steps by their age; none where the cluster cannot be asked."""
        if self._cluster is None:
            return []
        self.missing.pop("kubeconfig", None)
        try:
            found = self._cluster.objects("pod", f"{_RUN}={self.run_id}")
        except UserError as error:
            self.missing["kubeconfig"] = f"{self._cluster.name}: {error}"
            return []
        if not found:
            self.missing["kubeconfig"] = f"{self._cluster.name} has no pod of this run"
        named = ((pod["metadata"].get("annotations", {}).get(_NODE_NAME, ""), pod) for pod in found)
        pods = [
            RunPod(_step(node), pod["metadata"]["name"], pod.get("status", {}).get("phase", ""), pod)
            for node, pod in named
            if node
        ]
        return sorted(pods, key=lambda pod: str(pod.object["metadata"].get("creationTimestamp", "")))

    def node_messages(self) -> dict[str, str]:
        """Returns what the Workflow says about pods that failed or are not there yet, by step."""
        nodes = self._nodes()
        failed = (node for node in nodes if node.get("type") == "Pod" and node.get("phase") in _WITHOUT_POD)
        ordered = sorted(failed, key=lambda node: str(node.get("startedAt", "")))
        return {_step(node["name"]): one_line(node["message"]) for node in ordered if node.get("message")}

    def _nodes(self) -> list[Object]:
        if self._cluster is None:
            return []
        try:
            workflows = self._cluster.objects("workflow", f"{_RUN}={self.run_id}")
        except UserError:
            return []
        status = workflows[0].get("status", {}) if workflows else {}
        packed = status.get("compressedNodes")
        nodes = json.loads(gzip.decompress(base64.b64decode(packed))) if packed else status.get("nodes")
        return list((nodes or {}).values())

    def steps(self, run: Any, state: str = "") -> list[str]:
        """Lists the steps that have begun, in order of their start; with `state`, those that are in it."""
        return [name for name in self._begun(run, state) if name in self._titles]

    def failed_steps(self, run: Any) -> list[str]:
        """Lists the steps that failed, or the drivers where no step did."""
        drivers = [name for name in self._begun(run, "FAILED") if name.endswith(_DRIVER)]
        return self.steps(run, "FAILED") or drivers

    def _begun(self, run: Any, state: str) -> list[str]:
        names = {title: name for name, title in self._titles.items()}
        tasks = sorted((task for task in tasks_of(run) if state in ("", task.state)), key=start_of)
        return list(dict.fromkeys(names.get(task.display_name, task.display_name) for task in tasks))

    def log(self, run: Any, step: str, lines: int) -> StepLog:
        """Returns the end of the log of the last pod of a step. Raises `UserError` if it is out of reach."""
        self.missing.pop("artifact store", None)
        pods = [pod for pod in self.pods() if pod.step == step]
        for pod in reversed(pods):
            assert self._cluster is not None
            try:
                text = self._cluster.last_lines(pod.name, "main", lines)
            except UserError as error:
                self.missing["kubeconfig"] = f"{self._cluster.name}: {error}"
                break
            if text:
                return StepLog(step, f"pod {pod.name}", text)
            self.missing["kubeconfig"] = f"the pod {pod.name} has printed nothing"
        if self._cluster is not None:
            self.missing.setdefault("kubeconfig", f"{self._cluster.name} has no pod of {step}")
        archived = self._archived(run, step, lines)
        if archived is None:
            ways = "; ".join(f"{way}: {why}" for way, why in self.missing.items())
            raise UserError(f"the log of {step} is not read from here ({ways}); see `{self.kubectl_logs}`")
        return archived

    def _archived(self, run: Any, step: str, lines: int) -> StepLog | None:
        """Reads the log that Argo keeps in the artifact store, through the server."""
        names = {step, self._titles.get(step, step)}
        tasks = [task for task in tasks_of(run) if task.display_name in names]
        children = [child.pod_name for task in tasks for child in task.child_tasks or [] if child.pod_name]
        for node in reversed(children):
            text = self._archived_text(node)
            if text is not None:
                return StepLog(step, "the artifact store", text.splitlines()[-lines:])
        if not children:
            self.missing["artifact store"] = "the server names no pod of this step"
        return None

    def _archived_text(self, node: str) -> str | None:
        path = f"/apis/v2beta1/runs/{self.run_id}/nodes/{node}/artifacts/{_ARCHIVED_LOG}:read"
        try:
            answer, _, _ = self.kubeflow.sdk.runs.api_client.call_api(
                path,
                "GET",
                header_params={"Accept": "application/json"},
                response_type="object",
                auth_settings=["Bearer"],
            )
            return base64.b64decode(answer["data"]).decode("utf-8", "replace")
        except ApiError as error:
            absent = error.status == HTTPStatus.NOT_FOUND
            self.missing["artifact store"] = "it has no log of this step" if absent else str(error)
        except (KeyError, ValueError):
            self.missing["artifact store"] = "the server's answer cannot be read"
        return None


# A pod that a quota forbids is created again and again.
_WITHOUT_POD = ("Failed", "Error", "Pending")
_REFUSED = re.compile(r"invalid|forbidden|violates PodSecurity", re.IGNORECASE)


def tasks_of(run: Any) -> list[Any]:
    """Returns the server's list of what runs in a run: steps, drivers, executors and sub-graphs."""
    return list(run.run_details.task_details or []) if run.run_details is not None else []


def start_of(task: Any) -> float:
    """Returns when a task of the server's list began, in seconds since 1970; 0 if it has not."""
    return float(task.start_time.timestamp()) if task.start_time is not None else 0.0


def _step(node: str) -> str:
    """Returns the step of a node, by Argo's name of it: "train", or "train-driver"."""
    parts = [_ATTEMPT.sub("", part) for part in node.split(".")]
    return parts[-2] if parts[-1] == "executor" and len(parts) > 1 else parts[-1]

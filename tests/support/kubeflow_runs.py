"""Runs of the double of Kubeflow Pipelines: how their states go on, and what is kept of their steps."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug import Response

_START = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class RunStore:
    """Objects of the server by kind and id, and what happens to runs.

    Attributes:
      archived: the logs in the artifact store, by run and node of the Workflow.
      clock: the server's time, but for some seconds.
    """

    stores: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {"pipelines": {}, "experiments": {}, "runs": {}, "recurringRuns": {}}
    )
    archived: dict[tuple[str, str], str] = field(default_factory=dict)
    clock: datetime = _START
    _count: int = 0

    def add_run(self, **fields: Any) -> dict[str, Any]:
        """Puts a run into the store, as the scheduler does."""
        run = {"run_id": self.new_id("run"), "created_at": self.now(), **fields}
        self.stores["runs"][run["run_id"]] = run
        self.move(run, fields.get("state", "SUCCEEDED"))
        return run

    def move(self, run: dict[str, Any], state: str) -> None:
        """Reports a state of a run, as the persistence agent does; it stays in the run's history."""
        run["state"] = state
        history = run.setdefault("state_history", [])
        if not history or history[-1]["state"] != state:
            history.append({"state": state, "update_time": self.now()})

    def change_run(self, key: str, action: str) -> Response:
        """Answers runs/KEY:terminate and runs/KEY:retry."""
        run = self.stores["runs"].get(key)
        if run is None:
            return problem(404, f"Run {key} not found")
        if action == "terminate":
            if run["state"] not in ("PAUSED", "PENDING", "RUNNING"):
                return problem(400, f"Failed to terminate a run {key}. Row not found")
            self.move(run, "CANCELING")
            return answer({})
        if run["state"] != "FAILED":
            return problem(400, "Workflow must be Failed/Error to retry")
        for task in run.get("run_details", {}).get("task_details", []):
            task["state"] = "RUNNING" if task["state"] == "FAILED" else task["state"]
        self.move(run, "RUNNING")
        return answer({})

    def archived_log(self, run: str, node: str) -> Response:
        """Answers a request for the log of a node, which Argo put into the artifact store."""
        if (run, node) not in self.archived:
            text = "artifact not found: <nil>"
            return Response(json.dumps({"error_message": text, "error_details": text}), status=404)
        return answer({"data": base64.b64encode(self.archived[run, node].encode()).decode()})

    def new_id(self, kind: str) -> str:
        """Returns an id that no object has."""
        self._count += 1
        return f"{kind.lower()}-{self._count:04d}"

    def now(self) -> str:
        """Returns the time of the server, a second later at each call."""
        self._count += 1
        return (self.clock + timedelta(seconds=self._count)).isoformat()


def task(name: str, state: str, *children: str, start: int = 0, end: int = 0) -> dict[str, Any]:
    """An item of a run's `task_details`, as the server makes it of a node of the Workflow.

    It names the nodes below it, and neither its own pod, nor the node above it, nor its outputs; its creation
    is the Workflow's. `start` and `end` are seconds after the start of the run; 0 for an end means none.
    """
    ended = _START + timedelta(seconds=end) if end else datetime(1970, 1, 1, tzinfo=UTC)
    return {
        "display_name": name,
        "state": state,
        "create_time": _START.isoformat(),
        "start_time": (_START + timedelta(seconds=start)).isoformat(),
        "end_time": ended.isoformat(),
        "child_tasks": [{"pod_name": child} for child in children],
    }


def answer(value: dict[str, Any]) -> Response:
    """An answer in JSON."""
    return Response(json.dumps(value), content_type="application/json")


def problem(status: int, message: str) -> Response:
    """A refusal as the server's gateway words it."""
    body = json.dumps({"error": message, "code": 3, "message": message, "details": []})
    return Response(body, status=status, content_type="application/json")

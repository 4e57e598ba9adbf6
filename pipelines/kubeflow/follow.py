"""Follows a run to its end. KFP's own wait never returns for a run that was cancelled."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from components.progress import log
from pipelines.kubeflow.client import FINISHED, Kubeflow
from pipelines.kubeflow.transport import ApiError

_SECONDS_BETWEEN_LOOKS = 5.0

# For so long a server may be away (an upgrade, a laptop that sleeps) before following ends.
_LONGEST_OUTAGE = 600.0

Mark = Literal["waiting", "running", "done", "skipped", "failed"]

_MARKS: dict[str, Mark] = {
    "RUNNING": "running",
    "CANCELING": "running",
    "SUCCEEDED": "done",
    "SKIPPED": "skipped",
    "FAILED": "failed",
    "CANCELED": "failed",
}


class TaskState(NamedTuple):
    """A step of a run: `state` is KFP's word, `mark` what it means to a person."""

    name: str
    state: str
    mark: Mark
    seconds: float


def follow(
    kubeflow: Kubeflow, run_id: str, show: Callable[[Any], None], pause: float = _SECONDS_BETWEEN_LOOKS
) -> Any:
    """Calls `show` with the run as the server has it, again and again, until the run has ended.

    Returns:
      The run.

    Raises:
      UserError: if the server refuses the request, or has been away for ten minutes.
    """
    last_answer, lost = time.monotonic(), False
    while True:
        try:
            run = kubeflow.sdk.runs.run_service_get_run(run_id=run_id)
        except ApiError as error:
            if not error.passing or time.monotonic() - last_answer > _LONGEST_OUTAGE:
                raise
            if not lost:
                log(f"the run's state is not known, trying again: {error}")
            lost = True
        else:
            if lost:
                log("the server answers again")
            last_answer, lost = time.monotonic(), False
            show(run)
            if run.state in FINISHED:
                return run
        time.sleep(pause)


def task_states(run: Any, titles: Mapping[str, str]) -> list[TaskState]:
    """The states of the steps that `titles` names, in its order; those that have not begun are left out.

    The server's list also holds what it makes around each step (drivers, executors, sub-graphs). A step that
    was started again is in it once for each start: the last one counts. Servers differ in whether they call
    a step by its name or by its title.
    """
    names = {title: name for name, title in titles.items()}
    details = run.run_details.task_details or [] if run.run_details is not None else []
    latest: dict[str, Any] = {}
    for task in sorted(details, key=lambda task: task.create_time or datetime.min.replace(tzinfo=UTC)):
        latest[names.get(task.display_name, task.display_name)] = task
    return [_state(latest[name], name) for name in titles if name in latest]


def _state(task: Any, name: str) -> TaskState:
    state = str(task.state or "PENDING")
    return TaskState(name, state, _MARKS.get(state, "waiting"), _seconds(task))


def _seconds(task: Any) -> float:
    if task.start_time is None:
        return 0.0
    # A task that has not ended has no end, or 1970 for one.
    ended = task.end_time if task.end_time and task.end_time >= task.start_time else datetime.now(UTC)
    return float(max((ended - task.start_time).total_seconds(), 0))

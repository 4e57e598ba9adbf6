"""Follows a run on the cluster to its end, and shows its progress."""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from components.progress import log
from pipelines.kubeflow.client import FINISHED, Kubeflow, state_of
from pipelines.kubeflow.step_pods import start_of, tasks_of
from pipelines.kubeflow.transport import ApiError

_SECONDS_BETWEEN_LOOKS = 5.0

# Seconds without an answer (an upgrade, a laptop that sleeps) after which following ends.
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
    """State of a step of a run, as KFP calls it, and the mark by which it is shown."""

    name: str
    state: str
    mark: Mark
    seconds: float


def follow(
    kubeflow: Kubeflow,
    run_id: str,
    show: Callable[[Any], Any] = lambda run: None,
    *,
    timeout: float = math.inf,
    pause: float = _SECONDS_BETWEEN_LOOKS,
) -> Any:
    """Fetches a run repeatedly and calls `show` with it, until it has ended or `timeout` seconds are over.

    Returns the run as it was last. Raises `UserError` if the server refuses the request, or has not answered
    for ten minutes, or when the time is over.
    """
    started = last_answer = time.monotonic()
    lost = False
    while True:
        over = time.monotonic() - started >= timeout
        try:
            run = kubeflow.sdk.runs.run_service_get_run(run_id=run_id)
        except ApiError as error:
            if over or not error.passing or time.monotonic() - last_answer > _LONGEST_OUTAGE:
                raise
            if not lost:
                log(f"the run's state is not known, trying again: {error}")
            lost = True
        else:
            if lost:
                log("the server answers again")
            last_answer, lost = time.monotonic(), False
            show(run)
            if over or run.state in FINISHED:
                return run
        time.sleep(min(pause, max(started + timeout - time.monotonic(), 0)))


def task_states(run: Any, titles: Mapping[str, str]) -> list[TaskState]:
    """Returns the states of the steps in `titles`, in its order, without those that have not begun.

    The list of the server also has drivers, executors, sub-graphs and attempts. If a step is in it several
    times, the last start counts. Some servers list a step by its name, others by its title.
    """
    names = {title: name for name, title in titles.items()}
    latest: dict[str, Any] = {}
    for task in sorted(tasks_of(run), key=start_of):
        latest[names.get(task.display_name, task.display_name)] = task
    return [_state(latest[name], name) for name in titles if name in latest]


def _state(task: Any, name: str) -> TaskState:
    state = str(task.state or "PENDING")
    if state == "RUNTIME_STATE_UNSPECIFIED":  # so the server calls a step that Argo omitted: another failed
        state = "SKIPPED"
    return TaskState(name, state, _MARKS.get(state, "waiting"), _seconds(task))


def _seconds(task: Any) -> float:
    if task.start_time is None:
        return 0.0
    # A task that has not ended has no end time, or 1970.
    ended = task.end_time if task.end_time and task.end_time >= task.start_time else datetime.now(UTC)
    return float(max((ended - task.start_time).total_seconds(), 0))


_SIGNS = {
    "waiting": "[dim]·[/dim]",
    "running": "[cyan]▸[/cyan]",
    "done": "[green]✓[/green]",
    "skipped": "[dim]-[/dim]",
    "failed": "[red]✗[/red]",
}


class Board(ExitStack):
    """Shows the steps of a run, called with the run as the server has it."""

    def __init__(
        self,
        console: Console,
        titles: Mapping[str, str],
        explain: Callable[[Any], list[str]] = lambda run: [],
    ) -> None:
        """Args: `titles`: in pipeline order; `explain`: says what holds a run up, one line for each cause."""
        super().__init__()
        self._console, self._titles, self._explain = console, titles, explain
        self.notes: list[str] = []  # what holds the run up now
        live = Live(console=console, auto_refresh=False)
        self._live = self.enter_context(live) if console.is_terminal else None
        self._said: dict[str, str] = {}

    def __call__(self, run: Any) -> None:
        tasks = task_states(run, self._titles)
        before, self.notes = self.notes, [] if run.state in FINISHED else self._explain(run)
        if self._live is not None:
            notes = (Text(f"! {note}", "yellow") for note in self.notes)
            self._live.update(Group(self._table(state_of(run), tasks), *notes), refresh=True)
            return
        for note in self.notes:
            if note not in before:
                self._console.print(f"! {note}", highlight=False, markup=False, soft_wrap=True)
        for task in tasks:
            if self._said.get(task.name) != task.state:
                self._said[task.name] = task.state
                line = f"{_SIGNS[task.mark]} {self._titles[task.name]} {_duration(task)}"
                self._console.print(line.rstrip(), highlight=False, soft_wrap=True)

    def _table(self, state: str, tasks: list[TaskState]) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False, title=f"run {state}", title_justify="left")
        for task in tasks:
            table.add_row(_SIGNS[task.mark], self._titles[task.name], _duration(task))
        return table


def _duration(task: TaskState) -> str:
    # A cached step ends when it begins.
    timed = task.mark != "waiting" and task.seconds >= 1
    text = f"{task.seconds:.0f} s" if timed else task.state.lower()
    return f"[dim]{text}[/dim]"

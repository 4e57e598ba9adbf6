"""Follows a run on the cluster to its end, shows its progress, and prints its verdict."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.padding import Padding
from rich.table import Table

from components.errors import UserError
from components.progress import log
from pipelines.kubeflow.client import FINISHED, ApiError, Kubeflow

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
    kubeflow: Kubeflow, run_id: str, show: Callable[[Any], None], pause: float = _SECONDS_BETWEEN_LOOKS
) -> Any:
    """Fetches a run repeatedly and calls `show` with it, until it has ended; returns it.

    Raises `UserError` if the server refuses the request, or has not answered for ten minutes.
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
    """Returns the states of the steps in `titles`, in its order, without those that have not begun.

    The list of the server also has drivers, executors and sub-graphs. A retried step is in it once for each
    attempt: the last one counts. Some servers list a step by its name, others by its title.
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
    """Shows the steps of a run, called with the run as the server has it; `titles` in pipeline order."""

    def __init__(self, console: Console, titles: Mapping[str, str]) -> None:
        super().__init__()
        self._console, self._titles = console, titles
        live = Live(console=console, auto_refresh=False)
        self._live = self.enter_context(live) if console.is_terminal else None
        self._said: dict[str, str] = {}

    def __call__(self, run: Any) -> None:
        tasks = task_states(run, self._titles)
        if self._live is not None:
            self._live.update(self._table(str(run.state or "PENDING"), tasks), refresh=True)
            return
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


def print_verdict(run: Any, console: Console) -> None:
    """Prints the outcome in the run record of `run`, or why the record cannot be read."""
    registry = str((run.runtime_config.parameters or {}).get("registry", "")) if run.runtime_config else ""
    place = f"{registry.rstrip('/')}/runs/{run.run_id}"
    try:
        text, tables = _read(registry, run.run_id)
    except UserError as error:
        text, tables = f"the run's record is {place}; not read from here: {error}", []
    for table in tables:
        console.print(Padding(table, (1, 0, 0, 0)))
    console.print(text or f"no record of the run at {place}, as seen from here", soft_wrap=True, markup=False)


def _read(registry: str, run_id: str) -> tuple[str, list[Any]]:
    """Returns the outcome as a line ("" without a record), and the tables of the verdict if there is one."""
    from components.documents import decode
    from components.evaluate.console import verdict_tables
    from components.evaluate.verdict import VERDICT_FILE, Verdict
    from components.registry.registry import Registry
    from components.storage import NotFoundError

    runs = Registry(registry).runs
    record = runs.read(run_id)
    if record is None:
        return "", []
    version = f" {record.version}" if record.version else ""
    text = f"{record.outcome}{version}: {record.reason}"
    try:
        data = runs.document(run_id, VERDICT_FILE)
    except NotFoundError:  # the run failed before its verdict
        return text, []
    return text, verdict_tables(decode(data, Verdict, f"{VERDICT_FILE} of the run {run_id}"))

"""Shows a run on the cluster: a live table on a terminal, one line a change in a log."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipelines.kubeflow.follow import TaskState, task_states

_SIGNS = {
    "waiting": "[dim]·[/dim]",
    "running": "[cyan]▸[/cyan]",
    "done": "[green]✓[/green]",
    "skipped": "[dim]-[/dim]",
    "failed": "[red]✗[/red]",
}


class Board:
    """Called with a run as the server has it, shows its steps.

    Args:
      console: where.
      titles: what to call each step, in the order of the pipeline.
    """

    def __init__(self, console: Console, titles: Mapping[str, str]) -> None:
        self._console, self._titles = console, titles
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, run: Any) -> None:
        tasks = task_states(run, self._titles)
        if self._live is not None:
            self._live.update(self._table(str(run.state or "PENDING"), tasks), refresh=True)
            return
        for task in tasks:
            if self._said.get(task.name) != task.state:
                self._said[task.name] = task.state
                self._console.print(self._line(task), highlight=False, soft_wrap=True)

    def _table(self, state: str, tasks: list[TaskState]) -> Table:
        table = Table(box=None, show_header=False, pad_edge=False, title=f"run {state}", title_justify="left")
        for task in tasks:
            table.add_row(_SIGNS[task.mark], self._titles[task.name], _duration(task))
        return table

    def _line(self, task: TaskState) -> str:
        return f"{_SIGNS[task.mark]} {self._titles[task.name]} {_duration(task)}".rstrip()


def _duration(task: TaskState) -> str:
    # A step whose earlier result is taken ends as it begins.
    timed = task.mark != "waiting" and task.seconds >= 1
    text = f"{task.seconds:.0f} s" if timed else task.state.lower()
    return f"[dim]{text}[/dim]"

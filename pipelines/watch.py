"""Shows a running pipeline: live on a terminal, one line an event in a log."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape

from pipelines.resources import REQUESTS
from pipelines.run_log import Event


class Watch:
    """Prints what happens in a run, and keeps the step in progress in the last line of a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("Starting the pipeline") if console.is_terminal else None
        self._started: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, event: Event) -> None:
        if event.kind == "started":
            self._started[event.subject] = time.monotonic()
            self._say(f"[bold]{_title(event.subject)}[/bold]")
        elif event.kind == "ended":
            seconds = time.monotonic() - self._started.get(event.subject, time.monotonic())
            self._console.print(f"[green]✓[/green] {_title(event.subject)} [dim]{seconds:.1f} s[/dim]")
        elif event.kind == "cached":
            self._console.print(f"[green]✓[/green] {_title(event.subject)} [dim]as before (cached)[/dim]")
        elif event.kind == "failed" and event.subject in REQUESTS:
            self._console.print(f"[red]✗[/red] {_title(event.subject)}")
        elif event.kind == "progress":
            self._say(f"  {escape(event.subject)}")
        elif event.kind == "line":
            self._console.print(f"  [dim]{escape(event.subject)}[/dim]", highlight=False, soft_wrap=True)

    def _say(self, text: str) -> None:
        """Replaces the last line of a terminal; in a log it is a line like any other."""
        if self._status is not None:
            self._status.update(text)
        else:
            self._console.print(text, highlight=False, soft_wrap=True)


def _title(step: str) -> str:
    return REQUESTS[step].display_name if step in REQUESTS else step

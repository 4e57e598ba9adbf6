"""Shows a running pipeline and its end: inputs, results, and the next commands."""

import shlex
import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from components.errors import UserError
from pipelines.resources import REQUESTS
from pipelines.run import Event, Outcome

if TYPE_CHECKING:
    from components.evaluate.verdict import Verdict
    from components.recommend.showcase import Showcase
    from components.registry.run_records import RunRecord


def end_screen(outcome: Outcome, registry: str) -> int:
    """Prints the outcome of a run and returns the exit status.

    0: published, or refused for the reasons shown. 1: a step failed. 2: a mistake of the user.
    """
    from components.documents import decode
    from components.evaluate.verdict import VERDICT_FILE, Verdict
    from components.registry.registry import Registry
    from components.registry.run_records import FAILED, SKIPPED

    run_id = outcome.record.rpartition("/")[2]
    runs = Registry(registry).runs
    record = runs.read(run_id) if run_id else None
    if record is None or record.outcome == FAILED:
        return _failed(outcome, Console(stderr=True))
    if record.outcome == SKIPPED:
        _print(Console(), f"Nothing to do: {record.reason}")
        return 0
    verdict = decode(runs.document(run_id, VERDICT_FILE), Verdict, f"{outcome.record}/{VERDICT_FILE}")
    _print_result(record, verdict, registry, outcome.recommendations, Console())
    return 1 if outcome.failed else 0


def _failed(outcome: Outcome, console: Console) -> int:
    for line in outcome.errors:
        _print(console, escape(f"error: {line}"))
    if outcome.errors:
        return 2
    steps = ", ".join(outcome.failed) or "the run"
    _print(console, f"error: {steps} failed; the end of {outcome.log} says why")
    return 1


def _print_result(
    record: "RunRecord", verdict: "Verdict", registry: str, recommendations: str, console: Console
) -> None:
    from components.report.terminal import run_summary

    console.print()
    for part in run_summary(record, verdict):
        console.print(part, highlight=False)
    shown = _showcase(record, registry)
    if shown is not None:
        from components.recommend.showcase import render

        console.print(Padding(render(shown), (1, 0, 0, 0)))
    _print_places(record, registry, recommendations, console)
    _print_next_commands(shown, record.version, registry, console)


def _showcase(record: "RunRecord", registry: str) -> "Showcase | None":
    """Picks a user of the index of this run or, after a refusal, of the one in use; None if it has none."""
    from components.export.manifest import NONE, read_manifest
    from components.recommend.showcase import showcase
    from components.registry.registry import published_index

    try:
        index = published_index(registry, record.version)
    except UserError:
        return None  # refused, and there is no earlier version
    return showcase(index) if read_manifest(index).histories != NONE else None


def _print_places(record: "RunRecord", registry: str, recommendations: str, console: Console) -> None:
    root = registry.rstrip("/")
    run = f"{root}/runs/{record.run_id}"
    places = {"report": f"{run}/report.html", "run record": run}
    if record.version:
        places = {"version": f"{root}/versions/{record.version}", **places}
    if recommendations:
        places["batch file"] = recommendations
    console.print()
    for name, place in places.items():
        _print(console, f"{name:<12}{place}")


def _print_next_commands(shown: "Showcase | None", version: str, registry: str, console: Console) -> None:
    at = "" if registry == "registry" else f" --registry {shlex.quote(registry)}"
    if shown is None:
        refused = "the same command with --gate report publishes it all the same"
        next_one = f"{_command()} recommend --history FILE{at}" if version else refused
        _print(console, f"{'type next':<12}{next_one}")
        return
    user, movie = shlex.quote(shown.user_id), shlex.quote((shown.recommended or shown.liked)[0]["movie_id"])
    lines = (f"recommend {user} -k 5 --order rating", f"rate {user} {movie}", f"history {user}")
    if shown.liked and "rating" not in shown.liked[0]:  # feedback without stars
        lines = (f"recommend {user} -k 5", f"similar {movie}", f"history {user}")
    for label, line in zip(("type next", "", ""), lines, strict=True):
        _print(console, f"{label:<12}{_command()} {line}{at}")


def _command() -> str:
    """Returns the word that starts this program from where its user stands."""
    started = Path(sys.argv[0])
    if started.name != "twotower":  # as a module
        return f"{shlex.quote(sys.executable)} -m pipelines.cli"
    return started.name if shutil.which(started.name) == str(started) else shlex.quote(str(started))


class Watch(ExitStack):
    """Prints the events of a run, and shows the step in progress in the last line of a terminal."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        status = console.status("Starting the pipeline")
        self._status = self.enter_context(status) if console.is_terminal else None
        self._started: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        title = REQUESTS[event.subject].display_name if event.subject in REQUESTS else event.subject
        if event.kind == "started":
            self._started[event.subject] = time.monotonic()
            self._say(f"[bold]{title}[/bold]")
        elif event.kind == "ended":
            seconds = time.monotonic() - self._started.get(event.subject, time.monotonic())
            self._console.print(f"[green]✓[/green] {title} [dim]{seconds:.1f} s[/dim]")
        elif event.kind == "cached":
            self._console.print(f"[green]✓[/green] {title} [dim]as before (cached)[/dim]")
        elif event.kind == "failed" and event.subject in REQUESTS:
            self._console.print(f"[red]✗[/red] {title}")
        elif event.kind == "progress":
            self._say(f"  {escape(event.subject)}")
        elif event.kind == "line":
            _print(self._console, f"  [dim]{escape(event.subject)}[/dim]")

    def _say(self, text: str) -> None:
        """Replaces the last line of a terminal; prints a line where there is no terminal."""
        if self._status is not None:
            self._status.update(text)
        else:
            _print(self._console, text)


def _print(console: Console, text: str) -> None:
    """Prints a line as it is, whatever the width of the console."""
    console.print(text, highlight=False, soft_wrap=True)

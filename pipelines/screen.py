"""The screen that a run ends with: what went in, what came out, and what to type next."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding

from components.errors import UserError
from pipelines.run import Outcome

if TYPE_CHECKING:
    from components.recommend.showcase import Showcase
    from components.registry.run_records import RunRecord


def end_screen(outcome: Outcome, registry: str) -> int:
    """Prints how a run ended and returns the command's exit status.

    0: published, or refused for the reasons shown. 1: a step failed. 2: a mistake of the user's.
    """
    from components.registry.registry import Registry
    from components.registry.run_records import FAILED, SKIPPED

    run_id = outcome.record.rpartition("/")[2]
    runs = Registry(registry).runs
    record = runs.read(run_id) if run_id else None
    if record is None or record.outcome == FAILED:
        return _failed(outcome, Console(stderr=True))
    if record.outcome == SKIPPED:
        Console().print(f"Nothing to do: {record.reason}", highlight=False, soft_wrap=True)
        return 0
    verdict = json.loads(runs.document(run_id, "verdict.json"))
    _story(record, verdict, registry, Console())
    return 1 if outcome.failed else 0


def _failed(outcome: Outcome, console: Console) -> int:
    for line in outcome.errors:
        console.print(f"error: {line}", highlight=False, markup=False, soft_wrap=True)
    if outcome.errors:
        return 2
    steps = ", ".join(outcome.failed) or "the run"
    console.print(
        f"error: {steps} failed; the end of {outcome.log} says why", highlight=False, soft_wrap=True
    )
    return 1


def _story(record: "RunRecord", verdict: dict[str, Any], registry: str, console: Console) -> None:
    from components.report.terminal import story

    console.print()
    for part in story(record, verdict):
        console.print(part, highlight=False)
    shown = _showcase(record, registry)
    if shown is not None:
        from components.recommend.showcase import render

        console.print(Padding(render(shown), (1, 0, 0, 0)))
    _places(record, registry, console)
    _next(shown, registry, console)


def _showcase(record: "RunRecord", registry: str) -> "Showcase | None":
    """A user of the index that this run made or, after a refusal, of the one still in use."""
    from components.recommend.showcase import showcase
    from components.registry.published import published_index

    try:
        index: Path = published_index(registry, record.version)
    except UserError:
        return None  # refused, and no version has been published before
    return showcase(index)


def _places(record: "RunRecord", registry: str, console: Console) -> None:
    root = registry.rstrip("/")
    run = f"{root}/runs/{record.run_id}"
    places = {"report": f"{run}/report.html", "run record": run}
    if record.version:
        places = {"version": f"{root}/versions/{record.version}", **places}
    console.print()
    for name, place in places.items():
        console.print(f"{name:<12}{place}", highlight=False, soft_wrap=True)


def _next(shown: "Showcase | None", registry: str, console: Console) -> None:
    if shown is None:
        console.print(
            f"{'type next':<12}the same command with --gate report publishes it all the same",
            highlight=False,
            soft_wrap=True,
        )
        return
    at = "" if registry == "registry" else f" --registry {shlex.quote(registry)}"
    user, movie = shlex.quote(shown.user_id), shlex.quote(shown.recommended[0]["movie_id"])
    lines = (f"recommend {user} -k 5 --order rating", f"rate {user} {movie}", f"history {user}")
    for label, line in zip(("type next", "", ""), lines, strict=True):
        console.print(f"{label:<12}.venv/bin/twotower {line}{at}", highlight=False, soft_wrap=True)

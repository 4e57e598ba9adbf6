"""The screen that a run ends with: what went in, what came out, and what to type next."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.padding import Padding

from components.errors import UserError
from pipelines.run import Outcome


def end_screen(outcome: Outcome, registry: str) -> int:
    """Prints how a run ended and returns the command's exit status.

    0: published, or refused for the reasons shown. 1: a step failed. 2: a mistake of the user's.
    """
    from components.registry.run_records import load_run

    errors = Console(stderr=True)
    if not outcome.record:
        return _no_record(outcome, errors)
    record = load_run(outcome.record)
    if record["outcome"] == "failed":
        return _failed(outcome, errors)
    _story(record, registry, outcome.record, Console())
    return 1 if outcome.failed else 0


def _no_record(outcome: Outcome, console: Console) -> int:
    if outcome.errors:
        return _failed(outcome, console)
    console.print(
        f"error: the run left no record; what happened is in {outcome.log}", highlight=False, soft_wrap=True
    )
    return 1


def _failed(outcome: Outcome, console: Console) -> int:
    for line in outcome.errors:
        console.print(f"error: {line}", highlight=False, markup=False, soft_wrap=True)
    if outcome.errors:
        return 2
    steps = ", ".join(outcome.failed) or "the run"
    console.print(
        f"error: {steps} failed; the last lines of {outcome.log} say why", highlight=False, soft_wrap=True
    )
    return 1


def _story(record: dict[str, Any], registry: str, place: str, console: Console) -> None:
    from components.evaluate.console import verdict_tables

    data, verdict = record["data"], record["verdict"]
    console.rule("Data", align="left")
    console.print(
        f"  {data['rows_read']:,} rows read, {data['rows_kept']:,} kept, {data['rows_rejected']:,} rejected"
        f"  ·  {data['users']:,} users, {data['movies_rated']:,} of {data['movies']:,} movies rated",
        highlight=False,
    )
    for table in verdict_tables(verdict):
        console.print(Padding(table, (1, 0, 0, 2)))
    console.print()
    index = _published(record, registry)
    if index is not None:
        _taste(index, console)
    _places(record, registry, place, console)
    _next(record, registry, index, console)


def _published(record: dict[str, Any], registry: str) -> Path | None:
    """The champion's index, if there is one to show: this run's, or after a refusal the one still in use."""
    from components.registry.reader import published_index

    try:
        return published_index(registry, record.get("version") or "")
    except UserError:
        return None


def _taste(index: Path, console: Console) -> None:
    from components.recommend.showcase import render, showcase

    console.print(render(showcase(index)))


def _places(record: dict[str, Any], registry: str, place: str, console: Console) -> None:
    console.rule("Where it lies", align="left")
    root = registry.rstrip("/")
    if record.get("version"):
        console.print(
            f"  published version  {root}/versions/{record['version']}", highlight=False, soft_wrap=True
        )
    console.print(f"  report             {place}/report.html", highlight=False, soft_wrap=True)
    console.print(f"  run record         {place}", highlight=False, soft_wrap=True)


def _next(record: dict[str, Any], registry: str, index: Path | None, console: Console) -> None:
    at = f"--registry {shlex.quote(registry)}"
    console.rule("What to type next", align="left")
    if index is None:
        console.print("  twotower run … --gate report        # publish all the same, the verdict on record")
        return
    from components.recommend.showcase import showcase

    user = shlex.quote(showcase(index).user_id)
    movie = shlex.quote(showcase(index).recommendations[0].movie_id)
    for line in (f"recommend {user} -k 5 {at}", f"rate {user} {movie} {at}", f"history {user} {at}"):
        console.print(f"  .venv/bin/twotower {line}", highlight=False, soft_wrap=True)

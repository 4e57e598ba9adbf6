"""Runs and versions in a few lines for a terminal, and their pages in a browser."""

import tempfile
import webbrowser
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from components.display import duration, size
from components.errors import UserError
from components.evaluate.verdict import FAIL, Rule, Verdict
from components.ingest.settings import IMPLICIT
from components.metrics import CHALLENGER, Metric, short
from components.registry.registry import Registry
from components.registry.run_records import PUBLISHED, RunRecord
from components.report.headline import headline
from components.report.lookup import Found
from components.report.tables import compared
from components.step import StepRecord
from components.storage import NotFoundError, is_remote

_STYLES = {"pass": "bold green", "warn": "bold yellow", "fail": "bold red"}
_ENDS = {
    "fail": "✗ rules that fail",
    "undecided": "? rules undecided",
    "pass": "✓ rules that pass",
    "skipped": "– rules skipped",
}


def run_summary(record: RunRecord, verdict: Verdict) -> Iterator[RenderableType]:
    """Yields how a run ended and why, its data, its metrics beside the others', its rules, and its time."""
    head = headline(verdict)
    yield Text(_ending(record) or head.title, style=_STYLES[head.state])
    for line in (*(reason.text for reason in head.reasons), *head.hints, *([head.more] if head.more else [])):
        yield Padding(Text(line), (0, 0, 0, 2), expand=False)
    yield ""
    rows = record.rows
    if rows.read is not None:
        forgotten = f", {rows.forgotten_users:,} users forgotten" if rows.forgotten_users is not None else ""
        yield f"{rows.read:,} rows read, {rows.kept:,} kept, {rows.rejected:,} rejected{forgotten}"
    if verdict.feedback == IMPLICIT:
        yield "Feedback without stars: it recommends, and predicts no ratings"
    for metric in verdict.gate_metrics:
        if of_scorers := compared(verdict, metric.name):
            title = "Stars off (RMSE)" if metric.in_stars else f"Finds of 100 ({metric.short})"
            yield Text(f"{title}: ") + _ranking(of_scorers, metric)
    yield from _rules(verdict.rules)
    if record.steps:
        yield _took(record.steps)


def _ending(record: RunRecord) -> str:
    """States how a run ended whose model may go live; "" where the verdict's own title says it."""
    if not record.version:
        return ""
    if record.sequence:
        return f"Published: {record.version} is served now, number {record.sequence} of the champion log"
    return f"{record.outcome.capitalize()}: {record.reason}"


def _ranking(of_scorers: Mapping[str, float], metric: Metric) -> Text:
    """Formats all scorers with their figures, the best first; the challenger's in bold."""
    best_first = sorted(of_scorers.items(), key=lambda one: one[1], reverse=metric.better == "more")
    digits = 3 if metric.in_stars else 1
    parts = []
    for name, value in best_first:
        text = f"{metric.figure(value, digits)} {short(name)}"
        parts.append(Text(text, style="bold" if name == CHALLENGER else ""))
    return Text(" · ").join(parts)


def _rules(rules: Sequence[Rule]) -> Iterator[RenderableType]:
    """Yields the rules by name, failing ones first; groups of many rules that did not fail are counted."""
    for verdict, end in _ENDS.items():
        ended_so = [rule for rule in rules if rule.verdict == verdict]
        groups = Counter(rule.group for rule in ended_so if verdict != FAIL)
        alone = [rule.name for rule in ended_so if verdict == FAIL or not rule.group]
        counted = [f"{number} about {group}" for group, number in groups.items() if group]
        if ended_so:
            yield Text(f"{end}: {', '.join(alone + counted)}")


def _took(steps: Sequence[StepRecord]) -> str:
    """States the time of all steps, the longest of them, and the greatest memory."""
    longest = max(steps, key=lambda step: step.seconds)
    memory = max(step.peak_memory_bytes for step in steps)
    together = duration(sum(step.seconds for step in steps))
    return (
        f"Took {together}, {duration(longest.seconds)} of it to {longest.step}; "
        f"{size(memory)} of memory at most"
    )


def summary(found: Found) -> Iterator[str]:
    """Yields how a run or version ended, and why."""
    record = found.record
    if record is not None:
        version = (
            f": {record.version}, number {record.sequence} of the champion log" if record.sequence else ""
        )
        yield f"run {record.run_id} {record.outcome}{version}"
    elif found.manifest is not None:
        yield f"version {found.name}, whose run has no record any more"
    if found.verdict:
        head = headline(found.verdict)
        yield from (head.title, *(reason.text for reason in head.reasons), *head.hints)
    elif record is not None and record.outcome != PUBLISHED:
        yield record.reason


_PAGE = "report.html"


def local_page(registry: Registry, found: Found, output: str = "") -> str:
    """Returns a local file with the page of a run or version: the page itself, or a copy.

    It is copied if it lies in a bucket, or if an `output` is named. Raises `UserError` if it has
    no page.
    """
    key = f"{'versions' if found.manifest else 'runs'}/{found.name}/{_PAGE}"
    place = registry.storage.uri(key)
    try:
        registry.storage.stat(key)
    except NotFoundError as error:
        raise UserError(f"{place} does not exist: {_why(found)}") from error
    if not output and not is_remote(registry.root):
        return place
    target = Path(output) if output else Path(tempfile.mkdtemp(prefix="twotower-"), f"{found.name}.html")
    registry.storage.download_file(key, target)
    return str(target)


def show(page: str) -> None:
    """Shows a local page in the user's browser. Raises `UserError` if there is none that can be started."""
    if not webbrowser.open(Path(page).resolve().as_uri()):
        raise UserError(f"no browser could be started here; copy {page} to where there is one")


def _why(found: Found) -> str:
    record = found.record
    if record is None:
        return "it was deleted; restore it from a backup"
    return f"the run {record.run_id} {record.outcome} before it had a page; name another run"

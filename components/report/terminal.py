"""The story of a run for a terminal: the page's first screen in a dozen lines."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.padding import Padding
from rich.text import Text

from components.evaluate.console import rule_group
from components.evaluate.names import ERRORS, RMSE, TOP_100_UNSEEN
from components.registry.run_records import RunRecord
from components.report.headline import headline
from components.report.tables import compared
from components.report.units import duration, figure, plain, size

_STYLES = {"pass": "bold green", "warn": "bold yellow", "fail": "bold red"}
_ENDS = {"fail": "✗ rules that fail", "pass": "✓ rules that pass", "skipped": "– rules skipped"}
_TITLES = {TOP_100_UNSEEN: "Finds of 100 (top-100 unseen)", RMSE: "Stars off (RMSE)"}


def story(record: RunRecord, verdict: Mapping[str, Any]) -> Iterator[RenderableType]:
    """How a run ended and why, its data, what it was compared with, its rules, and its time."""
    head = headline(verdict)
    yield Text(_ending(record) or head.title, style=_STYLES[head.state])
    for line in (*(reason.text for reason in head.reasons), *head.hints, *([head.more] if head.more else [])):
        yield Padding(Text(line), (0, 0, 0, 2), expand=False)
    yield ""
    rows = record.rows
    if rows:
        yield f"{rows['read']:,} rows read, {rows['kept']:,} kept, {rows['rejected']:,} rejected"
    for metric, title in _TITLES.items():
        if of_scorers := compared(verdict, metric):
            yield Text(f"{title}: ") + _ranking(of_scorers, metric)
    yield from _rules(verdict["rules"])
    if record.steps:
        yield _took(record.steps)


def _ending(record: RunRecord) -> str:
    """How it ended, for a run whose model may go live; "" where the verdict's own title says it."""
    if not record.version:
        return ""
    if record.sequence:
        return f"Published: {record.version} is served now, number {record.sequence} of the champion log"
    return f"{record.outcome.capitalize()}: {record.reason}"


def _ranking(of_scorers: Sequence[tuple[str, float]], metric: str) -> Text:
    """All scorers with their figures, the best first; the model's own in bold."""
    best_first = sorted(of_scorers, key=lambda one: one[1], reverse=metric not in ERRORS)
    digits = 3 if metric in ERRORS else 1
    parts = []
    for name, value in best_first:
        text = f"{figure(value, metric, digits)} {plain(name)}"
        parts.append(Text(text, style="bold" if name == "challenger" else ""))
    return Text(" · ").join(parts)


def _rules(rules: Sequence[Mapping[str, Any]]) -> Iterator[RenderableType]:
    """The rules by name, those that failed first; of groups of many rules that did not fail, how many."""
    for verdict, end in _ENDS.items():
        ended_so = [rule for rule in rules if rule["verdict"] == verdict]
        groups = Counter(rule_group(rule) for rule in ended_so if verdict != "fail")
        alone = [rule["name"] for rule in ended_so if verdict == "fail" or rule_group(rule) is None]
        counted = [f"{number} about {group}" for group, number in groups.items() if group]
        if ended_so:
            yield Text(f"{end}: {', '.join(alone + counted)}")


def _took(steps: Sequence[Mapping[str, Any]]) -> str:
    """The time of all steps, the longest of them, and the greatest memory; the page has them one by one."""
    longest = max(steps, key=lambda step: float(step["seconds"]))
    memory = max(int(step["peak_memory_bytes"]) for step in steps)
    together = duration(sum(step["seconds"] for step in steps))
    return (
        f"Took {together}, {duration(longest['seconds'])} of it to {longest['step']}; "
        f"{size(memory)} of memory at most"
    )

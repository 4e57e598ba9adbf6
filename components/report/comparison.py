"""Comparison of two runs or versions: metrics, settings and data side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from components.display import figure, setting, table
from components.documents import Document, plain
from components.evaluate.verdict import Interval
from components.metrics import ACCURACY_UNSEEN, CHALLENGER, CHAMPION, METRICS, RMSE, TOP_100_UNSEEN
from components.report.lookup import Found

# What the statistics of the data say that two people would compare.
_DATA = (
    "rows_kept",
    "rows_rejected",
    "users",
    "movies",
    "movies_rated",
    "rating_mean",
    "rating_scale",
    "splits",
)
_VERDICT = ("split", "test_rows", "test_users", "movies")

CHANCE = "chance"


class Difference(Document):
    """One metric of both."""

    metric: str
    first: float | None  # None where it is not finite or not known
    second: float | None
    first_interval: Interval | None  # 95%; None where not known
    second_interval: Interval | None
    by: float | None  # second - first; None where one is not known
    better: str  # "first" or "second"; "chance" if that may be all; "" if neither direction is better


class Comparison(Document):
    """Two runs or versions."""

    first: str  # id of a run or version
    second: str
    same_rows: bool  # measured on the same test rows; else the metrics can hardly be compared
    metrics: list[Difference]  # those of either
    settings: dict[str, tuple[Any, Any]]  # those that differ: name -> value of both, None for none
    data: dict[str, tuple[Any, Any]]  # likewise


def compare(first: Found, second: Found) -> Comparison:
    """Compares two runs or versions.

    A difference is beyond chance where the gate has measured it on the same rows, because one was the
    other's champion; else where the intervals of both do not overlap, which is the more cautious.
    """
    names = dict.fromkeys([*first.source.metrics, *second.source.metrics])
    return Comparison(
        first=first.name,
        second=second.name,
        same_rows=_rows(first) == _rows(second),
        metrics=[_difference(name, first, second) for name in names],
        settings=_differing(first.source.settings, second.source.settings),
        data=_differing(_data(first), _data(second)),
    )


def _difference(metric: str, first: Found, second: Found) -> Difference:
    one, other = first.source.metrics.get(metric), second.source.metrics.get(metric)
    mine, theirs = (
        found.verdict.interval(CHALLENGER, metric) if found.verdict else None for found in (first, second)
    )
    by = None if one is None or other is None else other - one
    direction = METRICS[metric].better if metric in METRICS else ""
    if by is None or not direction:
        better = ""
    elif by == 0 or not _beyond_chance(_paired(metric, first, second), mine, theirs):
        better = CHANCE
    else:
        better = "second" if (by < 0) == (direction == "less") else "first"
    return Difference(
        metric=metric,
        first=one,
        second=other,
        first_interval=mine,
        second_interval=theirs,
        by=by,
        better=better,
    )


def _beyond_chance(paired: Interval | None, first: Interval | None, second: Interval | None) -> bool:
    """Judges by the interval of the difference, else by whether the intervals of both overlap."""
    if paired:
        return not paired[0] <= 0 <= paired[1]
    return first is None or second is None or first[1] < second[0] or second[1] < first[0]


def _paired(metric: str, first: Found, second: Found) -> Interval | None:
    """Returns the interval of the difference that the gate measured, if one was the other's champion."""
    for challenger, champion in ((first, second), (second, first)):
        verdict = challenger.verdict
        names = {champion.name, champion.record.version if champion.record else ""} - {""}
        for rule in verdict.rules if verdict and verdict.champion.version in names else ():
            if rule.against == CHAMPION and not rule.slice and rule.metric == metric and rule.interval:
                return rule.interval
    return None


def _rows(found: Found) -> tuple[Any, ...]:
    """Identifies the test rows; for a run whose verdict is gone, by the input alone."""
    verdict = found.verdict
    measured = (verdict.split, verdict.test_rows, verdict.test_users) if verdict else ()
    return found.source.fingerprint, *measured


def _data(found: Found) -> dict[str, Any]:
    verdict = plain(found.verdict) if found.verdict else {}
    of_verdict = {name: verdict[name] for name in _VERDICT if verdict}
    of_data = {name: found.statistics[name] for name in _DATA if name in found.statistics}
    return {"fingerprint": found.source.fingerprint, **dict(_flat(of_verdict)), **dict(_flat(of_data))}


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Nested objects as entries of their own, so that only those that differ are listed."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{inner}", content) for inner, content in value.items())
        else:
            yield name, value


def _differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {
        name: (first.get(name), second.get(name))
        for name in dict.fromkeys([*first, *second])
        if first.get(name) != second.get(name)
    }


# The metrics that everyone compares; `--all` shows the others too.
_FIRST = (TOP_100_UNSEEN, ACCURACY_UNSEEN.format(10), RMSE)


def comparison_tables(comparison: Comparison, every_metric: bool = False) -> list[RenderableType]:
    """Returns the metrics with the better one marked, and the settings and data that differ."""
    shown = [one for one in comparison.metrics if every_metric or one.metric in _FIRST]
    return [
        Text(f"A {comparison.first}\nB {comparison.second}"),
        Text(_conclusion(comparison, shown), style="bold"),
        _difference_table(shown),
        _differing_table("settings that differ", comparison.settings),
        _differing_table("data that differ", comparison.data),
    ]


def _conclusion(comparison: Comparison, shown: Sequence[Difference]) -> str:
    better = {one.better for one in shown} & {"first", "second"}
    if not better:
        text = "Neither is better beyond chance."
    elif len(better) == 2:
        text = "Each is better in something."
    else:
        text = f"{'A' if better == {'first'} else 'B'} is better."
    care = " They were measured on different test rows: take that with care."
    return text if comparison.same_rows else text + care


def _difference_table(differences: Sequence[Difference]) -> Table:
    rows = []
    for one in differences:
        better = {"first": "A", "second": "B", CHANCE: "chance"}.get(one.better, "")
        by = "-" if one.by is None else f"{one.by:+.4f}"
        name = METRICS[one.metric].short if one.metric in METRICS else ""
        rows.append((name or one.metric, figure(one.first), figure(one.second), by, better))
    return table("", ("metric", "A", "B", "B - A", "better"), rows)


def _differing_table(title: str, values: Mapping[str, tuple[Any, Any]]) -> RenderableType:
    if not values:
        return Text(f"no {title}")
    rows = ((name, setting(first), setting(second)) for name, (first, second) in values.items())
    return table(title, ("", "A", "B"), rows)

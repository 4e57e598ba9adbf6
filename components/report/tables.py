"""The report's figures as rows, cells and pairs."""

from collections.abc import Mapping
from typing import Any

from components.evaluate.details import Details, TopKCurve
from components.evaluate.verdict import Interval, IntervalsByScorer, Verdict
from components.metrics import (
    CHALLENGER,
    CHAMPION,
    COVERAGE,
    LIST_METRICS,
    RMSE,
    STAND_INS,
    TOP_100_UNSEEN,
    Metric,
    measured_metrics,
    short,
    title,
)

# A picture leaves out slices of fewer users: their wide intervals would press all others together.
_FEWEST_USERS = 30
_LENGTHS = (1, 5, 10, 20, 50, 100, 500)


def compared(verdict: Verdict, metric: str) -> dict[str, float]:
    """Scorer -> its finite value of `metric`, the challenger first."""
    values = {name: of_scorer.get(metric) for name, of_scorer in verdict.scorers.items()}
    return {name: value for name, value in values.items() if value is not None}


def cards(verdict: Verdict) -> list[dict[str, Any]]:
    """Collects the gate's metrics in people's units, with what stands beside them."""
    measured = [(metric, compared(verdict, metric.name)) for metric in verdict.gate_metrics]
    return [_card(verdict, metric, values) for metric, values in measured if CHALLENGER in values]


def _card(verdict: Verdict, metric: Metric, values: Mapping[str, float]) -> dict[str, Any]:
    mine = values[CHALLENGER]
    if metric.in_stars:
        lead = f"{metric.figure(mine)} stars off"
        text = "how far its ratings are from those that users gave (root mean square)"
    else:
        lead = f"finds {metric.figure(mine)} of 100"
        text = f"movies that users went on to {verdict.verb}, with the {metric.k} it would recommend to each"
    return {
        "metric": metric.name,
        "lead": lead,
        "text": text,
        "against": _against_champion(values, metric),
        "exact": f"{metric.label}: {_exact(metric, mine, verdict.interval(CHALLENGER, metric.name))}",
        "standings": {
            name: (metric.in_people_units(value), _people_interval(verdict.intervals, name, metric))
            for name, value in values.items()
        },
    }


def _against_champion(values: Mapping[str, float], metric: Metric) -> str:
    """States by how much the challenger is better than the champion, in people's units; "" without one."""
    if CHAMPION not in values:
        return ""
    mine, theirs = values[CHALLENGER], values[CHAMPION]
    of_mine, of_theirs = metric.apart(mine, theirs)
    if of_mine == of_theirs:
        return "as the champion"
    difference = metric.figure(abs(mine - theirs), digits=len(of_theirs.partition(".")[2]))
    more, less = ("closer", "farther off") if metric.in_stars else ("more", "fewer")
    direction = more if metric.is_better(mine, theirs) else less
    return f"{difference} {direction} than the champion ({of_theirs})"


def _people_interval(intervals: IntervalsByScorer, scorer: str, metric: Metric) -> Interval | None:
    interval = intervals.get(scorer, {}).get(metric.name)
    return (metric.in_people_units(interval[0]), metric.in_people_units(interval[1])) if interval else None


def metrics(verdict: Verdict) -> dict[str, Any]:
    """Collects the metrics of all scorers, side by side."""
    scorers = verdict.scorers
    rows = []
    for metric in measured_metrics(verdict.k):
        values = {name: column.get(metric.name) for name, column in scorers.items()}
        if metric.over == "lists" or not any(metric.name in column for column in scorers.values()):
            continue
        best = metric.best(value for value in values.values() if value is not None)
        cells = []
        for name, value in values.items():
            measured, interval = metric.name in scorers[name], verdict.interval(name, metric.name)
            cells.append(
                {
                    "text": "" if not measured else "not finite" if value is None else f"{value:.4f}",
                    "interval": f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "",
                    "best": value is not None and value == best,
                }
            )
        rows.append({"title": title(metric.name), "cells": cells})
    return {"headers": [short(name) for name in scorers], "rows": rows}


def _exact(metric: Metric, value: float, interval: Interval | None) -> str:
    shown = metric.exact(value)
    return f"{shown}, 95% interval {interval[0]:.4f} to {interval[1]:.4f}" if interval else shown


def lists(verdict: Verdict, details: Details) -> list[dict[str, Any]]:
    """Collects the metrics of the lists of every scorer that recommends."""
    return [
        {
            "scorer": name,
            "shown": 100 * values[COVERAGE],
            "exact": [
                (title(metric.name), _exact(metric, value, verdict.interval(name, metric.name)))
                for metric in LIST_METRICS
                if (value := values.get(metric.name)) is not None
            ],
        }
        for name, values in details.lists.items()
        if COVERAGE in values
    ]


def lengths(top_k: TopKCurve) -> list[dict[str, Any]]:
    """Collects the movies of 100 that lists of some lengths find, by scorer."""
    return [
        {"k": k, "found": {name: 100 * curve[place] for name, curve in top_k.accuracy.items()}}
        for place, k in enumerate(top_k.k)
        if k in _LENGTHS and top_k.accuracy
    ]


def slices(verdict: Verdict) -> list[dict[str, Any]]:
    """Collects the gate's metrics on each slice, of the challenger and of the champion or else a baseline."""
    return [
        {
            "title": title(part.name),
            "rows": part.rows,
            "pairs": {
                metric.name: [
                    part.metrics.get(scorer, {}).get(metric.name) for scorer in _pair(verdict, metric)
                ]
                for metric in verdict.gate_metrics
            },
        }
        for part in verdict.slices
    ]


def slice_standings(verdict: Verdict, metric: Metric) -> list[tuple[str, dict[str, Any]]]:
    """Collects for every slice of enough users its title, and value and interval by scorer."""
    rows = []
    for part in (part for part in verdict.slices if part.users >= _FEWEST_USERS):
        values = {
            scorer: (metric.in_people_units(value), _people_interval(part.intervals, scorer, metric))
            for scorer in _pair(verdict, metric)
            if (value := part.metrics.get(scorer, {}).get(metric.name)) is not None
        }
        rows.append((title(part.name).removeprefix("Movies of the "), values))
    return [row for row in rows if row[1]]


def _pair(verdict: Verdict, metric: Metric) -> tuple[str, str]:
    """Names the challenger, and the champion or else the baseline that stands in for it."""
    stand_in = STAND_INS[RMSE if metric.in_stars else TOP_100_UNSEEN]
    return CHALLENGER, stand_in if verdict.metrics.champion is None else CHAMPION

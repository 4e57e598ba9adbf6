"""The report's figures as rows, cells and pairs."""

import math
from collections.abc import Mapping
from typing import Any

from components.display import sentence
from components.evaluate.names import (
    BIAS,
    CHALLENGER,
    CHAMPION,
    COVERAGE,
    ERRORS,
    LIST_METRICS,
    METRICS,
    POPULARITY,
    RMSE,
    TOP_100_UNSEEN,
    apart,
    figure,
    words,
)

Values = dict[str, float | None]

# A picture leaves out slices of fewer users: their wide intervals would press all others together.
_FEWEST_USERS = 30
_LENGTHS = (1, 5, 10, 20, 50, 100, 500)


def columns(verdict: Mapping[str, Any]) -> dict[str, Values]:
    """The metrics of every scorer, the challenger's first."""
    metrics = verdict["metrics"]
    champion = {CHAMPION: metrics["champion"]} if metrics["champion"] is not None else {}
    return {CHALLENGER: metrics["challenger"], **champion, **metrics["baselines"]}


def compared(verdict: Mapping[str, Any], metric: str) -> list[tuple[str, float]]:
    """Every scorer that has a finite value of `metric`, and the value, the challenger first."""
    values = {name: of_scorer.get(metric) for name, of_scorer in columns(verdict).items()}
    return [(name, value) for name, value in values.items() if value is not None]


def cards(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The two numbers that matter, in people's units, with what stands beside them."""
    return [card for metric in (TOP_100_UNSEEN, RMSE) if (card := _card(verdict, metric))]


def _card(verdict: Mapping[str, Any], metric: str) -> dict[str, Any] | None:
    of_scorers = compared(verdict, metric)
    if not of_scorers or of_scorers[0][0] != CHALLENGER:
        return None
    mine, interval = of_scorers[0][1], verdict["intervals"][CHALLENGER].get(metric)
    text = (
        "how far its ratings are from those that users gave (root mean square)"
        if metric in ERRORS
        else "movies that users went on to rate, with the 100 it would recommend to each"
    )
    lead = f"{figure(mine, metric)} stars off" if metric in ERRORS else f"finds {figure(mine, metric)} of 100"
    return {
        "metric": metric,
        "lead": lead,
        "text": text,
        "against": _against_champion(dict(of_scorers), metric),
        "exact": f"{words(metric)}: {_exact(mine, interval, ' stars' if metric in ERRORS else '')}",
        "standings": {
            name: (_people(value, metric), _people_interval(verdict["intervals"], name, metric))
            for name, value in of_scorers
        },
    }


def _against_champion(values: Mapping[str, float], metric: str) -> str:
    """By how much the challenger is better than the champion, in people's units; "" without a champion."""
    if CHAMPION not in values:
        return ""
    mine, theirs = values[CHALLENGER], values[CHAMPION]
    if mine == theirs:
        return "as the champion"
    better = (mine < theirs) == (metric in ERRORS)
    of_mine, of_theirs = apart(mine, theirs, metric)
    digits = len(of_theirs.partition(".")[2])
    difference = figure(abs(mine - theirs), metric, digits)
    if of_mine == of_theirs:
        return "as the champion"
    more, less = ("closer", "farther off") if metric in ERRORS else ("more", "fewer")
    return f"{difference} {more if better else less} than the champion ({of_theirs})"


def _people(value: float, metric: str) -> float:
    return value if metric in ERRORS else 100 * value


def _people_interval(
    intervals: Mapping[str, Mapping[str, list[float] | None]], scorer: str, metric: str
) -> tuple[float, float] | None:
    interval = intervals.get(scorer, {}).get(metric)
    return (_people(interval[0], metric), _people(interval[1], metric)) if interval else None


def metrics(verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of all scorers, side by side."""
    of_scorers = columns(verdict)
    rows = []
    for metric in METRICS:
        values = {name: column.get(metric) for name, column in of_scorers.items()}
        present = [value for value in values.values() if value is not None]
        if not any(metric in column for column in of_scorers.values()):
            continue
        best = (min if metric in ERRORS else max)(present, default=math.nan)
        cells = [
            _cell(verdict, name, metric, value, best, metric in of_scorers[name])
            for name, value in values.items()
        ]
        rows.append({"title": sentence(words(metric)), "cells": cells})
    return {"headers": [name.replace("_", " ") for name in of_scorers], "rows": rows}


def _cell(
    verdict: Mapping[str, Any], scorer: str, metric: str, value: float | None, best: float, measured: bool
) -> dict[str, Any]:
    text = "" if not measured else "not finite" if value is None else f"{value:.4f}"
    interval = verdict["intervals"].get(scorer, {}).get(metric)
    return {
        "text": text,
        "interval": f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "",
        "best": value is not None and value == best,
    }


def _exact(value: float, interval: list[float] | None, unit: str = "") -> str:
    shown = f"{value:.4f}{unit}"
    return f"{shown}, 95% interval {interval[0]:.4f} to {interval[1]:.4f}" if interval else shown


def lists(verdict: Mapping[str, Any], details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How varied the lists of every scorer that recommends are, and each measure with its interval."""
    return [
        {
            "scorer": name,
            "shown": 100 * values[COVERAGE],
            "exact": [
                (sentence(words(metric)), _exact(value, verdict["intervals"].get(name, {}).get(metric)))
                for metric in LIST_METRICS
                if (value := values.get(metric)) is not None
            ],
        }
        for name, values in details.get("lists", {}).items()
        if values.get(COVERAGE) is not None
    ]


def lengths(top_k: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How many movies of 100 lists of some lengths find, by scorer."""
    return [
        {"k": k, "found": {name: 100 * curve[place] for name, curve in top_k["accuracy"].items()}}
        for place, k in enumerate(top_k.get("k", []))
        if k in _LENGTHS and top_k["accuracy"]
    ]


def slices(verdict: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The gate's two metrics on each slice: of the challenger, and of the champion or else a baseline."""
    return [
        {
            "title": sentence(words(part["name"])),
            "rows": part["rows"],
            "pairs": {
                metric: [part["metrics"].get(scorer, {}).get(metric) for scorer in pair]
                for metric, pair in _slice_scorers(verdict).items()
            },
        }
        for part in verdict["slices"]
    ]


def slice_standings(verdict: Mapping[str, Any], metric: str) -> list[tuple[str, dict[str, Any]]]:
    """For every slice of some users its title, and value and interval by scorer, in people's units."""
    scorers = _slice_scorers(verdict)[metric]
    rows = []
    for part in (part for part in verdict["slices"] if part["users"] >= _FEWEST_USERS):
        values = {
            scorer: (
                _people(part["metrics"][scorer][metric], metric),
                _people_interval(part["intervals"], scorer, metric),
            )
            for scorer in scorers
            if part["metrics"].get(scorer, {}).get(metric) is not None
        }
        rows.append((sentence(words(part["name"])).removeprefix("Movies of the "), values))
    return [row for row in rows if row[1]]


def _slice_scorers(verdict: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    champion = verdict["metrics"]["champion"] is not None
    return {
        metric: (CHALLENGER, CHAMPION if champion else baseline)
        for metric, baseline in ((TOP_100_UNSEEN, POPULARITY), (RMSE, BIAS))
    }

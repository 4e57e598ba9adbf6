"""The report's figures as rows and cells."""

import math
from typing import Any

from components.evaluate.names import (
    BIAS,
    CHALLENGER,
    CHAMPION,
    ERRORS,
    METRICS,
    MRR,
    NDCG,
    POPULARITY,
    RMSE,
    TOP_100_UNSEEN,
    words,
)

# The rows of the table that everyone sees; the others stand behind a click.
_FIRST = frozenset({TOP_100_UNSEEN, "top_10_accuracy_unseen", NDCG.format(100), MRR, RMSE})


def cards(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """The two numbers that matter, in people's units, each with the others' beside it."""
    return [card for card in (_found_card(verdict), _stars_card(verdict)) if card]


def _found_card(verdict: dict[str, Any]) -> dict[str, Any] | None:
    mine, *others = _values(verdict, TOP_100_UNSEEN)
    if mine[1] is None:
        return None
    return {
        "lead": f"finds {100 * mine[1]:.0f} of 100",
        "text": "movies that a user went on to rate, among the 100 it would recommend",
        "others": [f"{_plain(name)} {100 * value:.0f}" for name, value in others if value is not None],
        "exact": f"{words(TOP_100_UNSEEN)}: {_with_interval(verdict, TOP_100_UNSEEN)}",
    }


def _stars_card(verdict: dict[str, Any]) -> dict[str, Any] | None:
    mine, *others = _values(verdict, RMSE)
    if mine[1] is None:
        return None
    return {
        "lead": f"{mine[1]:.2f} stars off",
        "text": "the rating that a user then gave (root mean square)",
        "others": [f"{_plain(name)} {value:.2f}" for name, value in others if value is not None],
        "exact": f"{words(RMSE)}: {_with_interval(verdict, RMSE)} stars",
    }


def _values(verdict: dict[str, Any], metric: str) -> list[tuple[str, float | None]]:
    """Each scorer's title and value, the challenger first; those that lack the metric are left out."""
    columns = _columns(verdict)
    return [("challenger", columns["challenger"].get(metric))] + [
        (name, values[metric])
        for name, values in columns.items()
        if name != "challenger" and metric in values
    ]


def _columns(verdict: dict[str, Any]) -> dict[str, dict[str, float | None]]:
    metrics = verdict["metrics"]
    champion = {"champion": metrics["champion"]} if metrics["champion"] is not None else {}
    return {"challenger": metrics["challenger"], **champion, **metrics["baselines"]}


def metrics(verdict: dict[str, Any]) -> dict[str, Any]:
    """The metrics of all scorers, side by side."""
    columns = _columns(verdict)
    rows = []
    for metric in METRICS:
        values = {name: column.get(metric) for name, column in columns.items()}
        present = [value for value in values.values() if value is not None]
        if not any(metric in column for column in columns.values()):
            continue
        best = (min if metric in ERRORS else max)(present, default=math.nan)
        cells = [
            _cell(verdict, name, metric, values[name], best, metric in columns[name]) for name in columns
        ]
        rows.append({"title": _upper(words(metric)), "first": metric in _FIRST, "cells": cells})
    return {"headers": [name.replace("_", " ") for name in columns], "rows": rows}


def _cell(
    verdict: dict[str, Any], scorer: str, metric: str, value: float | None, best: float, measured: bool
) -> dict[str, Any]:
    text = "" if not measured else "not finite" if value is None else f"{value:.4f}"
    interval = verdict["intervals"].get(scorer, {}).get(metric)
    return {
        "text": text,
        "interval": f"{interval[0]:.4f} to {interval[1]:.4f}" if interval else "",
        "best": value is not None and value == best,
    }


def _with_interval(verdict: dict[str, Any], metric: str) -> str:
    value, interval = verdict["metrics"]["challenger"][metric], verdict["intervals"]["challenger"][metric]
    return f"{value:.4f}" + (f", 95% interval {interval[0]:.4f} to {interval[1]:.4f}" if interval else "")


def slices(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """The gate's two metrics on each slice: of the challenger, and of the champion or else a baseline."""
    champion = verdict["metrics"]["champion"] is not None
    scorers = {
        metric: (CHALLENGER, CHAMPION if champion else baseline)
        for metric, baseline in ((TOP_100_UNSEEN, POPULARITY), (RMSE, BIAS))
    }
    return [
        {
            "title": _upper(words(part["name"])),
            "rows": part["rows"],
            "cells": [
                part["metrics"].get(scorer, {}).get(metric)
                for metric, pair in scorers.items()
                for scorer in pair
            ],
        }
        for part in verdict["slices"]
    ]


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _plain(scorer: str) -> str:
    """A scorer's name where it stands alone."""
    return words(scorer).removeprefix("the ")

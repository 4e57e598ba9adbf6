"""The page: what is told, in which words and in which order."""

import math
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from components.evaluate.names import ERRORS, METRICS, RMSE, TOP_100_UNSEEN, words
from components.report import charts
from components.report.sources import Sources

_STEPS = {"ingest": "Ingest", "vocabulary": "Vocabularies", "train": "Training", "evaluate": "Evaluation"}


def render(sources: Sources) -> str:
    """The whole page as HTML. It loads nothing, runs no script and has no link."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "size": _size, "seconds": _seconds, "words": words}
    text = resources.files("components.report").joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        verdict=sources.verdict,
        outcome=outcome(sources.verdict),
        deciding=_deciding(sources.verdict),
        cards=_cards(sources.verdict),
        table=_table(sources.verdict),
        curves=charts.training_curves(sources.training_log),
        model=sources.model,
        statistics=sources.statistics,
        rejects=sources.rejects,
        steps=[{**record, "title": _STEPS.get(record["step"], record["step"])} for record in sources.steps],
    )


def outcome(verdict: dict[str, Any]) -> dict[str, str]:
    """The state of the verdict (a CSS class) and its headline."""
    if verdict["blessed"]:
        return {"state": "pass", "headline": "Good enough to go live"}
    if verdict["publish"]:
        return {"state": "warn", "headline": "Would be refused, published all the same"}
    return {"state": "fail", "headline": "Refused: it does not go live"}


def _deciding(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """The failing rules; of a blessed model, those that a number could have failed."""
    failing = [rule for rule in verdict["rules"] if rule["verdict"] == "fail"]
    return failing or [rule for rule in verdict["rules"] if rule["verdict"] == "pass" and rule["against"]]


def _cards(verdict: dict[str, Any]) -> list[dict[str, Any]]:
    """The two numbers that matter, in people's units, each with the others' beside it."""
    return [card for card in (_found_card(verdict), _stars_card(verdict)) if card]


def _found_card(verdict: dict[str, Any]) -> dict[str, Any] | None:
    mine, *others = _values(verdict, TOP_100_UNSEEN)
    if mine[1] is None:
        return None
    return {
        "lead": f"finds {100 * mine[1]:.0f} of 100",
        "text": "movies that a user went on to rate, among the 100 it would recommend",
        "others": [f"{name} {100 * value:.0f}" for name, value in others if value is not None],
        "exact": f"{words(TOP_100_UNSEEN)}: {_with_interval(verdict, TOP_100_UNSEEN)}",
    }


def _stars_card(verdict: dict[str, Any]) -> dict[str, Any] | None:
    mine, *others = _values(verdict, RMSE)
    if mine[1] is None:
        return None
    return {
        "lead": f"{mine[1]:.2f} stars off",
        "text": "the rating that a user then gave (root mean square)",
        "others": [f"{name} {value:.2f}" for name, value in others if value is not None],
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


def _table(verdict: dict[str, Any]) -> dict[str, Any]:
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
        rows.append({"metric": metric, "title": words(metric), "cells": cells})
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


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def _seconds(value: float) -> str:
    minutes, rest = divmod(value, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"

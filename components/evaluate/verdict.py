"""The verdict: what `evaluate` found and decided, as JSON. docs/verdict.md describes it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.evaluate.bootstrap import Interval
from components.evaluate.gate import REPORT, Measures, is_blessed
from components.evaluate.names import CHAMPION
from components.evaluate.rules import FAIL, PASS, Rule, finite_or_none

SCHEMA_VERSION = 1
VERDICT_FILE = "verdict.json"

# The rules whose outcome says most about a model that passed, the most telling first.
_TELLING = ("top_100_vs_champion", "top_100_vs_popularity", "rmse_vs_bias")


def load_verdict(evaluation_dir: str | Path) -> dict[str, Any]:
    """Reads the verdict in an Evaluation directory.

    Raises:
      UserError: if there is none that this version can read.
    """
    file = Path(evaluation_dir) / VERDICT_FILE
    try:
        verdict = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read; make an evaluation with `twotower evaluate`") from error
    if not isinstance(verdict, dict) or verdict.get("schema_version") != SCHEMA_VERSION:
        raise UserError(
            f"{file} was written by another version of `twotower evaluate`; make it anew with this one"
        )
    return verdict


def schema() -> dict[str, Any]:
    """The JSON schema of the verdict."""
    text = resources.files("components.evaluate").joinpath("verdict.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def conclusion(rules: Sequence[Rule], gate: str, scored: bool) -> dict[str, Any]:
    """blessed, publish and reason.

    Args:
      rules: all that were decided.
      gate: "enforce" publishes what is blessed; "report" publishes what could be scored.
      scored: whether the challenger could be scored at all.
    """
    blessed = is_blessed(rules)
    publish = blessed or (gate == REPORT and scored)
    return {"blessed": blessed, "publish": publish, "gate": gate, "reason": _reason(rules, publish)}


def _reason(rules: Sequence[Rule], publish: bool) -> str:
    failed = [rule for rule in rules if rule.verdict == FAIL]
    if failed:
        others = len(failed) - 1
        more = f" {others} more {'rule fails' if others == 1 else 'rules fail'}." if others else ""
        start = "Published although it would be refused" if publish else "Refused"
        return f"{start} ({failed[0].name}): {failed[0].why}{more}"
    passed = {rule.name: rule for rule in rules if rule.verdict == PASS}
    telling = next((passed[name].why for name in _TELLING if name in passed), "every rule passes.")
    return f"Good enough: {telling}"


def encode_rules(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The rules as they stand in the verdict."""
    encoded = []
    for rule in rules:
        fields = asdict(rule)
        fields["interval"] = _as_list(rule.interval)
        encoded.append({"name": fields.pop("name"), "model": "challenger", **fields})
    return encoded


def encode_intervals(measures: Measures) -> dict[str, dict[str, list[float] | None]]:
    """scorer -> metric -> its 95% interval; None where the metric is not finite."""
    return {
        scorer: {metric: _as_list(measures.interval(scorer, metric)) for metric in values}
        for scorer, values in measures.metrics.items()
    }


def encode_slices(slices: Mapping[str, Measures]) -> list[dict[str, Any]]:
    """The gate's metrics on parts of the test rows."""
    return [
        {
            "name": name,
            "rows": measures.rows,
            "users": measures.users,
            "metrics": _finite(measures.metrics),
            "intervals": encode_intervals(measures),
        }
        for name, measures in slices.items()
    ]


def encode_metrics(metrics: Mapping[str, Mapping[str, float]], challenger: str) -> dict[str, Any]:
    """The metrics of challenger, champion and baselines; None in the place of NaN and infinity."""
    finite = _finite(metrics)
    return {
        challenger: finite.pop(challenger, {}),
        CHAMPION: finite.pop(CHAMPION, None),
        "baselines": finite,
    }


def _finite(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    return {
        scorer: {name: finite_or_none(value) for name, value in of_scorer.items()}
        for scorer, of_scorer in metrics.items()
    }


def _as_list(interval: Interval | None) -> list[float] | None:
    return list(interval) if interval else None

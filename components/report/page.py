"""The page: what is told, in which words and in which order."""

from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from components.evaluate.names import BIAS, CHALLENGER, CHAMPION, EASE, FACTORS, POPULARITY, words
from components.report import charts, tables
from components.report.sources import Sources

# The scorers in pictures that all of them would crowd.
_COMPARED = (CHALLENGER, CHAMPION, POPULARITY, EASE, FACTORS)
# So many failing rules stand in the first lines of the page.
_DECIDING = 2
_STEPS = {"ingest": "Ingest", "vocabulary": "Vocabularies", "train": "Training", "evaluate": "Evaluation"}


def render(sources: Sources) -> str:
    """The whole page as HTML. It loads nothing, runs no script and has no link."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": _number, "size": _size, "seconds": _seconds, "words": words}
    text = resources.files("components.report").joinpath("page.html").read_text(encoding="utf-8")
    verdict, details = sources.verdict, sources.details
    return environment.from_string(text).render(
        verdict=verdict,
        outcome=outcome(verdict),
        deciding=_deciding(verdict),
        cards=tables.cards(verdict),
        table=tables.metrics(verdict),
        slices=tables.slices(verdict),
        pictures=_pictures(details),
        lists=details.get("lists", {}),
        users=details.get("users", []),
        curves=charts.training_curves(sources.training_log),
        model=sources.model,
        statistics=sources.statistics,
        rejects=sources.rejects,
        steps=[{**record, "title": _STEPS.get(record["step"], record["step"])} for record in sources.steps],
    )


def _pictures(details: dict[str, Any]) -> list[Markup]:
    """The pictures of what the model is good at, as far as there are figures for them."""
    if not details:
        return []
    top_k, residuals = details["top_k"], details["residuals"]
    calibration, tail = _compared(details["calibration"]), _compared(details["long_tail"])
    return [
        *([charts.top_k_curve(top_k["k"], top_k["accuracy"])] if top_k["accuracy"] else []),
        *([charts.calibration(calibration)] if calibration else []),
        *([charts.residuals(residuals)] if residuals else []),
        *([charts.long_tail(tail)] if tail else []),
    ]


def _compared(by_scorer: dict[str, Any]) -> dict[str, Any]:
    """Only some scorers: a picture with all of them would be crowded."""
    return {name: by_scorer[name] for name in _COMPARED if by_scorer.get(name)}


def outcome(verdict: dict[str, Any]) -> dict[str, str]:
    """The state of the verdict (a CSS class) and its headline."""
    if verdict["blessed"]:
        return {"state": "pass", "headline": "Good enough to go live"}
    if verdict["publish"]:
        return {"state": "warn", "headline": "Would be refused, published all the same"}
    return {"state": "fail", "headline": "Refused: it does not go live"}


def _deciding(verdict: dict[str, Any]) -> list[str]:
    """The first rules that fail; of a blessed model, how it compares with the champion, or with baselines."""
    failing = [rule["why"] for rule in verdict["rules"] if rule["verdict"] == "fail"]
    if failing:
        more = len(failing) - _DECIDING
        rest = f"{more} more {'rule fails' if more == 1 else 'rules fail'}, see below."
        return [*failing[:_DECIDING], *([rest] if more > 0 else [])]
    passing = {rule["name"]: rule["why"] for rule in verdict["rules"] if rule["verdict"] == "pass"}
    champion = f"rmse_vs_{CHAMPION}" in passing
    others = (CHAMPION, CHAMPION) if champion else (POPULARITY, BIAS)
    telling = (f"top_100_vs_{others[0]}", f"rmse_vs_{others[1]}")
    return [passing[name] for name in telling if name in passing]


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def _seconds(value: float) -> str:
    minutes, rest = divmod(value, 60)
    return f"{minutes:.0f} min {rest:.0f} s" if minutes else f"{rest:.1f} s"

"""The page: what is told, in which words and in which order."""

import platform
from importlib import metadata, resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from components import __version__
from components.evaluate.names import (
    CHALLENGER,
    CHAMPION,
    EASE,
    FACTORS,
    ITEM_KNN,
    POPULARITY,
    RMSE,
    TOP_100_UNSEEN,
    words,
)
from components.report import charts, tables
from components.report.headline import headline, in_words
from components.report.sources import Sources
from components.report.svg import Picture
from components.report.units import duration, sentence

# The scorers in pictures that all of them would crowd.
_COMPARED = (CHALLENGER, CHAMPION, POPULARITY, EASE, ITEM_KNN, FACTORS)
_STEPS = {
    "ingest": "Ingest",
    "vocabulary": "Vocabularies",
    "train": "Training",
    "champion": "Fetching the champion",
    "evaluate": "Evaluation",
}
# The rules about the data, not about the model, begin with this.
_OF_DATA = "data_"
_LIBRARIES = ("tensorflow", "tensorflow-recommenders", "numpy", "kfp")


def environment(**options: Any) -> Environment:
    """Jinja's, for the templates in this room."""
    templates = Environment(
        loader=FunctionLoader(_template),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    templates.filters |= {
        "number": _number,
        "size": _size,
        "seconds": duration,
        "words": words,
        "sentence": sentence,
        "setting": _setting,
        "in_words": in_words,
    }
    return templates


def render(sources: Sources) -> str:
    """The whole page as HTML. It loads nothing, runs no script and has no link."""
    return (
        environment(autoescape=True)
        .get_template("page.html")
        .render(
            head=headline(sources.verdict, sources.details, sources.training_log),
            curves=charts.training_curves(sources.training_log, sources.kept),
            **facts(sources),
            **_pictures(sources),
        )
    )


def facts(sources: Sources) -> dict[str, Any]:
    """What both the page and the model card tell."""
    verdict = sources.verdict
    return {
        "verdict": verdict,
        "cards": tables.cards(verdict),
        "table": tables.metrics(verdict),
        "slices": tables.slices(verdict),
        "lengths": tables.lengths(sources.details.get("top_k", {})),
        "lists": tables.lists(verdict, sources.details),
        "users": sources.details.get("users", []),
        "model": sources.model,
        "statistics": sources.statistics,
        "rejects": sources.rejects,
        "data_rules": [rule for rule in verdict["rules"] if rule["name"].startswith(_OF_DATA)],
        "steps": [{**step, "title": _STEPS.get(step["step"], step["step"])} for step in sources.steps],
        "versions": _versions(),
    }


def _pictures(sources: Sources) -> dict[str, Any]:
    """The pictures that there are figures for, by the part of the page that they stand in."""
    verdict, details = sources.verdict, sources.details
    return {
        "standings": {card["metric"]: _standings(card) for card in tables.cards(verdict)},
        "retrieval": _top_k(details),
        "stars": _stars(details),
        "by_slice": [
            charts.by_slice(title, note, rows)
            for metric, title, note in (
                (TOP_100_UNSEEN, "Movies found of 100", "Farther right is better."),
                (RMSE, "Stars off", "Farther left is better."),
            )
            if (rows := tables.slice_standings(verdict, metric))
        ],
        "tail": _tail(details),
    }


def _standings(card: dict[str, Any]) -> Picture:
    found = card["metric"] == TOP_100_UNSEEN
    return charts.standings(
        f"{'Movies found of 100: more' if found else 'Stars off: less'} is better; ± is the 95% interval.",
        "found" if found else "stars",
        card["standings"],
    )


def _top_k(details: dict[str, Any]) -> list[Picture]:
    curve = details.get("top_k", {})
    return [charts.top_k_curve(curve["k"], curve["accuracy"])] if curve.get("accuracy") else []


def _stars(details: dict[str, Any]) -> list[Picture]:
    calibration, residuals = _compared(details.get("calibration", {})), details.get("residuals", {})
    return [
        *([charts.calibration(calibration)] if calibration else []),
        *([charts.residuals(residuals)] if any(residuals.values()) else []),
    ]


def _tail(details: dict[str, Any]) -> list[Picture]:
    shares = _compared(details.get("long_tail", {}))
    return [charts.long_tail(shares)] if shares else []


def _compared(by_scorer: dict[str, Any]) -> dict[str, Any]:
    """Only some scorers: a picture with all of them would be crowded."""
    return {name: by_scorer[name] for name in _COMPARED if by_scorer.get(name)}


def _versions() -> dict[str, str]:
    """What made the page and, in a pipeline, the model: all steps run on one image."""
    return {
        "twotower": __version__,
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in _LIBRARIES},
    }


def _template(name: str) -> str:
    return resources.files("components.report").joinpath(name).read_text(encoding="utf-8")


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _setting(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"

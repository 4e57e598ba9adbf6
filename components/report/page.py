"""The report page and the model card."""

import platform
from importlib import metadata
from typing import Any

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
)
from components.report import charts, tables
from components.report.charts import Picture
from components.report.headline import headline
from components.report.sources import Sources
from components.report.templates import environment, table

# The scorers in pictures that all of them would crowd.
_COMPARED = (CHALLENGER, CHAMPION, POPULARITY, EASE, ITEM_KNN, FACTORS)
# The rules about the data, not about the model, begin with this.
_OF_DATA = "data_"
_LIBRARIES = ("tensorflow", "tensorflow-recommenders", "numpy", "kfp")


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
        "steps": table(sources.steps),
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
        "data": _data(sources.statistics),
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


def _data(statistics: dict[str, Any]) -> list[Picture]:
    return [
        charts.stars_given(statistics["rating_histogram"]),
        charts.activity(statistics["ratings_per_user"], statistics["ratings_per_movie"]),
    ]


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


def render_card(sources: Sources) -> str:
    """The card as Markdown. It holds no text from the ratings and movie files, which could be markup."""
    card = environment(autoescape=False).get_template("model_card.md.j2")
    head = headline(sources.verdict, sources.details, sources.training_log)
    return card.render(head=head, **facts(sources))

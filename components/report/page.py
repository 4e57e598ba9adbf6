"""The report page and the model card, and what they are made of."""

import csv
import itertools
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Self, TypeVar

from components import __version__
from components.errors import UserError
from components.evaluate.details import Details, load_details
from components.evaluate.verdict import Verdict, load_verdict
from components.ingest.dataset import REJECTS_FILE, RatingsDataset, Statistics
from components.ingest.settings import STARS
from components.metrics import BASELINES, CHALLENGER, CHAMPION, metric_of
from components.progress import log
from components.report import charts, tables
from components.report.headline import headline
from components.report.templates import environment, table
from components.step import StepRecord, step_records
from components.train.artifact import LogEntry, ModelRecord, read_log, read_record

_REJECTS_SHOWN = 8

T = TypeVar("T")


@dataclass(frozen=True)
class ReportInputs:
    """All that the page and the model card are made of."""

    verdict: Verdict  # of the evaluation
    details: Details  # of the evaluation
    model: ModelRecord | None  # model.json; None if the model does not have one
    training_log: list[LogEntry]  # one entry for each validation, in order
    statistics: Statistics  # statistics.json of the dataset
    rejects: list[dict[str, str]]  # the first rows of rejects.csv
    steps: list[StepRecord]  # the records of the steps up to the evaluation, in order

    @classmethod
    def load(cls, evaluation: str, model: str, dataset: str) -> Self:
        """Reads the directories that the steps wrote; a broken model is reported like any other.

        Raises `UserError` if there is no verdict or no dataset.
        """
        data = RatingsDataset.load(dataset)
        return cls(
            verdict=load_verdict(evaluation),
            details=load_details(evaluation),
            model=_read_or(None, read_record, model),
            training_log=_read_or([], read_log, model),
            statistics=data.statistics,
            rejects=_rejects(data.path / REJECTS_FILE),
            steps=step_records((dataset, model, evaluation)),
        )

    @property
    def kept(self) -> int:
        """The place in the training log of the weights that became the model; -1 if it is not known."""
        if self.model is None:
            return -1
        # A record of an earlier version has the error of the weights alone, which is in its log.
        step, error = self.model.kept_step, self.model.validation_rmse
        wanted = step or error
        found = [entry.step if step else entry.validation_rmse for entry in self.training_log]
        return found.index(wanted) if wanted is not None and wanted in found else -1


def _read_or(default: T, read: Callable[[str], T], model: str) -> T:
    try:
        return read(model)
    except UserError as error:
        log(str(error))
        return default


def _rejects(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8", newline="", errors="replace") as lines:
            return [dict(row) for row in itertools.islice(csv.DictReader(lines), _REJECTS_SHOWN)]
    except (OSError, csv.Error):
        return []


# The scorers in pictures that all of them would crowd.
_PICTURED = (CHALLENGER, CHAMPION, *(name for name, one in BASELINES.items() if one.pictured))
_LIBRARIES = ("tensorflow", "tensorflow-recommenders", "numpy", "kfp")


def render(inputs: ReportInputs) -> str:
    """Renders the whole page as HTML. It loads nothing, runs no script and has no link."""
    page, shared = environment(autoescape=True).get_template("page.html"), facts(inputs)
    return page.render(**shared, **_pictures(inputs, shared["cards"]))


def facts(inputs: ReportInputs) -> dict[str, Any]:
    """Collects the content that the page and the model card share."""
    verdict = inputs.verdict
    return {
        **vars(inputs),
        "head": headline(verdict, inputs.details, inputs.training_log),
        "cards": tables.cards(verdict),
        "table": tables.metrics(verdict),
        "slices": tables.slices(verdict),
        "lengths": tables.lengths(inputs.details.top_k),
        "lists": tables.lists(verdict, inputs.details),
        "data_rules": [rule for rule in verdict.rules if rule.group == "data"],
        "steps": table(inputs.steps),
        # Of this release and its libraries; in a pipeline all steps run on one image.
        "versions": {
            "twotower": __version__,
            "Python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
    }


def _pictures(inputs: ReportInputs, cards: list[dict[str, Any]]) -> dict[str, Any]:
    """Draws the pictures that there are figures for, by the part of the page that they stand in."""
    verdict, details, statistics = inputs.verdict, inputs.details, inputs.statistics
    calibration, tail = _pictured(details.calibration), _pictured(details.long_tail)
    stars = [charts.calibration(calibration)] if calibration else []
    if any(details.residuals.values()):
        stars.append(charts.residuals(details.residuals))
    return {
        "standings": {
            card["metric"]: charts.standings(metric_of(card["metric"]), card["standings"]) for card in cards
        },
        "curves": charts.training_curves(inputs.training_log, inputs.kept),
        "retrieval": [charts.top_k_curve(details.top_k)] if details.top_k.accuracy else [],
        "stars": stars,
        "by_slice": [
            charts.by_slice(metric, rows)
            for metric in verdict.gate_metrics
            if (rows := tables.slice_standings(verdict, metric))
        ],
        "tail": [charts.long_tail(tail)] if tail else [],
        "data": [
            *([charts.stars_given(statistics.rating_histogram)] if statistics.feedback == STARS else []),
            charts.activity(statistics.ratings_per_user, statistics.ratings_per_movie),
        ],
    }


def _pictured(by_scorer: dict[str, Any]) -> dict[str, Any]:
    """Picks some scorers: a picture with all of them would be crowded."""
    return {name: by_scorer[name] for name in _PICTURED if by_scorer.get(name)}


def render_card(inputs: ReportInputs) -> str:
    """Renders the card as Markdown, without text from the ratings and movie files, which could be markup."""
    card = environment(autoescape=False).get_template("model_card.md.j2")
    return card.render(**facts(inputs))

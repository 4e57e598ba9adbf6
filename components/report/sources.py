"""Inputs of the report: the evaluation, the model's record and training log, and the data's statistics."""

import csv
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.evaluate.details import Details, load_details
from components.evaluate.verdict import Verdict, load_verdict
from components.ingest.dataset import REJECTS_FILE, RatingsDataset, Statistics
from components.step import StepRecord, step_records

_REJECTS_SHOWN = 8


@dataclass(frozen=True)
class ReportInputs:
    """All that the page and the model card are made of.

    Attributes:
      verdict, details: of the evaluation.
      model: model.json; empty if the model does not have one.
      training_log: one entry for each validation, in order.
      statistics: statistics.json of the dataset.
      rejects: the first rows of rejects.csv.
      steps: the records of the steps up to the evaluation, in order.
    """

    verdict: Verdict
    details: Details
    model: dict[str, Any]
    training_log: list[dict[str, Any]]
    statistics: Statistics
    rejects: list[dict[str, str]]
    steps: list[StepRecord]

    @classmethod
    def load(cls, evaluation: str, model: str, dataset: str, identity: str = "") -> Self:
        """Reads the directories that the steps wrote. Only the verdict and the dataset must be whole: a model
        that broke is reported like any other, and `identity` may be "".

        Raises:
          UserError: if there is no verdict or no dataset.
        """
        data = RatingsDataset.load(dataset)
        return cls(
            verdict=load_verdict(evaluation),
            model=_json_object(Path(model) / "model.json"),
            details=load_details(evaluation),
            training_log=_training_log(Path(model) / "training_log.jsonl"),
            statistics=data.statistics,
            rejects=_rejects(data.path / REJECTS_FILE),
            steps=step_records((*([identity] if identity else []), dataset, model, evaluation)),
        )

    @property
    def kept(self) -> int:
        """The place in the training log of the weights that became the model; -1 if it is not known."""
        final = self.model.get("validation_rmse")
        errors = [entry.get("validation_rmse") for entry in self.training_log]
        return errors.index(final) if final is not None and final in errors else -1


def _json_object(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty if it cannot be read."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _training_log(file: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError):
        return []


def _rejects(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(encoding="utf-8", newline="", errors="replace") as lines:
            return [dict(row) for row in itertools.islice(csv.DictReader(lines), _REJECTS_SHOWN)]
    except (OSError, csv.Error):
        return []

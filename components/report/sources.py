"""Inputs of the report: the evaluation, the model's record and training log, and the data's statistics."""

import csv
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from components.errors import UserError
from components.evaluate.details import Details, load_details
from components.evaluate.verdict import Verdict, load_verdict
from components.ingest.dataset import REJECTS_FILE, RatingsDataset, Statistics
from components.progress import log
from components.step import StepRecord, step_records
from components.train.artifact import LogEntry, ModelRecord, read_log, read_record

_REJECTS_SHOWN = 8

T = TypeVar("T")


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
    model: ModelRecord | None
    training_log: list[LogEntry]
    statistics: Statistics
    rejects: list[dict[str, str]]
    steps: list[StepRecord]

    @classmethod
    def load(cls, evaluation: str, model: str, dataset: str, identity: str = "") -> Self:
        """Reads the directories that the steps wrote.

        Only the evaluation and the dataset must be whole: a broken model is reported like any other.

        Args:
          identity: may be "".

        Raises:
          UserError: if there is no verdict or no dataset.
        """
        data = RatingsDataset.load(dataset)
        return cls(
            verdict=load_verdict(evaluation),
            details=load_details(evaluation),
            model=_read_or(None, read_record, model),
            training_log=_read_or([], read_log, model),
            statistics=data.statistics,
            rejects=_rejects(data.path / REJECTS_FILE),
            steps=step_records((*([identity] if identity else []), dataset, model, evaluation)),
        )

    @property
    def kept(self) -> int:
        """The place in the training log of the weights that became the model; -1 if it is not known."""
        final = self.model.validation_rmse if self.model else None
        errors = [entry.validation_rmse for entry in self.training_log]
        return errors.index(final) if final is not None and final in errors else -1


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

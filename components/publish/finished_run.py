"""Results of a run, read from the artifacts of its steps."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from components.documents import read_document
from components.errors import UserError
from components.evaluate.verdict import VERDICT_FILE, Verdict, load_verdict
from components.ingest.dataset import STATISTICS_FILE, Statistics
from components.registry.run_records import RowCounts, RunRecord, SeenChampion, check_run_id
from components.registry.versions import GateDecision, Provenance
from components.report.templates import in_order, steps_of, with_steps
from components.step import StepRecord, so_far, step_records
from components.train.artifact import read_record

REPORT = "report.html"
CARD = "model_card.md"


@dataclass(frozen=True)
class FinishedRun:
    """A run that has its verdict."""

    run_id: str
    verdict: Verdict  # the evaluation's
    settings: dict[str, Any]  # preset and settings of the training; empty if the model is not at hand
    rows: RowCounts  # of the ratings files; unknown if the dataset is not at hand
    steps: list[StepRecord]  # the records of the steps that made the artifacts at hand, in order
    files: dict[str, Path]  # the documents of the run record, by their name in it

    @property
    def provenance(self) -> Provenance:
        """The run as the manifest of its version records it."""
        return Provenance(
            run_id=self.run_id,
            fingerprint=self.verdict.fingerprint,
            settings=self.settings,
            metrics=self.verdict.metrics.challenger,
            verdict=GateDecision(
                blessed=self.verdict.blessed, gate=self.verdict.gate, reason=self.verdict.reason
            ),
        )

    def with_page(self, directory: Path) -> Self:
        """Returns the run with its page written anew to `directory`, with time and memory of all steps."""
        page, text = directory / REPORT, _text(self.files[REPORT])
        page.write_bytes(with_steps(text, self.steps).encode(errors="surrogateescape"))
        return replace(self, files={**self.files, REPORT: page})

    def ended(self, directory: Path) -> Self:
        """Returns the run with the running step as its last one, on its page in `directory` too."""
        return replace(self, steps=in_order([so_far(), *self.steps])).with_page(directory)

    def record(self, outcome: str, reason: str, version: str = "", sequence: int = 0) -> RunRecord:
        """Returns the run's record."""
        champion = self.verdict.champion
        return RunRecord(
            run_id=self.run_id,
            outcome=outcome,
            reason=reason,
            version=version,
            sequence=sequence,
            blessed=self.verdict.blessed,
            champion=SeenChampion(version=champion.version, sequence=champion.sequence),
            metrics=self.verdict.metrics.challenger,
            settings=self.settings,
            fingerprint=self.verdict.fingerprint,
            rows=self.rows,
            steps=self.steps,
        )


def read_finished_run(
    run_id: str, evaluation: str, report: str, model: str, dataset: str, index: str = ""
) -> FinishedRun:
    """Reads the results of a run from its artifacts; "" stands for one that is not at hand.

    Raises `UserError` if a document is missing or broken, or `run_id` cannot name a directory.
    """
    check_run_id(run_id)
    artifacts = [Path(path) for path in (dataset, model, evaluation, index) if path]
    page = _report(report)
    verdict, record = load_verdict(evaluation), read_record(model) if model else None
    return FinishedRun(
        run_id=run_id,
        verdict=verdict,
        settings={"preset": record.preset, **record.settings} if record else {},
        rows=_rows(dataset) if dataset else RowCounts(),
        steps=in_order([*steps_of(_text(page)), *step_records(artifacts)]),
        files={
            VERDICT_FILE: Path(evaluation) / VERDICT_FILE,
            REPORT: page,
            **({STATISTICS_FILE: Path(dataset) / STATISTICS_FILE} if dataset else {}),
        },
    )


def _rows(dataset: str) -> RowCounts:
    statistics = read_document(Path(dataset) / STATISTICS_FILE, Statistics)
    return RowCounts(
        read=statistics.rows_read,
        kept=statistics.rows_kept,
        rejected=statistics.rows_rejected,
        forgotten_users=statistics.forgotten.users if statistics.forgotten.listed else None,
    )


def find_card(model_card: str, run: FinishedRun) -> Path | None:
    """Finds the model card: `model_card` or, if that is "", the one beside the page, if there is one.

    Raises `UserError` if `model_card` does not exist.
    """
    card = Path(model_card) if model_card else run.files[REPORT].with_name(CARD)
    if card.is_file():
        return card
    if model_card:
        raise UserError(f"{model_card} does not exist; name the model card that `twotower report` wrote")
    return None


def _text(page: Path) -> str:
    # A file that is no page is kept as it is.
    return page.read_bytes().decode(errors="surrogateescape")


def _report(report: str) -> Path:
    """Finds the page: `report` itself, or the one in the directory `report`."""
    path = Path(report)
    page = path / REPORT if path.is_dir() else path
    if not page.is_file():
        raise UserError(f"{page} does not exist; name the page that `twotower report` wrote")
    return page

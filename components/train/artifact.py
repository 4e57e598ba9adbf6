"""Model artifact: model.json and the training log, with their readers and writers."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

from components.documents import Document, decode, plain, read_document, write_document
from components.errors import UserError
from components.ingest.dataset import SplitSettings
from components.ingest.settings import STARS, Feedback
from components.outputs import write_text
from components.saved_models import SAVED_MODEL, saved_model_digest
from components.train.settings import current_names

# Beside these, the artifact holds the SavedModel of `scoring` and the files of `DataSummary`.
MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.npz"  # see `weights.Weights`
LOG_FILE = "training_log.jsonl"
# The figures of the training log, for TensorBoard.
TENSORBOARD = "tensorboard"


class TrainingStart(Document):
    """The weights that a training began at."""

    version: str = ""  # of the registry, whose weights they were; "" for a cold start
    why: str  # a sentence: why a cold start, or how many movies have weights


class ModelRecord(Document, kw_only=True):
    """The content of model.json."""

    _written_by: ClassVar[str] = "twotower train"

    format: Literal[1] = 1
    preset: str
    settings: dict[str, Any]  # the preset's settings by their present names, every default filled in
    seed: int
    split: SplitSettings  # how the ratings were divided
    fingerprint: str  # of the input files; "" if unknown
    rating_scale: tuple[float, float]  # the least and the greatest rating, in stars
    feedback: Feedback = STARS  # with "implicit" it predicts no ratings
    start: TrainingStart | None = None  # None in models of earlier releases
    movies: int  # in its catalogue
    training_users: int  # whose ratings it was trained on
    steps: int  # all training steps
    seconds: float  # spent in them
    validation_rmse: float | None  # in stars, of what is served; None without validation rows
    validation_top_100_accuracy_unseen: float | None  # 0 to 1, likewise
    time_budget: float = 0.0  # in seconds, of the whole step; 0 for none
    shortened: bool = False  # whether the time budget made the training shorter than the data pay for
    kept_step: int = 0  # after which the weights were kept; 0 in the records of earlier versions
    digest: str = ""  # of the SavedModel, see `model_digest`; "" in the records of earlier versions

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "settings", current_names(self.settings))


class ValidationMetrics(NamedTuple):
    """Metrics on the validation rows; None without such rows."""

    rmse: float | None  # in stars
    top_100_accuracy_unseen: float | None  # among the movies that the user has no training rating of
    recall_10: float | None = None  # as docs/metrics.md defines it, among the same movies
    ndcg_10: float | None = None  # likewise


class LogEntry(Document):
    """One line of the training log: a validation."""

    _written_by: ClassVar[str] = "twotower train"

    step: int  # training steps before it
    seconds: float  # spent in them
    retrieval_loss: float  # mean per rating since the last line, in nats; for `top-k` in units of scores
    # Mean squared error per rating since the last line, in units of the variance of the training ratings, for
    # both presets; of a sampled rating head, that of the present draw on the ratings that it has read. Its
    # root times their standard deviation is an error in stars. None without stars.
    rating_loss: float | None = None
    validation_rmse: float | None  # in stars; None without validation rows
    validation_top_100_accuracy_unseen: float | None  # 0 to 1, likewise
    # Of a user's best 10 (docs/metrics.md), likewise; None in the logs of earlier versions.
    validation_recall_10: float | None = None
    validation_ndcg_10: float | None = None

    def __str__(self) -> str:
        text = f"losses per rating: retrieval {self.retrieval_loss:.3f}"
        if self.rating_loss is not None:
            text += f", rating {self.rating_loss:.3f}"
        if self.validation_top_100_accuracy_unseen is None:
            return text
        rmse = "" if self.validation_rmse is None else f"RMSE {self.validation_rmse:.4f}, "
        short = "" if self.validation_ndcg_10 is None else f", NDCG@10 {self.validation_ndcg_10:.4f}"
        return (
            f"{text}; on validation rows {rmse}"
            f"top-100 unseen {self.validation_top_100_accuracy_unseen:.4f}{short}"
        )


def read_record(model: str | Path) -> ModelRecord:
    """Reads model.json. Raises `UserError` if it is absent, broken or of another format."""
    return read_document(Path(model) / MODEL_FILE, ModelRecord)


def write_record(model: str | Path, record: ModelRecord) -> None:
    """Writes model.json of the Model directory `model`, with the digest of the SavedModel that is there."""
    digest = saved_model_digest(Path(model) / SAVED_MODEL)
    write_document(Path(model) / MODEL_FILE, msgspec.structs.replace(record, digest=digest))


class _StatedDigest(Document):
    """All that is read of a model.json whose other fields do not matter."""

    digest: str = ""


def model_digest(model: str | Path) -> str:
    """Returns the digest of a Model's SavedModel, by which verdict and index name the model.

    Raises `UserError` if model.json states another: the files are not those that were written with it.
    """
    digest, stated = saved_model_digest(Path(model) / SAVED_MODEL), ""
    with suppress(UserError):  # who needs model.json says so
        stated = read_document(Path(model) / MODEL_FILE, _StatedDigest).digest
    if stated not in ("", digest):
        raise UserError(
            f"{model} is damaged: the files in {SAVED_MODEL}/ are not those that {MODEL_FILE} was written "
            "with; copy it again, or make it anew with `twotower train`"
        )
    return digest


def read_log(model: str | Path) -> list[LogEntry]:
    """Reads the training log; empty if there is none. Raises `UserError` if a line is broken."""
    file = Path(model) / LOG_FILE
    lines = file.read_bytes().splitlines() if file.is_file() else []
    return [decode(line, LogEntry, f"{file}, line {number}") for number, line in enumerate(lines, start=1)]


def write_log(model: str | Path, entries: list[LogEntry]) -> None:
    """Writes the training log of the Model directory `model`."""
    write_text(Path(model) / LOG_FILE, "".join(json.dumps(plain(entry)) + "\n" for entry in entries))

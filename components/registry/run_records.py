"""Records of all runs: `runs/<run_id>/`."""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import field

from components.documents import Document, Timestamp, decode, encode, now
from components.errors import UserError
from components.step import StepRecord, add_to_outcome
from components.storage import Storage
from components.train.settings import current_names

PUBLISHED = "published"
REFUSED = "refused"
SUPERSEDED = "superseded"
FAILED = "failed"
SKIPPED = "skipped"
CANCELLED = "cancelled"

_DIRECTORY = "runs"
_RECORD = "run.json"
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")
_READERS = 8
_CURE = "restore it from a backup, or delete it"


class SeenChampion(Document, omit_defaults=True):
    """The champion that a run was compared with."""

    version: str | None = None  # "" if the registry was empty, None if the run did not come to a comparison
    sequence: int | None = None  # its place in the champion log; 0 and None likewise


class RowCounts(Document, omit_defaults=True):
    """The rows of the ratings files of a run; None where the data were not at hand."""

    read: int | None = None
    kept: int | None = None  # those in the dataset
    rejected: int | None = None  # those that no rating could be made of
    forgotten_users: int | None = None  # users to forget who were left out; None without such a list


class RunRecord(Document):
    """A run's `run.json`. Fields of steps that a failed run did not reach are empty."""

    _checksummed: ClassVar[bool] = True

    format: Literal[1] = 1
    run_id: str
    outcome: str  # "published", "refused", "superseded", "failed", "skipped" or "cancelled"
    reason: str  # one sentence
    version: str = ""  # the version that it made; "" if none
    sequence: int = 0  # the version's place in the champion log; 0 if it is not in it
    blessed: bool = False  # whether the gate's rules all passed
    champion: SeenChampion = SeenChampion()  # the champion that the gate compared with
    # On the test rows, by name; None where the figure is not finite.
    metrics: dict[str, float | None] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)  # of the training
    fingerprint: str = ""  # identifies the input files
    rows: RowCounts = RowCounts()
    steps: list[StepRecord] = field(default_factory=list)  # all steps up to the one that wrote the record
    time: Timestamp = field(default_factory=now)

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "settings", current_names(self.settings))


class RunRecords:
    """The directories `runs/<run_id>/` of a registry: `run.json`, and the verdict and report of the run."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def ids(self) -> list[str]:
        """Returns the runs that have a record."""
        keys = (key.split("/") for key in self._storage.list(f"{_DIRECTORY}/"))
        return [run_id for _, run_id, *name in keys if name == [_RECORD] and _RUN_ID.fullmatch(run_id)]

    def newest_first(self) -> tuple[list[RunRecord], list[str]]:
        """Reads all records that can be read, the latest first, and one line for each that is corrupt."""

        def attempt(run_id: str) -> RunRecord | str | None:
            try:
                return self.read(run_id)
            except UserError as error:
                return str(error)

        # In a bucket each is a request of its own.
        with ThreadPoolExecutor(_READERS) as pool:
            found = list(pool.map(attempt, self.ids()))
        records = [record for record in found if isinstance(record, RunRecord)]
        faults = [fault for fault in found if isinstance(fault, str)]
        return sorted(records, key=lambda record: record.time, reverse=True), faults

    def write(self, record: RunRecord, files: Mapping[str, Path]) -> None:
        """Creates or replaces a record, with local `files` by their name in it."""
        for name, path in files.items():
            self._storage.upload_file(path, _key(record.run_id, name))
        self._storage.write_bytes(_key(record.run_id, _RECORD), encode(record))
        self.report(record)

    def report(self, record: RunRecord) -> None:
        """Adds what a record says to the outcome of the step that is running."""
        add_to_outcome(
            run_record=self._storage.uri(_key(record.run_id, "")).rstrip("/"),
            outcome=record.outcome,
            version=record.version,
            reason=record.reason,
        )

    def document(self, run_id: str, name: str) -> bytes:
        """Reads a file of the record, such as `verdict.json`. Raises `UserError` if it is not there."""
        return self._storage.read_bytes(_key(run_id, name))

    def read(self, run_id: str) -> RunRecord | None:
        """Reads the record of a run; None if it has none. Raises `UserError` if it is corrupt."""
        key = _key(run_id, _RECORD)
        if not self._storage.exists(key):
            return None
        record = decode(self._storage.read_bytes(key), RunRecord, self._storage.uri(key), _CURE)
        if record.run_id != run_id:
            raise UserError(f"{self._storage.uri(key)} is that of another run, {record.run_id}; {_CURE}")
        return record

    def names(self, run_id: str) -> list[str]:
        """Returns the names of the files of a record."""
        directory = _key(run_id, "")
        return [key.removeprefix(directory) for key in self._storage.list(directory)]

    def uri(self, run_id: str, name: str) -> str:
        """Returns the path or URI of a file of a record."""
        return self._storage.uri(_key(run_id, name))


def run_id_by_time() -> str:
    """Returns an id for a run that no pipeline names."""
    return f"by-hand-{now():%Y%m%d-%H%M%S-%f}"


def check_run_id(run_id: str) -> None:
    """Raises `UserError` unless `run_id` can name a directory."""
    if not _RUN_ID.fullmatch(run_id):
        raise UserError(
            f"{run_id!r} is no run id; give letters, digits, dots, dashes and underscores, 201 at most"
        )


def _key(run_id: str, name: str) -> str:
    check_run_id(run_id)
    return f"{_DIRECTORY}/{run_id}/{name}"

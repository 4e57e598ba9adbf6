"""The append-only log of champions: its highest entry names the version that is served."""

import itertools
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from components.documents import Document, Timestamp, decode, encode, now
from components.errors import UserError
from components.storage import AlreadyExistsError, NotFoundError, Storage

# The document of the step `prepare`.
CHAMPION_FILE = "champion.json"
# The directories of Models beside it.
MODEL = "model"
BEST_MODEL = "best_model"

_DIRECTORY = "champion"
_NUMBERED = re.compile(rf"{_DIRECTORY}/\d+\.json")
_ENTRY = re.compile(rf"{_DIRECTORY}/(?!000000)([0-9]{{6}}|[1-9][0-9]{{6,17}})\.json")

_CURE = "restore it from a backup, or write it again by hand: docs/registry.md shows its few lines"

PUBLISHED = "published"
FORCED = "forced"
ROLLBACK = "rollback"


class SupersededError(Exception):
    """Another champion has been promoted since the caller read the log."""


class ChampionEntry(Document):
    """One change of the champion."""

    _checksummed: ClassVar[bool] = True

    format: Literal[1] = 1
    sequence: int  # its place in the log: 1, 2, 3, …
    version: str  # the version that became champion
    previous: str  # the champion before it; "" for the first
    why: str  # "published", "forced" (published against the verdict) or "rollback"
    reason: str  # given by the person who forced it or rolled back; "" for none
    run_id: str  # the pipeline run that published it; "" for a rollback
    time: Timestamp


class ServedChampion(Document):
    """`champion.json`, which the step `prepare` writes: the champion at that time."""

    _written_by: ClassVar[str] = "twotower champion"

    exists: bool  # whether there was one; if so, the directory `model` beside the file is its Model
    version: str = ""  # its id; "" for none
    sequence: int = 0  # its place in the champion log; 0 for none
    registry: str = ""  # the registry that was read
    ignored: str = ""  # why its Model was left out, though there is one
    # The best of the ten champions before it, if that is ahead: its Model is the directory `best_model`.
    best_version: str = ""
    best_sequence: int = 0


class ChampionLog:
    """The files `champion/000001.json`, `champion/000002.json`, … of a registry; none is ever changed."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def sequences(self) -> list[int]:
        """Returns the places in the log, ascending."""
        return sorted(int(match[1]) for match in map(_ENTRY.fullmatch, self._keys()) if match)

    def strays(self) -> list[str]:
        """Returns the keys of files that are named by a number, but not as an entry is."""
        return [key for key in self._keys() if _NUMBERED.fullmatch(key) and not _ENTRY.fullmatch(key)]

    def uri(self, sequence: int) -> str:
        """Returns the path or URI of the entry at a place in the log."""
        return self._storage.uri(_key(sequence))

    def end(self) -> int:
        """Returns the last place in the log; 0 in an empty registry."""
        return max(self.sequences(), default=0)

    def entry(self, sequence: int) -> ChampionEntry:
        """Reads the entry at a place in the log. Raises `UserError` if there is none, or it is corrupt."""
        uri = self.uri(sequence)
        try:
            entry = decode(self._storage.read_bytes(_key(sequence)), ChampionEntry, uri, _CURE)
        except NotFoundError as error:
            raise NotFoundError(f"{uri} is missing; {_CURE}") from error
        if entry.sequence != sequence:
            raise UserError(f"{uri} says that it is number {entry.sequence}; delete it, or {_CURE}")
        return entry

    def latest(self) -> ChampionEntry | None:
        """Reads the last entry, which names the champion; None in an empty registry."""
        sequences = self.sequences()
        return self.entry(sequences[-1]) if sequences else None

    def entries(self) -> list[ChampionEntry]:
        """Reads the whole log, in order. Raises `UserError` if an entry is missing or corrupt."""
        entries, faults = self.readable()
        if faults:
            raise UserError(faults[0])
        return entries

    def readable(self) -> tuple[list[ChampionEntry], list[str]]:
        """Reads all entries that can be read, in order, and one line for each fault of the log."""
        entries, faults = list[ChampionEntry](), list[str]()
        for before, sequence in itertools.pairwise([0, *self.sequences()]):
            if sequence > before + 1:
                faults.append(f"{self.uri(before + 1)} is missing; {_CURE}")
            try:
                entry = self.entry(sequence)
            except UserError as error:
                faults.append(str(error))
                continue
            last = entries[-1] if entries else entry
            if last.sequence == sequence - 1 and entry.previous != last.version:
                faults.append(
                    f"{self.uri(sequence)} says that it came after {entry.previous or 'none'}, and the "
                    f"champion before it was {last.version}; {_CURE}"
                )
            entries.append(entry)
        return entries, faults

    def of_run(self, run_id: str) -> ChampionEntry | None:
        """Returns the entry by which the run `run_id` published; None if it did not."""
        return next((entry for entry in reversed(self.entries()) if entry.run_id == run_id), None)

    def of_version(self, version: str) -> ChampionEntry | None:
        """Returns the entry by which `version` was published; None if it was not."""
        entries = (entry for entry in self.entries() if entry.why != ROLLBACK)
        return next((entry for entry in entries if entry.version == version), None)

    def append(
        self, expected_sequence: int, version: str, why: str, run_id: str, reason: str = ""
    ) -> ChampionEntry:
        """Makes `version` the champion, if the log still ends at `expected_sequence` (0: is empty).

        Of any number of callers at once, one succeeds: they all create the same file. Raises
        `SupersededError` if the log ends elsewhere.
        """
        latest = self.latest()
        if (latest.sequence if latest else 0) != expected_sequence:
            raise SupersededError
        entry = ChampionEntry(
            sequence=expected_sequence + 1,
            version=version,
            previous=latest.version if latest else "",
            why=why,
            reason=reason,
            run_id=run_id,
            time=now(),
        )
        try:
            self._storage.create_exclusive(_key(entry.sequence), encode(entry))
        except AlreadyExistsError as error:
            raise SupersededError from error
        return entry

    def before_present(self) -> str:
        """Returns the version that a rollback goes back to; "" if there is none.

        That is the champion that the present one replaced when it was published. A version that was rolled
        back from does not count, so one rollback after another goes ever further back.
        """
        line: list[str] = []
        for entry in self.entries():
            if entry.why == ROLLBACK and entry.version in line:
                del line[line.index(entry.version) :]
            line.append(entry.version)
        return line[-2] if len(line) > 1 else ""

    def _keys(self) -> Sequence[str]:
        return self._storage.list(f"{_DIRECTORY}/")


def _key(sequence: int) -> str:
    return f"{_DIRECTORY}/{sequence:06d}.json"

"""What TensorFlow Serving loads: `serving/<N>/`, the index of the Nth champion; it takes the highest N."""

import re
from collections.abc import Iterator

from components.errors import UserError
from components.registry.champion_log import ChampionEntry
from components.registry.versions import INDEX, Look, Versions
from components.storage import Storage

# A version directory can be loaded once this file is in it, so it comes last.
_LAST = "saved_model.pb"

_DIRECTORY = "serving"
_KEY = re.compile(rf"{_DIRECTORY}/(\d+)/.+")


class Serving:
    """The directories `serving/1/`, `serving/2/`, … of a registry."""

    def __init__(self, storage: Storage, versions: Versions) -> None:
        self._storage, self._versions = storage, versions

    def is_complete(self, entry: ChampionEntry) -> bool:
        """Whether a server can load this champion."""
        return self._storage.exists(f"{_directory(entry.sequence)}/{_LAST}")

    def complete(self, entry: ChampionEntry) -> None:
        """Copies this champion's index to its place, unless it lies there.

        What a killed publisher left is overwritten file by file; callers at once write the same bytes.

        Raises:
          UserError: if a file of the version is missing or not as published, or cannot be copied.
        """
        if self.is_complete(entry):
            return
        try:
            self._versions.copy(entry.version, INDEX, _directory(entry.sequence), last=[_LAST])
        except UserError as error:
            raise UserError(
                f"{entry.version} is the champion, but a server cannot load it yet: {error}; then "
                f"`twotower rollback {entry.version} --registry {self._storage.root}` completes it"
            ) from error

    def sequences(self) -> list[int]:
        """The champions of which there is a copy, whole or not, by their place in the champion log."""
        matches = (_KEY.fullmatch(key) for key in self._storage.list(f"{_DIRECTORY}/"))
        return sorted({int(match[1]) for match in matches if match})

    def faults(self, entry: ChampionEntry, look: Look) -> Iterator[str]:
        """What is missing or not as published in the copy of this champion, a line a file."""
        return self._versions.faults(entry.version, INDEX, look, _directory(entry.sequence))

    def remove(self, sequence: int) -> None:
        """Deletes the copy of a champion. Whatever stops this, no server loads the rest."""
        self._storage.delete(f"{_directory(sequence)}/{_LAST}")
        self._storage.delete_prefix(_directory(sequence))


def _directory(sequence: int) -> str:
    return f"{_DIRECTORY}/{sequence}"

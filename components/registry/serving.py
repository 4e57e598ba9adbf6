"""What TensorFlow Serving loads: `serving/<N>/`, the index of the Nth champion; it takes the highest N."""

from components.registry.champion_log import ChampionEntry
from components.registry.versions import INDEX, Versions
from components.storage import Storage

# A version directory can be loaded once this file is in it, so it comes last.
_LAST = "saved_model.pb"


class Serving:
    """The directories `serving/1/`, `serving/2/`, … of a registry."""

    def __init__(self, storage: Storage, versions: Versions) -> None:
        self._storage, self._versions = storage, versions

    def is_complete(self, entry: ChampionEntry) -> bool:
        """Whether a server can load this champion."""
        return self._storage.exists(f"{_directory(entry)}/{_LAST}")

    def complete(self, entry: ChampionEntry) -> None:
        """Copies this champion's index to its place, unless it lies there.

        What a killed publisher left is overwritten file by file; callers at once write the same bytes.

        Raises:
          UserError: if a file of the version is missing or not as published.
        """
        if not self.is_complete(entry):
            self._versions.copy(entry.version, INDEX, _directory(entry), last=[_LAST])


def _directory(entry: ChampionEntry) -> str:
    return f"serving/{entry.sequence}"

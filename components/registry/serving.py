"""The directories `serving/<number>/` of a registry, which TensorFlow Serving loads: copies of champions."""

import re
from collections.abc import Iterator, Sequence

from components.errors import UserError
from components.registry.champion_log import ChampionEntry
from components.registry.versions import INDEX, FileFault, Look, Versions
from components.storage import Storage

# A version directory can be loaded once this file is in it, so it comes last.
_LAST = "saved_model.pb"

_DIRECTORY = "serving"
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


class Serving:
    """The copies of champions' indexes, each in a directory named by the champion's place in the log."""

    def __init__(self, storage: Storage, versions: Versions) -> None:
        self._storage, self._versions = storage, versions
        self._published_sizes = dict[str, dict[str, int]]()  # of the files of an index, by version

    def names(self) -> Sequence[str]:
        """Returns the names of all directories, also of those that are no copy of a champion."""
        return self._storage.directories(_DIRECTORY)

    def sequences(self) -> list[int]:
        """Returns the numbers that have a copy, complete or not, ascending."""
        return sorted(int(name) for name in self.names() if _NUMBER.fullmatch(name))

    def uri(self, name: str | int) -> str:
        """Returns the path or URI of a directory."""
        return self._storage.uri(_directory(name))

    def is_loadable(self, sequence: int) -> bool:
        """Tells whether a server would load a copy, be it the right one or not."""
        return self._storage.exists(f"{_directory(sequence)}/{_LAST}")

    def is_complete(self, entry: ChampionEntry) -> bool:
        """Tells whether a champion's copy is as published, by the checksums of its files.

        Raises `UserError` if the version has no manifest that can be read.
        """
        return not self.fault(entry)

    def complete(self, entry: ChampionEntry) -> None:
        """Copies this champion's index to its place, unless it is there.

        What a killed publisher left is overwritten file by file; callers at once write the same bytes. Raises
        `UserError` if a file of the version is missing or not as published, or cannot be copied.
        """
        try:
            faults = list(self.faults(entry, self._storage.stat))
            if not faults:
                return
            if any(fault.present for fault in faults):
                # Another index has this place: a server must not load a mixture.
                self._storage.delete(f"{_directory(entry.sequence)}/{_LAST}")
            self._versions.copy(entry.version, INDEX, _directory(entry.sequence), last=[_LAST])
        except UserError as error:
            raise UserError(
                f"{entry.version} is the champion, but a server cannot load it yet: {error}; then "
                f"`twotower rollback {entry.version} --registry {self._storage.root}` completes it"
            ) from error

    def faults(self, entry: ChampionEntry, look: Look) -> Iterator[FileFault]:
        """Finds the files of a champion's copy that are missing or differ, as `Versions.faults` does."""
        return self._versions.faults(entry.version, INDEX, look, _directory(entry.sequence))

    def fault(self, entry: ChampionEntry) -> str:
        """Returns one line about the first of `faults`; "" if there is none."""
        return next((fault.text for fault in self.faults(entry, self._storage.stat)), "")

    def fault_by_size(self, entry: ChampionEntry) -> str:
        """Does `fault` by the sizes of the files, none of which is read."""
        if entry.version not in self._published_sizes:
            published = self._versions.manifest(entry.version).part(INDEX)
            self._published_sizes = {entry.version: {name: file.size for name, file in published.items()}}
        sizes = self._storage.sizes(_directory(entry.sequence))
        for name, size in self._published_sizes[entry.version].items():
            key = f"{_directory(entry.sequence)}/{name}"
            if sizes.get(key) != size:
                return f"{self._storage.uri(key)} is missing or not of {size} bytes"
        return ""

    def version_in(self, sequence: int) -> str:
        """Returns the version whose index, or part of it, lies in a directory; "" if it is no version's."""
        start = len(f"{_directory(sequence)}/")
        files = {
            key[start:]: self._storage.stat(key) for key in self._storage.list(f"{_directory(sequence)}/")
        }
        for version in reversed(self._versions.ids()) if files else ():
            try:
                published = self._versions.manifest(version).part(INDEX)
            except UserError:
                continue
            if all(published.get(name) == file for name, file in files.items()):
                return version
        return ""

    def remove(self, name: str | int) -> None:
        """Deletes a directory. Whatever stops this, no server loads the rest."""
        self._storage.delete(f"{_directory(name)}/{_LAST}")
        self._storage.delete_prefix(_directory(name))


def _directory(name: str | int) -> str:
    return f"{_DIRECTORY}/{name}"

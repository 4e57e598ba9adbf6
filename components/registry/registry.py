"""The registry below one directory or gs:// prefix, and local copies of its indexes."""

import hashlib
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.errors import UserError
from components.progress import log
from components.registry.champion_log import ROLLBACK, ChampionEntry, ChampionLog, SupersededError
from components.registry.run_records import RunRecords
from components.registry.versions import INDEX, Look, Versions
from components.storage import Storage, StoredFile, is_remote, open_storage, stored_file

# A version directory can be loaded once this file is in it, so it comes last.
_LAST = "saved_model.pb"

_DIRECTORY = "serving"
_KEY = re.compile(rf"{_DIRECTORY}/(\d+)/.+")


class Serving:
    """The directories `serving/1/`, `serving/2/`, … of a registry."""

    def __init__(self, storage: Storage, versions: Versions) -> None:
        self._storage, self._versions = storage, versions

    def is_complete(self, entry: ChampionEntry) -> bool:
        """Tells whether a server can load this champion."""
        return self._storage.exists(f"{_directory(entry.sequence)}/{_LAST}")

    def complete(self, entry: ChampionEntry) -> None:
        """Copies this champion's index to its place, unless it is there.

        What a killed publisher left is overwritten file by file; callers at once write the same bytes. Raises
        `UserError` if a file of the version is missing or not as published, or cannot be copied.
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
        """Returns the champions that have a copy, complete or not, by their place in the champion log."""
        matches = (_KEY.fullmatch(key) for key in self._storage.list(f"{_DIRECTORY}/"))
        return sorted({int(match[1]) for match in matches if match})

    def faults(self, entry: ChampionEntry, look: Look) -> Iterator[str]:
        """Yields one line for each file of this champion's copy that is missing or differs."""
        return self._versions.faults(entry.version, INDEX, look, _directory(entry.sequence))

    def remove(self, sequence: int) -> None:
        """Deletes the copy of a champion. Whatever stops this, no server loads the rest."""
        self._storage.delete(f"{_directory(sequence)}/{_LAST}")
        self._storage.delete_prefix(_directory(sequence))


def _directory(sequence: int) -> str:
    return f"{_DIRECTORY}/{sequence}"


# Older unfinished local files are of writers that were killed.
_UNFINISHED_SECONDS = 24 * 60 * 60


class Registry:
    """The versions, the log of champions, what a server loads, and the run records, below one root."""

    def __init__(self, root: str) -> None:
        self.storage = open_storage(root)
        self.versions = Versions(self.storage)
        self.champion_log = ChampionLog(self.storage)
        self.serving = Serving(self.storage, self.versions)
        self.runs = RunRecords(self.storage)

    @property
    def root(self) -> str:
        """The directory or gs:// prefix."""
        return self.storage.root

    def champion(self, advice: str) -> ChampionEntry:
        """Reads the champion's entry in the log; if there is none, raises `UserError`, ending in `advice`."""
        entry = self.champion_log.latest()
        if entry is None:
            raise UserError(f"{self.root} has no champion{advice}")
        return entry

    def rollback(self, version: str = "", reason: str = "") -> ChampionEntry:
        """Makes an earlier version the champion again, under a new and higher place in the log.

        `version` is its id, "" for the one that the present champion replaced; `reason` is for the champion
        log. Raises `UserError` if there is no such version, it is not whole, or the champion changed since.
        """
        champion = self.champion(" to roll back from; publish a version first")
        listing = f"`twotower versions --registry {self.root}`"
        version = version or self.champion_log.before_present()
        if not version:
            raise UserError(
                f"no champion came before {champion.version}; name the version to serve: {listing} lists them"
            )
        if version != champion.version:
            self.versions.check(version)
            self.finish_serving()
            try:
                champion = self.champion_log.append(champion.sequence, version, ROLLBACK, "", reason)
            except SupersededError as error:
                raise UserError(
                    f"the champion of {self.root} changed meanwhile; look at {listing} and repeat the "
                    "rollback if it is still wanted"
                ) from error
        self.serving.complete(champion)
        return champion

    def complete_serving(self) -> None:
        """Completes the served copy of the present champion, if there is one, as `Serving.complete` does."""
        champion = self.champion_log.latest()
        if champion is not None:
            self.serving.complete(champion)

    def finish_serving(self) -> None:
        """Completes the served copy of the present champion, if its publisher was killed.

        Done before another champion is named, so that of the champions a server may load, only the last one
        can ever be incomplete. One that cannot be completed does not stand in the way of the next.
        """
        try:
            self.complete_serving()
        except UserError as error:
            log(f"going on without it: {error}")

    def clean(self) -> None:
        """Deletes the remains of publishers that were killed more than a day ago."""
        self.versions.remove_partial()
        self.storage.remove_unfinished(_UNFINISHED_SECONDS)


# A few versions of a few registries; each may take gigabytes.
_KEPT = 4

# What was asked for a moment ago is perhaps being loaded.
_UNTOUCHED_SECONDS = 15 * 60


def touch(home: Path) -> None:
    """Records that the copy in the directory `home` is in use."""
    with suppress(OSError):  # it may be another user's, or on a disk that cannot be written
        os.utime(home)


def keep_recent(cache: Path) -> None:
    """Deletes all copies in `cache`, which lie two levels below it, but the last few that were used."""
    oldest_first = sorted((_used(home), home) for home in cache.glob("*/*"))
    for used, home in oldest_first[:-_KEPT]:
        if used < time.time() - _UNTOUCHED_SECONDS:
            shutil.rmtree(home, ignore_errors=True)


def _used(home: Path) -> float:
    try:
        return home.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # somebody else has just deleted it


def published_index(registry_root: str, version: str = "") -> Path:
    """Returns a local directory with the index of a version, each file checked against its checksum.

    An index in Google Cloud Storage is downloaded once, to ~/.cache/twotower or, if that is set, to the
    directory TWOTOWER_CACHE, where a few are kept. `registry_root` is a directory or gs:// prefix, `version`
    an id; "" for the champion. Raises `UserError` if there is no such version, or a file of it is missing or
    corrupt.
    """
    registry = Registry(registry_root)
    advice = "; name another registry, or publish a version by `twotower run`"
    version = version or registry.champion(advice).version
    if not is_remote(registry_root):
        registry.versions.check(version, INDEX)
        return Path(registry.versions.uri(version, INDEX))
    return _cached(registry, version)


def _cached(registry: Registry, version: str) -> Path:
    cache = Path(os.environ.get("TWOTOWER_CACHE") or Path.home() / ".cache" / "twotower")
    home = cache / hashlib.sha256(registry.root.encode()).hexdigest()[:16] / version
    target = home / INDEX
    published = registry.versions.manifest(version).part(INDEX)
    if _is_whole(target, published):
        touch(home)
        return target
    log(f"fetching version {version} from {registry.root} to {target}")
    with _scratch(home) as scratch:
        registry.versions.download(version, INDEX, scratch / INDEX)
        # Whoever fetched it at the same time may be reading it by now: leave theirs in place.
        if not _is_whole(target, published):
            shutil.rmtree(target, ignore_errors=True)
            (scratch / INDEX).rename(target)
    touch(home)
    keep_recent(cache)
    return target


def _is_whole(directory: Path, published: dict[str, StoredFile]) -> bool:
    return all(
        (directory / name).is_file() and stored_file(directory / name) == file
        for name, file in published.items()
    )


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".") as scratch:
            yield Path(scratch)
    except OSError as error:
        raise UserError(
            f"cannot write {home}: {error.strerror}; set TWOTOWER_CACHE to a directory that can be written"
        ) from error

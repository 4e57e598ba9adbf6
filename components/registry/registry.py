"""The registry below one directory, gs:// or s3:// prefix, and local copies of its indexes."""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from components.errors import UserError
from components.progress import log
from components.registry.champion_log import ROLLBACK, ChampionEntry, ChampionLog, SupersededError
from components.registry.run_records import RunRecord, RunRecords
from components.registry.serving import Serving
from components.registry.versions import INDEX, Versions
from components.storage import is_remote, open_storage, stored_file

# More entries of a log are not lost at once: a higher number in `serving/` was never a champion's.
_MOST_LOST = 10_000


class LostChampion(NamedTuple):
    """A champion that the log has no entry of any more."""

    sequence: int  # its place in the log
    version: str
    witness: str  # the directory or record that has it


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
        """The directory, gs:// or s3:// prefix."""
        return self.storage.root

    def lost_champion(self, records: Sequence[RunRecord] = ()) -> LostChampion | None:
        """Finds the last champion that a copy for a server or one of `records` has, and the log has not."""
        # The copies are listed before the log, which is written before them.
        numbers, end = self.serving.sequences(), self.champion_log.end()
        lost = [
            LostChampion(record.sequence, record.version, f"the record of the run {record.run_id}")
            for record in records
            if end < record.sequence <= end + _MOST_LOST and record.version in self.versions.ids()
        ]
        for number in numbers:
            if end < number <= end + _MOST_LOST and (version := self.serving.version_in(number)):
                lost.append(LostChampion(number, version, self.serving.uri(number)))
        return max(lost, default=None)

    def check_log(self, read_records: bool = False) -> None:
        """Raises `UserError` if `lost_champion` finds that the champion log has lost its end."""
        if lost := self.lost_champion(self.runs.newest_first()[0] if read_records else ()):
            raise UserError(self.describe_lost(lost))

    def describe_lost(self, lost: LostChampion) -> str:
        """Returns one line about a champion that was lost, with the cure."""
        return (
            f"{self.champion_log.uri(lost.sequence)} is lost: {lost.witness} has {lost.version} as number "
            f"{lost.sequence}; restore it from a backup, or write it again by "
            f"`twotower rollback {lost.version} --registry {self.root}`"
        )

    def latest(self) -> ChampionEntry | None:
        """Reads the champion's entry in the log; None in an empty registry.

        Raises `UserError` if it is corrupt, or later ones were lost.
        """
        self.check_log()
        return self.champion_log.latest()

    def champion(self, advice: str) -> ChampionEntry:
        """Does `latest`; if there is no champion, raises `UserError`, ending in `advice`."""
        entry = self.latest()
        if entry is None:
            raise UserError(f"{self.root} has no champion{advice}")
        return entry

    def rollback(self, version: str = "", reason: str = "") -> ChampionEntry:
        """Makes an earlier version the champion again, under a new and higher place in the log.

        `version` is its id, "" for the one that the present champion replaced; `reason` is for the champion
        log. Raises `UserError` if there is no such version, it is not whole, or the champion changed since.
        """
        lost = self.lost_champion(self.runs.newest_first()[0])
        if lost and version != lost.version:
            raise UserError(self.describe_lost(lost))
        if lost:
            return self._append(range(self.champion_log.end(), lost.sequence), version, reason)
        champion = self.champion(" to roll back from; publish a version first")
        version = version or self.champion_log.before_present()
        if not version:
            raise UserError(
                f"no champion came before {champion.version}; name the version to serve: "
                f"`twotower versions --registry {self.root}` lists them"
            )
        if version != champion.version:
            return self._append([champion.sequence], version, reason)
        self.serving.complete(champion)
        return champion

    def _append(self, ends: Sequence[int], version: str, reason: str) -> ChampionEntry:
        """Makes `version` the champion again by an entry after each of `ends`, and serves the last one."""
        self.versions.check(version)
        self.finish_serving()
        try:
            for end in ends:
                champion = self.champion_log.append(end, version, ROLLBACK, "", reason)
        except SupersededError as error:
            raise UserError(
                f"the champion of {self.root} changed meanwhile; look at `twotower versions --registry "
                f"{self.root}` and repeat the rollback if it is still wanted"
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

    def copy_fault(self, sequence: int, by_size: bool) -> str:
        """Returns one line about a champion's copy for TensorFlow Serving that is not as published, else "".

        It is compared by the checksums of its files, or by their sizes, which reads none of them.
        """
        try:
            entry = self.champion_log.entry(sequence)
            fault = self.serving.fault_by_size(entry) if by_size else self.serving.fault(entry)
        except UserError as error:
            return str(error)
        return fault and f"{fault}; `twotower verify --repair --registry {self.root}` makes it anew"

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


class PublishedFiles:
    """The files of a version's index, each checked against its checksum when it is asked for.

    Those in a bucket are downloaded once, to ~/.cache/twotower or, if that is set, to the directory
    TWOTOWER_CACHE, where a few indexes are kept.
    """

    def __init__(self, registry_root: str, version: str = "") -> None:
        """Names a version by its id, "" for the champion, in a directory, gs:// or s3:// prefix.

        Raises `UserError` if there is no such version.
        """
        self._registry = Registry(registry_root)
        advice = "; name another registry, or publish a version by `twotower run`"
        self._version = version or self._registry.champion(advice).version
        self._files = self._registry.versions.files(self._version, INDEX)
        self._home: Path | None = None  # of the local copy
        self._downloaded = False
        if is_remote(registry_root):
            registry = hashlib.sha256(self._registry.root.encode()).hexdigest()[:16]
            self._home = cache_directory() / registry / self._version

    def fetch(self, name: str) -> Path:
        """Returns the local path of a file, given its path in the index.

        Raises `UserError` if the version has no such file, or it is missing or corrupt.
        """
        versions = self._registry.versions
        uri = versions.uri(self._version, f"{INDEX}/{name}")
        if name not in self._files:
            raise UserError(f"the manifest of {self._version} lists no {uri}; name another version")
        if self._home is None:
            versions.check(self._version, INDEX, {name: self._files[name]})
            return Path(uri)
        target = self._home / INDEX / name
        if not (target.is_file() and stored_file(target) == self._files[name]):
            self._download(name, self._home)
        return target

    def whole(self) -> Path:
        """Returns a local directory with the whole index. Raises `UserError` as `fetch` does."""
        for name in self._files:
            self.fetch(name)
        if self._home is None:
            return Path(self._registry.versions.uri(self._version, INDEX))
        touch(self._home)
        return self._home / INDEX

    def _download(self, name: str, home: Path) -> None:
        """Replaces a file of the local copy, which others may have mapped."""
        if not self._downloaded:
            log(f"fetching version {self._version} from {self._registry.root} to {home / INDEX}")
        target, only = home / INDEX / name, {name: self._files[name]}
        with _scratch(home) as scratch:
            self._registry.versions.download(self._version, INDEX, scratch, files=only)
            target.parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).replace(target)
        if not self._downloaded:
            touch(home)
            keep_recent(cache_directory())
            self._downloaded = True


def published_index(registry_root: str, version: str = "") -> Path:
    """Returns a local directory with the index of a version, as `PublishedFiles.whole` does.

    `registry_root` is a directory, gs:// or s3:// prefix, `version` an id; "" for the champion. Raises
    `UserError` if there is no such version, or a file of it is missing or corrupt.
    """
    return PublishedFiles(registry_root, version).whole()


def cache_directory() -> Path:
    """Returns the directory of the local copies, each two levels below it."""
    return Path(os.environ.get("TWOTOWER_CACHE") or Path.home() / ".cache" / "twotower")


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

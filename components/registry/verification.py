"""Compares everything in a registry with what was published, and puts what a server loads in order."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from components.documents import decode_object
from components.errors import UserError
from components.progress import Progress
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.versions import INDEX, FileFault, Look
from components.storage import NotFoundError, StoredFile, version_key

# Publishers may be at work: a fault is one that is still there after so long.
_PAUSE_SECONDS = 1.0

Check = Callable[[], Iterator[str]]


@dataclass(frozen=True)
class Verification:
    """Result of the verification of a registry: how much was compared, and what is wrong."""

    versions: int
    served: int  # copies of champions for a server
    runs: int
    files: int
    bytes: int
    faults: list[str]  # one line, with the cure, for each file, entry or directory that is wrong


def verify(registry: Registry, download: bool = False) -> Verification:
    """Compares all versions, and all that a server can load, with the manifests; reads the log and all runs.

    The bytes of a local registry are read. A bucket keeps the checksums of the bytes that were put there, and
    these are compared. With `download` its bytes are read too.
    """
    sizes: list[int] = []

    def look(key: str) -> StoredFile:
        found = registry.storage.read_back(key) if download else registry.storage.stat(key)
        sizes.append(found.size)
        return found

    first, found = _Snapshot(registry, look), dict[str, list[str]]()
    checks = first.checks()
    with Progress("verify", total=len(checks), unit="parts") as progress:
        for name, check in checks.items():
            found[name] = _collect(check())
            progress.advance()
    files, total, lasting = len(sizes), sum(sizes), list[str]()
    if any(found.values()):
        time.sleep(_PAUSE_SECONDS)
        again = _Snapshot(registry, look).checks()
        for name, faults in found.items():
            if faults and name in again:  # it may have been deleted since
                lasting += [fault for fault in _collect(again[name]()) if fault in faults]
    served = sum(1 for name in first.copies if first.is_loadable_copy(name))
    once = list(dict.fromkeys(lasting))
    return Verification(len(first.versions), served, len(first.runs), files, total, once)


def repair(registry: Registry) -> Iterator[str]:
    """Copies what a server loads anew where it is not as published, and yields one line for each change.

    Directories that are no copy of a champion are deleted, and files of versions that a copy still has whole
    are copied back. Raises `UserError` if that is not possible.
    """
    found = _Snapshot(registry, registry.storage.stat)
    for version in found.versions:
        with suppress(UserError):  # a manifest that cannot be read
            for fault in list(registry.versions.faults(version, "", registry.storage.stat)):
                if key := found.whole_copy(version, fault):
                    place = version_key(version, fault.name)
                    registry.storage.copy_file(key, place)
                    yield f"copied {registry.storage.uri(key)} to {registry.storage.uri(place)}"
    for name in found.copies:
        if found.is_foreign(name):
            registry.serving.remove(name)
            yield f"deleted {registry.serving.uri(name)}"
    for entry in found.entries:
        loadable = found.is_loadable_copy(str(entry.sequence)) and entry.version in found.versions
        if (loadable or entry is found.entries[-1]) and not registry.serving.is_complete(entry):
            registry.serving.complete(entry)
            yield f"copied {entry.version} to {registry.serving.uri(entry.sequence)}"


class _Snapshot:
    """The parts of a registry at one moment, and the checks of each."""

    def __init__(self, registry: Registry, look: Look) -> None:
        self._registry, self._look = registry, look
        # In the order opposite to that in which publishers write.
        self._records, self._record_faults = registry.runs.newest_first()
        self.runs = registry.runs.ids()
        self.copies = registry.serving.names()
        self.lost = registry.lost_champion(self._records)
        self.entries, self._log_faults = registry.champion_log.readable()
        self._end = registry.champion_log.end()
        self.versions = registry.versions.ids()
        self._entry_of = {str(entry.sequence): entry for entry in self.entries}
        self._command = f"`twotower verify --repair --registry {registry.root}`"

    def checks(self) -> dict[str, Check]:
        """Returns the check of each part, which yields one line for each fault, by name."""
        # What lies in the place of a copy may be no directory.
        places = dict.fromkeys((*self.copies, *self._entry_of))
        return {
            "log": self._check_log,
            **{f"versions/{version}": partial(self._check_version, version) for version in self.versions},
            **{f"serving/{name}": partial(self._check_copy, name) for name in places},
            "champion": self._check_champion,
            "runs": partial(iter, self._record_faults),
            **{f"runs/{record.run_id}": partial(self._check_run, record) for record in self._records},
        }

    def is_loadable_copy(self, name: str) -> bool:
        """Tells whether a directory is the copy of a champion, and a server would load it."""
        return name in self._entry_of and self._registry.serving.is_loadable(self._entry_of[name].sequence)

    def is_foreign(self, name: str) -> bool:
        """Tells whether a directory of `serving/` is no copy of a champion, nor of one that was lost.

        Without any entry in the log nothing is known of the copies, which may be all that is left.
        """
        end = self.lost.sequence if self.lost else self._end
        return end > 0 and name not in {
            str(number) for number in self._registry.serving.sequences() if number <= end
        }

    def whole_copy(self, version: str, fault: FileFault) -> str:
        """Returns the key of a server's copy of a version's file that is as published; "" if none is."""
        name = fault.name.removeprefix(f"{INDEX}/")
        published = self._registry.versions.manifest(version).files[fault.name]
        for entry in self.entries if name != fault.name else ():
            key = f"serving/{entry.sequence}/{name}"
            with suppress(NotFoundError):
                if entry.version == version and self._registry.storage.stat(key) == published:
                    return key
        return ""

    def _check_log(self) -> Iterator[str]:
        if self.lost:
            yield self._registry.describe_lost(self.lost)
        elif self.copies and not self._end:
            place, copies = self._registry.storage.uri("champion"), self._registry.storage.uri("serving")
            yield f"{place} has no entry, and {copies} has copies of champions; {_RESTORE}"
        yield from self._log_faults
        for key in self._registry.champion_log.strays():
            yield f"{self._registry.storage.uri(key)} is no entry of the champion log; delete it"

    def _check_champion(self) -> Iterator[str]:
        """Yields the faults that keep the champion from being served."""
        if not self.entries:
            return
        champion = self.entries[-1]
        if champion.version not in self.versions:
            yield (
                f"the champion {champion.version} is missing; serve another version by "
                f"`twotower rollback VERSION --registry {self._registry.root}`"
            )
        elif not self._registry.serving.is_loadable(champion.sequence):
            uri = self._registry.serving.uri(champion.sequence)
            yield f"a server cannot load the champion: {uri} is not complete; {self._command} completes it"

    def _check_version(self, version: str) -> Iterator[str]:
        versions, storage = self._registry.versions, self._registry.storage
        for fault in versions.faults(version, "", self._look):
            whole = self.whole_copy(version, fault)
            cure = f"{storage.uri(whole)} is whole, and {self._command} copies it back" if whole else _RESTORE
            yield f"{fault.text}; {cure}"
        for key in versions.unknown_files(version):
            yield f"{storage.uri(key)} is not in the manifest of its version; delete it"

    def _check_copy(self, name: str) -> Iterator[str]:
        if name in self.copies and self.is_foreign(name):
            yield f"{self._registry.serving.uri(name)} is no copy of a champion; {self._command} deletes it"
        elif self.is_loadable_copy(name):
            entry = self._entry_of[name]
            if entry.version in self.versions:
                for fault in self._registry.serving.faults(entry, self._look):
                    yield f"{fault.text}; {self._command} copies it anew"
            elif entry is not self.entries[-1]:
                uri = self._registry.serving.uri(name)
                yield f"the version {entry.version} of {uri} is missing; {_RESTORE}, or delete the copy"

    def _check_run(self, record: RunRecord) -> Iterator[str]:
        runs = self._registry.runs
        for name in runs.names(record.run_id):
            try:
                if name.endswith(".json"):
                    uri = runs.uri(record.run_id, name)
                    decode_object(runs.document(record.run_id, name), uri, f"{_RESTORE}, or delete it")
            except NotFoundError:
                continue
            except UserError as error:
                yield str(error)
        entry = self._entry_of.get(str(record.sequence))
        if entry and entry.version != record.version:
            yield (
                f"{runs.uri(record.run_id, 'run.json')} has {record.version} as number {entry.sequence}, and "
                f"{self._registry.champion_log.uri(entry.sequence)} has {entry.version}; restore the wrong "
                "one from a backup"
            )


_RESTORE = "restore it from a backup"


def _collect(faults: Iterator[str]) -> list[str]:
    """Returns all faults; a document that is itself broken is the last one."""
    collected: list[str] = []
    try:
        for fault in faults:
            collected.append(fault)
    except UserError as error:
        collected.append(str(error))
    return collected

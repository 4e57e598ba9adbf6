"""Selects and deletes unreferenced versions, and verifies every file against its manifest."""

from collections.abc import Iterator
from dataclasses import dataclass

from components.errors import UserError
from components.progress import Progress
from components.registry.champion_log import ChampionEntry, ChampionLog
from components.registry.registry import Registry
from components.registry.versions import Look
from components.storage import StoredFile


@dataclass(frozen=True)
class Pruning:
    """Versions and copies to delete."""

    sequence: int  # the end of the champion log when they were selected
    versions: dict[str, int]  # id -> bytes, oldest first
    serving: list[int]  # the champions, by place in the log, whose copies for a server go
    kept: list[str]  # the versions that stay


def prunable(registry: Registry, keep: int) -> Pruning:
    """Selects all versions but the last `keep` champions.

    What `twotower rollback` goes back to is kept too, and a version less than a day old that was never
    champion: its publisher may be at work. A server's copies are kept of the versions that are kept, one
    each. The served champion is among the `keep`, at least 1. Raises `UserError` if the champion log is
    corrupt.
    """
    newest_place = {entry.version: entry.sequence for entry in registry.champion_log.entries()}
    newest_first = sorted(newest_place, key=newest_place.__getitem__, reverse=True)
    protected = {*newest_first[:keep], registry.champion_log.before_present()}
    present = registry.versions.ids()
    gone = [
        version
        for version in present
        if version not in protected
        and (version in newest_place or not registry.versions.may_be_under_way(version))
    ]
    places = {newest_place[version] for version in protected if version}
    return Pruning(
        sequence=max(newest_place.values(), default=0),
        versions={version: _size(registry, version) for version in gone},
        serving=[sequence for sequence in registry.serving.sequences() if sequence not in places],
        kept=[version for version in present if version not in gone],
    )


def prune(registry: Registry, pruning: Pruning) -> None:
    """Deletes what `prunable` has found, and what killed publishers left a day ago or earlier.

    May be killed at any time: what it has begun to delete no reader sees, and the next call goes on. Raises
    `UserError` if the champion has changed since.
    """
    # A server may hold on to the copy before, if the newest one was never completed.
    registry.complete_serving()
    for sequence in pruning.serving:
        _check_unchanged(registry, pruning)
        registry.serving.remove(sequence)
    for version in pruning.versions:
        _check_unchanged(registry, pruning)
        registry.versions.remove(version)
    registry.clean()


def _check_unchanged(registry: Registry, pruning: Pruning) -> None:
    """A version that is about to go may just have been made the champion again."""
    if registry.champion_log.end() != pruning.sequence:
        raise UserError(
            f"the champion of {registry.root} changed meanwhile; what is left to delete is still there, "
            "prune again"
        )


def _size(registry: Registry, version: str) -> int:
    try:
        return sum(file.size for file in registry.versions.manifest(version).part("").values())
    except UserError:
        return 0  # a broken version may go like any other


@dataclass(frozen=True)
class Verification:
    """Result of the verification of a registry: how much was compared, and what is wrong."""

    versions: int
    served: int  # copies of champions for a server
    files: int
    bytes: int
    faults: list[str]  # one line for each file or entry that is missing or wrong


def verify(registry: Registry, download: bool = False) -> Verification:
    """Compares all versions, and all that a server can load, with the manifests; reads the champion log.

    The bytes of a local registry are read. Google Cloud Storage keeps the checksums of the bytes that it
    keeps, and these are compared. With `download` the bytes are read from Google Cloud Storage too.
    """
    sizes: list[int] = []

    def look(key: str) -> StoredFile:
        found = registry.storage.read_back(key) if download else registry.storage.stat(key)
        sizes.append(found.size)
        return found

    versions = registry.versions.ids()
    faults, entries = _read_champion_log(registry.champion_log)
    served = [entry for entry in entries if registry.serving.is_complete(entry)]
    faults += _champion_faults(registry, entries, versions)
    with Progress("verify", total=len(versions) + len(served), unit="directories") as progress:
        for version in versions:
            faults += _collect(_version_faults(registry, version, look))
            progress.advance()
        for entry in served:
            if entry.version in versions:
                faults += _collect(registry.serving.faults(entry, look))
            progress.advance()
    return Verification(len(versions), len(served), len(sizes), sum(sizes), faults)


def _read_champion_log(log: ChampionLog) -> tuple[list[str], list[ChampionEntry]]:
    """Returns the faults of the log, and the entries that can be read."""
    faults, entries = [], []
    for sequence in range(1, log.end() + 1):
        try:
            entry = log.entry(sequence)
        except UserError as error:
            faults.append(str(error))
            continue
        if entry.sequence != sequence:
            faults.append(f"entry {sequence} of the champion log says that it is {entry.sequence}")
        entries.append(entry)
    return faults, entries


def _champion_faults(registry: Registry, entries: list[ChampionEntry], versions: list[str]) -> Iterator[str]:
    """Yields the faults that keep the champion from being served."""
    if not entries:
        return
    champion = entries[-1]
    if champion.version not in versions:
        yield (
            f"the champion {champion.version} is missing; serve another version by "
            f"`twotower rollback VERSION --registry {registry.root}`"
        )
    elif not registry.serving.is_complete(champion):
        yield (
            f"a server cannot load the champion: serving/{champion.sequence} is not complete; "
            f"`twotower rollback {champion.version} --registry {registry.root}` completes it"
        )


def _version_faults(registry: Registry, version: str, look: Look) -> Iterator[str]:
    yield from registry.versions.faults(version, "", look)
    for key in registry.versions.unknown_files(version):
        yield f"{registry.storage.uri(key)} is not in the manifest of its version"


def _collect(faults: Iterator[str]) -> list[str]:
    """Returns all faults; a document that is itself broken is the last one."""
    collected: list[str] = []
    try:
        for fault in faults:
            collected.append(fault)
    except UserError as error:
        collected.append(str(error))
    return collected

"""Selects and deletes versions that nothing needs any more."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from components.errors import UserError
from components.registry.registry import Registry


@dataclass(frozen=True)
class Pruning:
    """Versions and copies to delete."""

    sequence: int  # the end of the champion log when they were selected
    versions: dict[str, int]  # id -> bytes, oldest first
    serving: Sequence[str]  # the directories of `serving/` that go
    kept: list[str]  # the versions that stay


def prunable(registry: Registry, keep: int) -> Pruning:
    """Selects all versions but the last `keep` champions.

    What `twotower rollback` goes back to is kept too, and a version less than a day old that was never
    champion: its publisher may be at work. A server's copies are kept of the versions that are kept, one
    each. The served champion is among the `keep`, at least 1. Raises `UserError` if the champion log is
    corrupt, or has lost its end.
    """
    registry.check_log(read_records=True)
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
    places = {str(newest_place[version]) for version in protected if version}
    return Pruning(
        sequence=max(newest_place.values(), default=0),
        versions={version: _size(registry, version) for version in gone},
        # Without an entry in the log, the copies may be all that is left.
        serving=[name for name in registry.serving.names() if name not in places] if places else [],
        kept=[version for version in present if version not in gone],
    )


def chosen(registry: Registry, versions: Collection[str]) -> Pruning:
    """Selects `versions`, which may be any but the champion's, and their copies.

    Raises `UserError` if one of them is the champion or is not there, or the champion log is corrupt or has
    lost its end.
    """
    registry.check_log(read_records=True)
    entries, present = registry.champion_log.entries(), registry.versions.ids()
    for version in versions:
        if entries and version == entries[-1].version:
            raise UserError(
                f"{version} is the champion; publish another or `twotower rollback` first, then delete it"
            )
        if version not in present:
            raise UserError(
                f"{registry.root} has no version {version}; `twotower versions --registry {registry.root}` "
                "lists those it has"
            )
    places = {str(entry.sequence) for entry in entries if entry.version in versions}
    return Pruning(
        sequence=entries[-1].sequence if entries else 0,
        versions={version: _size(registry, version) for version in versions},
        serving=[name for name in registry.serving.names() if name in places],
        kept=[version for version in present if version not in versions],
    )


def prune(registry: Registry, pruning: Pruning) -> None:
    """Deletes what `prunable` has found, and what killed publishers left a day ago or earlier.

    May be killed at any time: what it has begun to delete no reader sees, and the next call goes on. Raises
    `UserError` if the champion has changed since.
    """
    # A server may hold on to the copy before, if the newest one was never completed.
    registry.complete_serving()
    for name in pruning.serving:
        _check_unchanged(registry, pruning)
        registry.serving.remove(name)
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

"""Which versions may go, and their end."""

from dataclasses import dataclass

from components.errors import UserError
from components.registry.registry import Registry


@dataclass(frozen=True)
class Pruning:
    """What is to be deleted.

    Attributes:
      sequence: the end of the champion log when this was found.
      versions: id -> bytes, oldest first.
      serving: the champions, by place in the log, whose copies for a server go.
      kept: the versions that stay.
    """

    sequence: int
    versions: dict[str, int]
    serving: list[int]
    kept: list[str]


def prunable(registry: Registry, keep: int) -> Pruning:
    """All but the last `keep` champions.

    What `twotower rollback` goes back to is kept too, and a version less than a day old that was never
    champion: its publisher may be at work. A server's copies are kept of the versions that are kept, one
    each.

    Args:
      keep: how many champions, the served one among them; at least 1.

    Raises:
      UserError: if the champion log is corrupt.
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

    May be killed at any time: what it has begun to delete no reader sees, and the next call goes on.

    Raises:
      UserError: if the champion has changed since.
    """
    champion = registry.champion_log.latest()
    if champion is not None:
        # A server may hold on to the copy before, if the newest one was never completed.
        registry.serving.complete(champion)
    for sequence in pruning.serving:
        _check_unchanged(registry, pruning)
        registry.serving.remove(sequence)
    for version in pruning.versions:
        _check_unchanged(registry, pruning)
        registry.versions.remove(version)
    registry.clean()


def _check_unchanged(registry: Registry, pruning: Pruning) -> None:
    """A version that is about to go may just have been made the champion again."""
    if max(registry.champion_log.sequences(), default=0) != pruning.sequence:
        raise UserError(
            f"the champion of {registry.root} changed meanwhile; what is left to delete is still there, "
            "prune again"
        )


def _size(registry: Registry, version: str) -> int:
    try:
        return sum(file.size for file in registry.versions.manifest(version).part("").values())
    except UserError:
        return 0  # a broken version may go like any other

"""Old versions go; what may still be needed stays."""

from datetime import UTC, datetime, timedelta

import pytest

from components.errors import UserError
from components.registry import versions as versions_module
from components.registry.maintenance import prunable, prune
from components.registry.registry import Registry


@pytest.fixture
def _tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets all versions be more than a day old from now on."""
    later = datetime.now(UTC) + timedelta(days=1, seconds=1)
    monkeypatch.setattr(versions_module, "now", lambda: later)


def graphs(registry: Registry) -> list[int]:
    keys = registry.storage.list("serving/")
    return sorted(int(key.split("/")[1]) for key in keys if key.endswith("/saved_model.pb"))


def test_the_last_champions_and_their_copies_stay(place: str, promote) -> None:
    registry = Registry(place)
    versions = [promote(registry, f"run-{number}").version for number in range(5)]
    pruning = prunable(registry, keep=2)
    assert sorted(pruning.versions) == sorted(versions[:3])
    assert set(pruning.versions.values()) == {
        sum(file.size for file in registry.versions.manifest(versions[0]).part("").values())
    }
    assert list(pruning.serving) == ["1", "2", "3"]
    assert sorted(registry.versions.ids()) == sorted(versions), "nothing is deleted yet"

    prune(registry, pruning)
    assert sorted(registry.versions.ids()) == sorted(versions[3:])
    assert {key.split("/")[1] for key in registry.storage.list("versions/")} == set(versions[3:])
    assert {key.split("/")[1] for key in registry.storage.list("serving/")} == {"4", "5"}
    assert len(registry.champion_log.entries()) == 5, "the log is never cut"
    assert registry.rollback().version == versions[3]


def test_the_served_version_and_the_one_to_go_back_to_always_stay(place: str, promote) -> None:
    registry = Registry(place)
    first, second, third = (promote(registry, f"run-{number}").version for number in range(3))
    registry.rollback()
    assert list(prunable(registry, keep=2).versions) == []
    pruning = prunable(registry, keep=1)
    assert list(pruning.versions) == [third]
    prune(registry, pruning)
    assert sorted(registry.versions.ids()) == sorted([first, second])
    assert graphs(registry) == [1, 4], "one copy of each, the newest"
    assert registry.rollback().version == first


def test_a_version_that_was_never_champion_goes_after_a_day(
    place: str, promote, add_version, request: pytest.FixtureRequest
) -> None:
    registry = Registry(place)
    served = promote(registry, "run-1").version
    superseded = add_version(registry, "run-2").version
    assert superseded in prunable(registry, keep=5).kept, "its publisher may be at work"
    request.getfixturevalue("_tomorrow")
    prune(registry, prunable(registry, keep=5))
    assert registry.versions.ids() == [served]


def test_the_champion_is_completed_before_the_copy_of_before_goes(place: str, promote) -> None:
    registry = Registry(place)
    for number in range(3):
        promote(registry, f"run-{number}")
    registry.storage.delete("serving/3/saved_model.pb")
    prune(registry, prunable(registry, keep=1))
    assert graphs(registry) == [2, 3]


def test_a_champion_that_changes_meanwhile_stops_it(place: str, promote) -> None:
    registry = Registry(place)
    versions = [promote(registry, f"run-{number}").version for number in range(4)]
    pruning = prunable(registry, keep=1)
    registry.rollback(versions[0])
    with pytest.raises(UserError, match=r"changed meanwhile; .* prune again"):
        prune(registry, pruning)
    registry.versions.check(versions[0])


def test_what_a_killed_prune_left_is_invisible_and_goes_with_the_next(
    place: str, promote, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    registry = Registry(place)
    versions = [promote(registry, f"run-{number}").version for number in range(3)]
    killed = type(registry.storage).delete_prefix
    monkeypatch.setattr(type(registry.storage), "delete_prefix", lambda *_: None)
    prune(registry, prunable(registry, keep=1))
    assert registry.versions.ids() == sorted(versions[1:])
    assert graphs(registry) == [2, 3]
    assert registry.storage.list(f"versions/{versions[0]}/")

    monkeypatch.setattr(type(registry.storage), "delete_prefix", killed)
    request.getfixturevalue("_tomorrow")
    prune(registry, prunable(registry, keep=1))
    assert registry.storage.list(f"versions/{versions[0]}/") == []
    assert registry.storage.list("serving/1/") == []


def test_a_broken_version_can_be_deleted(place: str, promote) -> None:
    registry = Registry(place)
    versions = [promote(registry, f"run-{number}").version for number in range(3)]
    registry.storage.write_bytes(f"versions/{versions[0]}/manifest.json", b"")
    pruning = prunable(registry, keep=1)
    assert pruning.versions == {versions[0]: 0}
    prune(registry, pruning)
    assert registry.versions.ids() == sorted(versions[1:])


def test_an_empty_registry_has_nothing_to_delete(place: str) -> None:
    pruning = prunable(Registry(place), keep=1)
    assert (pruning.versions, list(pruning.serving), pruning.kept) == ({}, [], [])
    prune(Registry(place), pruning)

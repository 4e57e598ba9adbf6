"""Rollback and what a server loads."""

import threading

import pytest

from components.errors import UserError
from components.registry.champion_log import SupersededError
from components.registry.registry import Registry


def served(registry: Registry) -> dict[int, bytes]:
    """The graphs that a server finds, by version number."""
    keys = [key for key in registry.storage.list("serving/") if key.endswith("/saved_model.pb")]
    return {int(key.split("/")[1]): registry.storage.read_bytes(key) for key in keys}


def test_the_content_of_before_is_served_under_a_higher_number(place: str, promote) -> None:
    registry = Registry(place)
    versions = [promote(registry, f"run-{number}").version for number in (1, 2)]
    entry = registry.rollback()
    assert (entry.sequence, entry.version, entry.previous, entry.why) == (3, *versions, "rollback")
    assert registry.champion_log.latest() == entry
    assert served(registry) == {1: b"the index of run-1", 2: b"the index of run-2", 3: b"the index of run-1"}
    assert registry.storage.list("serving/3/") == [
        "serving/3/manifest.json",
        "serving/3/saved_model.pb",
        "serving/3/variables/variables.index",
    ]


def test_a_named_version_is_served(place: str, promote, add_version) -> None:
    registry = Registry(place)
    promote(registry, "run-1")
    never_served = add_version(registry, "run-2").version
    assert registry.rollback(never_served).version == never_served
    assert served(registry)[2] == b"the index of run-2"


def test_the_present_champion_is_only_completed(place: str, promote) -> None:
    registry = Registry(place)
    version = promote(registry, "run-1").version
    registry.storage.delete("serving/1/saved_model.pb")
    assert registry.rollback(version).sequence == 1
    assert served(registry) == {1: b"the index of run-1"}


def test_without_a_version_to_go_back_to_it_says_so(place: str, promote) -> None:
    registry = Registry(place)
    with pytest.raises(UserError, match="has no champion to roll back from"):
        registry.rollback()
    version = promote(registry, "run-1").version
    with pytest.raises(UserError, match=f"no champion came before {version}; name the version"):
        registry.rollback()


def test_a_broken_version_is_never_made_champion(place: str, promote) -> None:
    registry = Registry(place)
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    registry.storage.write_bytes(f"versions/{first}/model/saved_model/saved_model.pb", b"flipped")
    with pytest.raises(UserError, match=f"{first}/model/saved_model/saved_model.pb is corrupt"):
        registry.rollback()
    latest = registry.champion_log.latest()
    assert latest is not None
    assert latest.version == second


def test_a_broken_champion_can_be_rolled_back_from(place: str, promote) -> None:
    registry = Registry(place)
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    registry.storage.delete(f"versions/{second}/manifest.json")
    assert registry.rollback().version == first


def test_a_champion_that_changes_meanwhile_stops_the_rollback(
    place: str, promote, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(place)
    for number in (1, 2):
        promote(registry, f"run-{number}")

    def lose(*_: object, **__: object) -> None:
        raise SupersededError

    monkeypatch.setattr(registry.champion_log, "append", lose)
    with pytest.raises(UserError, match="changed meanwhile; look at `twotower versions"):
        registry.rollback()
    assert sorted(served(registry)) == [1, 2]


def test_of_eight_rollbacks_at_once_one_wins_each_time(place: str, promote) -> None:
    registry = Registry(place)
    for number in (1, 2):
        promote(registry, f"run-{number}")
    outcomes: list[str] = []
    start = threading.Barrier(8)

    def go() -> None:
        own = Registry(place)
        start.wait()
        try:
            outcomes.append(own.rollback().version)
        except UserError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = registry.champion_log.entries()
    assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
    won = [outcome for outcome in outcomes if outcome in registry.versions.ids()]
    assert len(entries) == 2 + len(won)
    assert len(won) >= 1

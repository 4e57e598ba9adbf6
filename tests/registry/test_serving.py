"""Copies for a server: as published, by their checksums; others go."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from components.errors import UserError
from components.registry import verification
from components.registry.maintenance import prunable
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.verification import repair, verify
from components.serve.answerer import Answerer
from components.serve.live import Live
from components.serve.messages import Source
from components.storage import NotFoundError


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_PAUSE_SECONDS", 0.0)


@pytest.fixture
def registry(place: str, promote) -> Registry:
    """A registry with two champions."""
    store = Registry(place)
    for number in (1, 2):
        promote(store, f"run-{number}")
    return store


def graph(registry: Registry, number: int) -> bytes:
    return registry.storage.read_bytes(f"serving/{number}/saved_model.pb")


def test_a_number_that_comes_up_again_serves_the_new_index(registry: Registry, promote) -> None:
    """The log, not `serving/`, was restored from a backup; the version was never kept."""
    lost = registry.champion_log.entry(2).version
    registry.storage.delete("champion/000002.json")
    registry.versions.remove(lost)
    promote(registry, "run-3")
    assert graph(registry, 2) == b"the index of run-3"
    assert verify(registry).faults == []


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index", "manifest.json"])
def test_a_copy_that_differs_is_made_anew_by_naming_its_champion(registry: Registry, name: str) -> None:
    registry.storage.write_bytes(f"serving/2/{name}", b"another")
    champion = registry.champion_log.entry(2)
    assert not registry.serving.is_complete(champion)
    registry.rollback(champion.version)
    assert registry.serving.is_complete(champion)


def test_no_server_finds_a_mixture_of_two_indexes(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.storage.write_bytes("serving/2/variables/variables.index", b"another")

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(registry.storage), "copy_file", die)
    with pytest.raises(KeyboardInterrupt):
        registry.complete_serving()
    with pytest.raises(NotFoundError):
        graph(registry, 2)


def test_a_publisher_completes_a_copy_of_the_right_size_and_the_wrong_content(registry: Registry) -> None:
    registry.storage.write_bytes("serving/2/saved_model.pb", b"the index of run-9")
    registry.finish_serving()
    assert graph(registry, 2) == b"the index of run-2"


FOREIGN = ["99999999999999999999", "3", "02", "0", "tmp", "-1", "1e3", "12 (copy)", "٣"]


@pytest.mark.parametrize("name", FOREIGN)
def test_a_directory_that_does_not_belong_is_named_and_goes(registry: Registry, name: str) -> None:
    registry.storage.write_bytes(f"serving/{name}/saved_model.pb", b"another")
    [fault] = verify(registry).faults
    command = f"`twotower verify --repair --registry {registry.root}`"
    assert fault == f"{registry.root}/serving/{name} is no copy of a champion; {command} deletes it"
    assert list(repair(registry)) == [f"deleted {registry.root}/serving/{name}"]
    assert verify(registry).faults == []
    assert registry.serving.names() == ["1", "2"]
    assert registry.champion("").sequence == 2


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_an_empty_directory_is_one_too(registry: Registry, tmp_path) -> None:
    (tmp_path / "place" / "serving" / "999").mkdir()
    [fault] = verify(registry).faults
    assert "serving/999 is no copy of a champion" in fault
    list(repair(registry))
    assert verify(registry).faults == []


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.index"])
def test_a_copy_that_differs_is_named_and_made_anew(registry: Registry, number: int, name: str) -> None:
    registry.storage.write_bytes(f"serving/{number}/{name}", b"another")
    [fault] = verify(registry).faults
    assert f"serving/{number}/{name} is corrupt" in fault
    assert f"`twotower verify --repair --registry {registry.root}` copies it anew" in fault
    list(repair(registry))
    assert verify(registry).faults == []


def test_a_champion_without_its_graph_is_named_and_completed(registry: Registry) -> None:
    registry.storage.delete("serving/2/saved_model.pb")
    [fault] = verify(registry).faults
    assert "serving/2 is not complete" in fault
    list(repair(registry))
    assert verify(registry).faults == []


def test_a_file_of_a_version_comes_back_from_the_copy_that_is_whole(registry: Registry) -> None:
    version = registry.champion_log.entry(1).version
    registry.storage.write_bytes(f"versions/{version}/index/saved_model.pb", b"another")
    [fault] = verify(registry).faults
    assert f"versions/{version}/index/saved_model.pb is corrupt" in fault
    assert "serving/1/saved_model.pb is whole, and `twotower verify --repair" in fault
    list(repair(registry))
    assert verify(registry).faults == []
    registry.versions.check(version)


def test_the_last_copy_of_a_version_that_is_gone_stays(registry: Registry) -> None:
    version = registry.champion_log.entry(1).version
    registry.versions.remove(version)
    [fault] = verify(registry).faults
    uri = registry.serving.uri(1)
    assert fault == f"the version {version} of {uri} is missing; restore it from a backup, or delete the copy"
    assert list(repair(registry)) == []
    assert graph(registry, 1) == b"the index of run-1"


def test_copies_stay_where_the_log_and_the_versions_are_gone(registry: Registry) -> None:
    registry.storage.delete_prefix("champion")
    registry.storage.delete_prefix("versions")
    [fault] = verify(registry).faults
    root = registry.root
    assert fault == (
        f"{root}/champion has no entry, and {root}/serving has copies of champions; restore it from a backup"
    )
    assert list(repair(registry)) == []
    assert prunable(registry, keep=1).serving == []
    assert registry.serving.names() == ["1", "2"]


def test_a_whole_registry_needs_no_repair(registry: Registry) -> None:
    before = registry.storage.list()
    assert list(repair(registry)) == []
    assert registry.storage.list() == before


LOST = r"000002\.json is lost: .* has .* as number 2; restore it from a backup, or write it again by"


def test_a_lost_end_of_the_log_is_found_by_the_copy_and_written_again(registry: Registry) -> None:
    version = registry.champion_log.entry(2).version
    registry.storage.delete("champion/000002.json")
    for action in (
        registry.latest,
        lambda: registry.champion(""),
        registry.rollback,
        lambda: registry.rollback(registry.versions.ids()[0]),
    ):
        with pytest.raises(UserError, match=LOST):
            action()
    [fault] = verify(registry).faults
    assert f"`twotower rollback {version} --registry {registry.root}`" in fault
    assert list(repair(registry)) == [], "it is the witness"
    assert registry.rollback(version).sequence == 2
    assert verify(registry).faults == []
    assert registry.champion("").version == version


def test_a_whole_lost_log_is_written_again(registry: Registry, promote) -> None:
    version = promote(registry, "run-3").version
    registry.storage.delete_prefix("champion")
    with pytest.raises(UserError, match=r"000003\.json is lost"):
        registry.latest()
    assert registry.rollback(version).sequence == 3
    assert registry.serving.is_complete(registry.champion(""))


def test_a_lost_end_of_the_log_is_found_by_a_run_record(registry: Registry) -> None:
    """A log of which nothing but the record is left of the last champion's place."""
    version = registry.champion_log.entry(2).version
    record = RunRecord(run_id="run-2", outcome="published", reason="good", version=version, sequence=2)
    registry.runs.write(record, {})
    assert verify(registry).faults == []
    registry.storage.delete("champion/000002.json")
    registry.serving.remove(2)
    with pytest.raises(UserError, match=LOST):
        registry.check_log(read_records=True)
    with pytest.raises(UserError, match=LOST):
        prunable(registry, keep=1)
    [fault] = verify(registry).faults
    assert f"the record of the run run-2 has {version} as number 2" in fault
    assert registry.rollback(version).sequence == 2
    assert verify(registry).faults == []


def test_a_number_far_beyond_the_log_is_no_lost_champion(registry: Registry) -> None:
    for name in ("saved_model.pb", "manifest.json", "variables/variables.index"):
        registry.storage.copy_file(f"serving/2/{name}", f"serving/20000/{name}")
    assert registry.lost_champion() is None
    list(repair(registry))
    assert registry.serving.sequences() == [1, 2]


def test_a_record_that_contradicts_the_log_is_a_fault(registry: Registry) -> None:
    first = registry.champion_log.entry(1).version
    record = RunRecord(run_id="run-1", outcome="published", reason="good", version=first, sequence=2)
    registry.runs.write(record, {})
    [fault] = verify(registry).faults
    assert (
        f"runs/run-1/run.json has {first} as number 2, and {registry.root}/champion/000002.json has" in fault
    )


def test_a_fault_that_a_moment_later_is_none_is_not_reported(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publisher completes what it is at, and a pruning goes on."""
    registry.storage.delete("serving/2/saved_model.pb")
    first = registry.champion_log.entry(1).version
    registry.storage.delete(f"versions/{first}/report.html")
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        registry.complete_serving()
        registry.serving.remove(1)
        registry.versions.remove(first)

    monkeypatch.setattr(verification, "_PAUSE_SECONDS", 1.0)
    monkeypatch.setattr(time, "sleep", pause)
    assert verify(registry).faults == []
    assert verify(registry).faults == []
    assert pauses == [1.0], "a whole registry is read once"


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_server_says_that_another_one_would_load_something_else(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    """By checksums when it starts, by sizes when it polls, and there only what two polls see."""
    served = SimpleNamespace(source=Source("m", 2, registry.root, registry.champion("").version), alive=True)
    live = Live(served, registry, 1.0)  # type: ignore[arg-type]

    async def watch(seconds: float) -> str:
        watching = asyncio.create_task(live.watch(0.01))
        await asyncio.sleep(seconds)
        watching.cancel()
        return capsys.readouterr().err

    assert asyncio.run(watch(0.2)) == ""
    registry.storage.write_bytes("serving/2/saved_model.pb", b"the index of run-9")
    assert asyncio.run(watch(0.2)).count("serving/2/saved_model.pb is corrupt") == 1
    registry.storage.write_bytes("serving/2/saved_model.pb", b"the index")
    said = asyncio.run(watch(0.3))
    assert said.count("serving/2/saved_model.pb is missing or not of 18 bytes; `twotower verify --rep") == 1
    registry.serving.complete(registry.champion(""))
    registry.storage.delete("champion/000002.json")
    said = asyncio.run(watch(0.2))
    assert said.count("stays: the champion log ends at 1, and 2 is served; restore its end") == 1


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_server_does_not_load_an_entry_under_another_number_for_ever(
    registry: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[object] = []
    monkeypatch.setattr(Answerer, "start", started.append)
    registry.storage.copy_file("champion/000001.json", "champion/000002.json")
    served = SimpleNamespace(source=Source("m", 1, registry.root, registry.versions.ids()[0]), alive=True)
    live = Live(served, registry, 1.0)  # type: ignore[arg-type]

    async def watch() -> None:
        watching = asyncio.create_task(live.watch(0.01))
        await asyncio.sleep(0.2)
        watching.cancel()

    asyncio.run(watch())
    assert started == []
    assert capsys.readouterr().err.count("champion/000002.json says that it is number 1; delete it, or") == 1

"""A publisher that is killed: a whole champion is served before and after, and the next one mends."""

import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from whole_registry import check_all_versions, whole_champion

from components.publish.step import publish
from components.registry.champion_log import ChampionEntry
from components.registry.maintenance import prunable
from components.registry.registry import Registry
from components.registry.verification import repair, verify

# Writes of one publication: eight files of the version and its manifest, the entry in the champion log,
# four files to serve, two documents and the run record.
MANIFEST, ENTRY, LAST_SERVED, LAST = 9, 10, 14, 17

KILLS = int(os.environ.get("TWOTOWER_KILLS", "500"))


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("place", "writes"),
    [
        *(("local", writes) for writes in range(1, LAST + 1)),
        *(
            (bucket, writes)
            for bucket in ("gcs", "s3")
            for writes in (1, MANIFEST - 1, MANIFEST, ENTRY, LAST_SERVED, LAST)
        ),
    ],
    indirect=["place"],
)
def test_killed_after_any_write(place: str, artifacts, publishers, writes: int) -> None:
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    registry = Registry(place)
    run = artifacts("run-2", after=1) | {"registry": place}
    assert publishers([run], die_after=writes) == [None]
    assert not Path(run["output"]).exists()

    assert whole_champion(registry).sequence == (1 if writes < ENTRY else 2)
    assert len(registry.versions.ids()) == (1 if writes < MANIFEST else 2)
    # The step is retried, and finds its own traces.
    assert publish(**run).outcome == "published"
    assert whole_champion(registry).sequence == 2
    check_all_versions(registry)
    assert [entry.run_id for entry in registry.champion_log.entries()] == ["run-1", "run-2"]
    assert len(registry.versions.ids()) == 2
    record = registry.runs.read("run-2")
    assert record is not None
    assert record.outcome == "published"


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_killed_at_any_moment(place: str, artifacts, publishers) -> None:
    killed_at_random(place, artifacts, publishers, kills=10)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_killed_at_very_many_moments_in_a_directory(place: str, artifacts, publishers) -> None:
    reached = killed_at_random(place, artifacts, publishers, KILLS)
    if KILLS >= 300:
        assert all(reached[stage] for stage in ("nothing", "version", "entry", "served", "record")), reached


@pytest.mark.slow
@pytest.mark.parametrize("place", ["gcs", "s3"], indirect=True)
def test_killed_at_many_moments_in_a_bucket(place: str, artifacts, publishers) -> None:
    killed_at_random(place, artifacts, publishers, KILLS // 5)


def killed_at_random(place: str, artifacts, publishers, kills: int) -> Counter[str]:  # type: ignore[no-untyped-def]
    """Kills publishers at random within the time that one takes; now and then, one is let alone.

    Returns: how often a publisher had come how far.
    """
    registry, moments, reached = Registry(place), random.Random(7), Counter[str]()
    publishers([artifacts("run-0") | {"registry": place}])
    seconds = 0.0
    for number in range(1, kills + 1):
        before = whole_champion(registry).sequence
        run = artifacts(f"run-{number}", after=before) | {"registry": place}
        if number % 10 == 1:
            started = time.monotonic()
            [summary] = publishers([run])
            seconds = time.monotonic() - started
            assert summary.outcome == "published"
            continue
        publishers([run], kill_after=moments.uniform(0, seconds))
        champion = whole_champion(registry)
        assert champion.sequence - before in (0, 1)
        reached[stage(registry, champion, f"run-{number}")] += 1
        if moments.random() < 0.5:
            assert publish(**run).outcome == "published", "the step is retried"
            assert whole_champion(registry).run_id == f"run-{number}"
    check_all_versions(registry)
    run_ids = [entry.run_id for entry in registry.champion_log.entries()]
    assert len(run_ids) == len(set(run_ids)), "a run was published twice"
    return reached


def stage(registry: Registry, champion: ChampionEntry, run_id: str) -> str:
    """What the last write was that the run came to."""
    if run_id in registry.runs.ids():
        return "record"
    if champion.run_id == run_id:
        return "served" if registry.serving.is_complete(champion) else "entry"
    made = {registry.versions.manifest(version).run_id for version in registry.versions.ids()[-3:]}
    return "version" if run_id in made else "nothing"


@pytest.mark.parametrize(
    ("place", "writes"),
    [*(("local", writes) for writes in range(1, 6)), ("gcs", 1), ("gcs", 4), ("s3", 1), ("s3", 4)],
    indirect=["place"],
)
def test_a_rollback_killed_after_any_write(place: str, artifacts, publishers, writes: int) -> None:
    """It writes the entry of the log and four files to serve."""
    for number in (1, 2):
        publish(**artifacts(f"run-{number}", after=number - 1), registry=place)
    registry = Registry(place)
    assert publishers([{"command": "rollback", "registry": place}], die_after=writes) == [None]
    champion = whole_champion(registry)
    assert champion.sequence == 3
    assert registry.serving.is_complete(champion) == (writes == 5)
    registry.rollback(champion.version)
    assert registry.serving.is_complete(champion)
    assert whole_champion(registry) == champion
    assert verify(registry).faults == []


@pytest.mark.parametrize(
    ("place", "writes"),
    [*(("local", writes) for writes in range(1, 9)), ("gcs", 1), ("gcs", 5), ("s3", 1), ("s3", 5)],
    indirect=["place"],
)
def test_a_pruning_killed_after_any_write(place: str, artifacts, publishers, writes: int) -> None:
    """It deletes two copies and two versions, each in two steps."""
    for number in range(1, 5):
        publish(**artifacts(f"run-{number}", after=number - 1), registry=place)
    registry = Registry(place)
    kept = prunable(registry, keep=2).kept
    assert publishers([{"command": "prune", "registry": place}], die_after=writes) == [None]
    assert whole_champion(registry).sequence == 4
    check_all_versions(registry)
    assert set(kept) <= set(registry.versions.ids())
    [summary] = publishers([{"command": "prune", "registry": place}])
    assert summary.outcome == "pruned"
    assert registry.versions.ids() == kept
    assert verify(registry).faults == []


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_rollbacks_and_prunings_killed_at_any_moment(place: str, artifacts, publishers) -> None:
    others_killed_at_random(place, artifacts, publishers, kills=4)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_rollbacks_and_prunings_killed_at_very_many_moments(place: str, artifacts, publishers) -> None:
    others_killed_at_random(place, artifacts, publishers, KILLS)


def others_killed_at_random(place: str, artifacts, publishers, kills: int) -> None:  # type: ignore[no-untyped-def]
    """Kills rollbacks and prunings, in turn, at random within the time that one takes."""
    registry, moments, seconds = Registry(place), random.Random(7), {"rollback": 0.0, "prune": 0.0}
    for number in range(2 * kills + 4):
        end = registry.champion_log.end()
        publish(**artifacts(f"run-{number}", after=end), registry=place)
        if number < 4:
            continue
        command, before = ("rollback", "prune")[number % 2], whole_champion(registry)
        kept = registry.versions.ids() if command == "rollback" else prunable(registry, keep=2).kept
        started, alone = time.monotonic(), number % 10 < 2 or number < 6
        kill_after = None if alone else moments.uniform(0, seconds[command])
        [summary] = publishers([{"command": command, "registry": place}], kill_after=kill_after)
        if alone:
            seconds[command] = time.monotonic() - started
            assert summary is not None
        champion = whole_champion(registry)
        assert champion.sequence - before.sequence in ((0, 1) if command == "rollback" else (0,))
        check_all_versions(registry)
        assert set(kept) <= set(registry.versions.ids())
    list(repair(registry))
    assert verify(registry).faults == []

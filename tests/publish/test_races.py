"""Publishers at once: one wins, the others lose nothing but the race."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, Thread
from typing import Any

import pytest

from components.publish.step import PublishSummary, publish
from components.registry.registry import Registry
from components.registry.verification import verify

RACERS = 8


def in_threads(runs: list[dict[str, Any]]) -> list[PublishSummary]:
    """What becomes of publishers in threads that start at once."""
    start = Barrier(len(runs))

    def one(run: dict[str, Any]) -> PublishSummary:
        start.wait()
        return publish(**run)

    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(one, runs))


@pytest.mark.parametrize(
    ("place", "how", "turns"),
    [
        *((place, "processes", turns) for place, turns in (("local", 3), ("gcs", 2), ("s3", 2))),
        *((place, "threads", turns) for place, turns in (("local", 3), ("gcs", 2), ("s3", 2))),
    ],
    indirect=["place"],
)
def test_of_eight_publishers_at_once_one_wins_each_time(
    place: str, how: str, turns: int, artifacts, publishers
) -> None:
    race = publishers if how == "processes" else in_threads
    registry = Registry(place)
    for turn in range(turns):
        runs = [
            artifacts(f"run-{turn}-{number}", after=turn) | {"registry": place} for number in range(RACERS)
        ]
        outcomes = race(runs)
        winners = [outcome for outcome in outcomes if outcome.outcome == "published"]
        assert len(winners) == 1
        assert [outcome.outcome for outcome in outcomes].count("superseded") == RACERS - 1
        champion = registry.champion_log.latest()
        assert champion is not None
        assert (champion.sequence, champion.version) == (turn + 1, winners[0].version)
        served = registry.storage.read_bytes(f"serving/{turn + 1}/saved_model.pb").decode()
        assert served == f"the index of {champion.run_id}"
    assert len(registry.versions.ids()) == turns * RACERS
    for version in registry.versions.ids():
        registry.versions.check(version)
    records = [registry.runs.read(run_id) for run_id in registry.runs.ids()]
    outcomes_kept = sorted(record.outcome for record in records if record)
    assert outcomes_kept == ["published"] * turns + ["superseded"] * (turns * (RACERS - 1))


@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_verify_finds_no_fault_beside_publishers_rollbacks_and_prunings(
    place: str, artifacts, publishers
) -> None:
    """A fault is one that is still there a second later."""
    publishers([artifacts("run-0") | {"registry": place}])
    done = Event()

    def work() -> None:
        for number in range(1, 9):
            end = Registry(place).champion_log.end()
            publishers([artifacts(f"run-{number}", after=end) | {"registry": place}])
            publishers([{"command": ("rollback", "prune")[number % 2], "registry": place}])
        done.set()

    worker = Thread(target=work)
    worker.start()
    verified = 0
    while not done.is_set():
        assert verify(Registry(place)).faults == []
        verified += 1
    worker.join()
    assert verified > 1
    assert verify(Registry(place)).faults == []

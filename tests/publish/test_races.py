"""Publishers at once: one wins, the others lose nothing but the race."""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from components.publish.publish import PublishSummary, publish
from components.registry.registry import Registry

PUBLISHER = str(Path(__file__).with_name("publisher.py"))
RACERS = 8

Race = Callable[[list[dict[str, Any]], Path], list[PublishSummary]]


def in_processes(runs: list[dict[str, Any]], folder: Path) -> list[PublishSummary]:
    """What becomes of publishers in processes of their own that start at once."""
    folder.mkdir()
    racers = []
    for run in runs:
        arguments = folder / f"{run['run_id']}.json"
        arguments.write_text(json.dumps(run))
        command = [sys.executable, PUBLISHER, str(arguments), str(folder / "go")]
        racers.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    (folder / "go").touch()
    outcomes = []
    for racer in racers:
        out, err = racer.communicate(timeout=60)
        assert racer.returncode == 0, err
        outcomes.append(PublishSummary(**json.loads(out)))
    return outcomes


def in_threads(runs: list[dict[str, Any]], _: Path) -> list[PublishSummary]:
    """What becomes of publishers in threads that start at once."""
    start = Barrier(len(runs))

    def one(run: dict[str, Any]) -> PublishSummary:
        start.wait()
        return publish(**run)

    with ThreadPoolExecutor(len(runs)) as pool:
        return list(pool.map(one, runs))


@pytest.mark.parametrize(
    ("place", "race", "turns"),
    [("local", in_processes, 2), ("local", in_threads, 5), ("gcs", in_threads, 3)],
    indirect=["place"],
)
def test_of_eight_publishers_at_once_one_wins_each_time(
    place: str, race: Race, turns: int, artifacts, tmp_path: Path
) -> None:
    registry = Registry(place)
    for turn in range(turns):
        seen = {"registry": place, "champion_sequence": turn}
        runs = [artifacts(f"run-{turn}-{number}") | seen for number in range(RACERS)]
        outcomes = race(runs, tmp_path / f"turn-{turn}")
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

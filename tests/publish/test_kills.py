"""A publisher that is killed: a whole champion is served before and after, and the next one mends."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.publish.publish import publish
from components.registry.published import published_index
from components.registry.registry import Registry

PUBLISHER = str(Path(__file__).with_name("publisher.py"))

# Writes of one publication: seven files of the version and its manifest, the entry in the champion log,
# three files to serve, two documents and the run record.
MANIFEST, ENTRY, LAST_SERVED, LAST = 8, 9, 12, 15


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))


def start(run: dict[str, object], folder: Path, *arguments: str) -> subprocess.Popen[str]:
    (folder / "arguments.json").write_text(json.dumps(run))
    command = [sys.executable, PUBLISHER, str(folder / "arguments.json"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def assert_a_whole_champion_is_served(registry: Registry) -> int:
    """Checks that readers and servers find whole champions; returns the champion's number."""
    champion = registry.champion_log.latest()
    assert champion is not None
    registry.versions.check(champion.version)
    index = published_index(registry.root) / "saved_model.pb"
    assert index.read_text() == f"the index of {champion.run_id}"
    complete = [entry for entry in registry.champion_log.entries() if registry.serving.is_complete(entry)]
    assert complete, "a server finds nothing"
    for name, file in registry.versions.manifest(complete[-1].version).part("index").items():
        assert registry.storage.stat(f"serving/{complete[-1].sequence}/{name}") == file
    for version in registry.versions.ids():
        registry.versions.check(version)
    return champion.sequence


@pytest.mark.parametrize("place", ["local"], indirect=True)
@pytest.mark.parametrize("writes", range(1, LAST + 1))
def test_killed_after_any_write_in_a_directory(place: str, artifacts, tmp_path: Path, writes: int) -> None:
    killed_after(place, artifacts, tmp_path, writes)


@pytest.mark.parametrize("place", ["gcs"], indirect=True)
@pytest.mark.parametrize("writes", [1, MANIFEST - 1, MANIFEST, ENTRY, LAST_SERVED - 1, LAST_SERVED, LAST])
def test_killed_after_a_write_in_a_bucket(place: str, artifacts, tmp_path: Path, writes: int) -> None:
    killed_after(place, artifacts, tmp_path, writes)


def killed_after(place: str, artifacts, tmp_path: Path, writes: int) -> None:  # type: ignore[no-untyped-def]
    publish(**artifacts("run-1"), registry=place, champion_sequence=0)
    registry = Registry(place)
    run = artifacts("run-2") | {"registry": place, "champion_sequence": 1}
    process = start(run, tmp_path, "--die-after", str(writes))
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, err
    assert not Path(run["output"]).exists()

    assert assert_a_whole_champion_is_served(registry) == (1 if writes < ENTRY else 2)
    assert len(registry.versions.ids()) == (1 if writes < MANIFEST else 2)
    # The step is retried, and finds its own traces.
    assert publish(**run).outcome == "published"
    assert assert_a_whole_champion_is_served(registry) == 2
    assert [entry.run_id for entry in registry.champion_log.entries()] == ["run-1", "run-2"]
    assert len(registry.versions.ids()) == 2
    record = registry.runs.read("run-2")
    assert record is not None
    assert record.outcome == "published"


def test_killed_at_any_moment(tmp_path: Path, artifacts) -> None:
    """Twenty publishers, killed at random within the time that one takes; then one that is not."""
    registry = Registry(str(tmp_path / "registry"))
    publish(**artifacts("run-0"), registry=registry.root, champion_sequence=0)
    moments = random.Random(7)
    sequence = 1
    for number in range(1, 21):
        run = artifacts(f"run-{number}") | {"registry": registry.root, "champion_sequence": sequence}
        go = tmp_path / f"go-{number}"
        process = start(run, tmp_path, str(go))
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        go.touch()
        time.sleep(moments.uniform(0, 0.08))
        process.kill()
        process.communicate(timeout=60)
        sequence = assert_a_whole_champion_is_served(registry)
    last = publish(**artifacts("run-21"), registry=registry.root, champion_sequence=sequence)
    assert last.outcome == "published"
    assert assert_a_whole_champion_is_served(registry) == sequence + 1

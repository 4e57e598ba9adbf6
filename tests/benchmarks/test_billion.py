"""The measurement of a billion ratings: its commands, and what it sees of processes and disk."""

import sys
from pathlib import Path

import billion
import click
import pytest

from pipelines.cli import twotower

WRITER = """
import sys, tempfile, time
from pathlib import Path
held = bytearray(100_000_000)
Path(sys.argv[1], "named.bin").write_bytes(bytes(20_000_000))
with tempfile.TemporaryFile(dir=sys.argv[1]) as nameless:
    nameless.write(bytes(30_000_000))
    nameless.flush()
    Path(sys.argv[1], "named.bin").unlink()
    Path(sys.argv[1], "kept.bin").write_bytes(bytes(10_000_000))
    time.sleep(1)
"""


def test_every_step_is_a_command_that_exists(tmp_path: Path) -> None:
    steps = billion.steps(tmp_path, 0.02, 4.0, 3)
    assert list(steps) == [words[0] for words in steps.values()]
    for name, *words in steps.values():
        command = twotower.get_command(click.Context(twotower), name)
        assert command is not None
        command.make_context(name, [str(word) for word in words])
    words = [str(word) for word in steps["sample"]]
    assert words[words.index("--ratings") + 1] == "20000000"


@pytest.mark.process
def test_processes_are_watched_with_their_files_without_names(tmp_path: Path) -> None:
    cost = billion.watch("one", [sys.executable, "-c", WRITER, str(tmp_path)], tmp_path)
    assert 0.1 < cost.held <= cost.memory < 0.3
    assert 0.04 <= cost.disk < 0.05
    assert 0.01 <= cost.disk_after < 0.011


@pytest.mark.process
def test_a_step_that_fails_ends_the_measurement(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="one ended with status 3"):
        billion.watch("one", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path)


def test_what_has_run_does_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def watch(name: str, command: list[str], place: Path) -> billion.Cost:
        if name == "train" and "train" not in ran:
            ran.append(name)
            raise KeyboardInterrupt
        ran.append(name)
        return billion.Cost(name, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)

    monkeypatch.setattr(billion, "watch", watch)
    with pytest.raises(KeyboardInterrupt):
        billion.run(tmp_path / "b", 1.0, 4.0, 0)
    costs = billion.run(tmp_path / "b", 1.0, 4.0, 0)
    assert [cost.step for cost in costs] == [*billion.steps(tmp_path, 1.0, 4.0, 0)]
    assert ran.count("ingest") == 1
    assert ran.count("train") == 2

"""A run with nothing to do says so and leaves a record."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.publish.step import skip, skip_command
from components.registry.registry import Registry
from components.registry.run_records import SeenChampion


def test_the_reason_is_told_and_kept(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "skipped"
    skip(registry=place, run_id="run-3", version="v2", sequence=2, fingerprint="f", output=str(output))
    reason = json.loads((output / "skipped.json").read_text())["reason"]
    assert "v2 was trained on the same input" in reason
    assert f"skipped: {reason}" in capsys.readouterr().err
    record = Registry(place).runs.read("run-3")
    assert record is not None
    assert (record.outcome, record.reason, record.version) == ("skipped", reason, "")
    assert record.champion == SeenChampion(version="v2", sequence=2)
    assert record.fingerprint == "f"


def test_the_command_records_a_run_by_hand(tmp_path: Path) -> None:
    words = ["--registry", str(tmp_path / "registry"), "--version", "v2", "--sequence", "2"]
    words += ["--fingerprint", "f", "--output", str(tmp_path / "skipped")]
    CliRunner().invoke(skip_command, words, catch_exceptions=False)
    [record] = Registry(str(tmp_path / "registry")).runs.newest_first()
    assert (record.outcome, record.fingerprint) == ("skipped", "f")
    assert record.run_id.startswith("by-hand-")

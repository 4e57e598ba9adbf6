"""A run with nothing to do says so and leaves a record."""

import json
from pathlib import Path

import pytest

from components.publish.skip import skip
from components.registry.registry import Registry


def test_the_reason_is_told_and_kept(place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "skipped"
    skip(registry=place, run_id="run-3", version="v2", sequence=2, fingerprint="f", output=str(output))
    reason = json.loads((output / "skipped.json").read_text())["reason"]
    assert "v2 was trained on the same input" in reason
    assert f"skipped: {reason}" in capsys.readouterr().err
    record = Registry(place).runs.read("run-3")
    assert record is not None
    assert (record.outcome, record.reason, record.version) == ("skipped", reason, "")
    assert record.champion == {"version": "v2", "sequence": 2}
    assert record.fingerprint == "f"

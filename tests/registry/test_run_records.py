"""The record of every run."""

from pathlib import Path

import pytest

from components.errors import UserError
from components.registry.registry import Registry
from components.registry.run_records import RunRecord


def test_a_record_comes_back_with_its_files(place: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<p>good")
    runs = Registry(place).runs
    record = RunRecord(run_id="run-1", outcome="refused", reason="worse", metrics={"rmse": None})
    runs.write(record, {"report.html": tmp_path / "report.html"})
    assert Registry(place).runs.read("run-1") == record
    assert Registry(place).runs.document("run-1", "report.html") == b"<p>good"
    assert runs.read("run-2") is None


def test_runs_without_a_record_are_not_listed(place: str) -> None:
    registry = Registry(place)
    for run_id in ("run-2", "run-1"):
        registry.runs.write(RunRecord(run_id=run_id, outcome="failed", reason="died"), {})
    registry.storage.write_bytes("runs/run-3/report.html", b"")
    assert registry.runs.ids() == ["run-1", "run-2"]


@pytest.mark.parametrize("run_id", ["", "../champion", "a/b", ".hidden", "run 1", "x" * 300])
def test_what_is_no_run_id_touches_no_file(tmp_path: Path, run_id: str) -> None:
    registry = Registry(str(tmp_path / "registry"))
    with pytest.raises(UserError, match="is no run id"):
        registry.runs.write(RunRecord(run_id=run_id, outcome="failed", reason=""), {})
    assert list(tmp_path.iterdir()) == []


def test_a_broken_record_is_named(place: str) -> None:
    registry = Registry(place)
    registry.storage.write_bytes("runs/run-1/run.json", b"{}")
    with pytest.raises(UserError, match=r"runs/run-1/run\.json: field `format`: it is missing"):
        registry.runs.read("run-1")

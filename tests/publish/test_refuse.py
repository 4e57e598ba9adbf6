"""A refusal says why and leaves a record."""

import json
from pathlib import Path

import pytest

from components.errors import UserError
from components.publish.step import refuse
from components.registry.registry import Registry
from components.registry.run_records import RowCounts

REASON = "Refused (rmse_vs_bias): 0.95 stars is more than 0.91. 1 more rule fails."


def refused(artifacts, **verdict):  # type: ignore[no-untyped-def]
    run = artifacts("run-1", publish=False, blessed=False, reason=REASON, **verdict)
    del run["index"]
    return run


def test_the_reason_and_the_failing_rules_are_told_and_kept(
    place: str, artifacts, capsys: pytest.CaptureFixture[str]
) -> None:
    run = refused(artifacts)
    refuse(**run, registry=place)
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == [
        f"twotower: {REASON}",
        "twotower: rule rmse_vs_bias fails: 0.95 stars is more than 0.91.",
        "twotower: rule top_100_vs_popularity fails: 0.20 is less than 0.31.",
    ]
    record = Registry(place).runs.read("run-1")
    assert record is not None
    assert (record.outcome, record.reason, record.version, record.sequence) == ("refused", REASON, "", 0)
    assert record.blessed is False
    assert record.settings == {"preset": "default", "epochs": 3}
    assert [step.step for step in record.steps] == ["train", "evaluate", "refuse"]
    assert Registry(place).storage.read_bytes("runs/run-1/report.html") == b"<p>the report of run-1"
    written = json.loads(Path(run["output"], "refused.json").read_text())
    assert written["reason"] == REASON
    assert [rule["name"] for rule in written["rules"]] == ["rmse_vs_bias", "top_100_vs_popularity"]
    assert Registry(place).versions.ids() == []
    assert Registry(place).champion_log.latest() is None


def test_without_a_page_it_makes_one(
    place: str, tmp_path: Path, artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = refused(artifacts)
    del run["report"]
    made: list[str] = []

    def write(evaluation: str, model: str, dataset: str, output: str, model_card: str) -> None:
        made.extend((evaluation, model, dataset))
        Path(output).write_text("<p>made")
        Path(model_card).write_text("# made")

    monkeypatch.setattr("components.publish.step.write_report", write)
    page, card = tmp_path / "page.html", tmp_path / "card.md"
    refuse(**run, registry=place, report_output=str(page), model_card_output=str(card))
    assert made == [run["evaluation"], run["model"], run["dataset"]]
    assert Registry(place).storage.read_bytes("runs/run-1/report.html") == b"<p>made"
    assert (page.read_text(), card.read_text()) == ("<p>made", "# made")


@pytest.mark.parametrize("missing", ["model", "dataset"])
def test_a_page_needs_model_and_dataset(tmp_path: Path, artifacts, missing: str) -> None:
    run = refused(artifacts)
    del run["report"], run[missing]
    with pytest.raises(UserError, match=r"--report is missing: .*--model and --dataset"):
        refuse(**run, registry=str(tmp_path / "registry"))
    assert not (tmp_path / "registry").exists()


def test_it_fails_if_asked_once_all_is_written(tmp_path: Path, artifacts) -> None:
    run = refused(artifacts)
    with pytest.raises(UserError, match=r"Refused \(rmse_vs_bias\)"):
        refuse(**run, registry=str(tmp_path / "registry"), fail=True)
    record = Registry(str(tmp_path / "registry")).runs.read("run-1")
    assert record is not None
    assert record.outcome == "refused"
    assert Path(run["output"], "refused.json").is_file()


def test_a_metric_that_is_not_finite_is_none_in_the_record(tmp_path: Path, artifacts) -> None:
    run = refused(artifacts, metrics={"challenger": {"rmse": None}})
    del run["model"], run["dataset"]
    refuse(**run, registry=str(tmp_path / "registry"))
    record = Registry(str(tmp_path / "registry")).runs.read("run-1")
    assert record is not None
    assert record.metrics == {"rmse": None}
    assert record.settings == {}
    assert record.rows == RowCounts()

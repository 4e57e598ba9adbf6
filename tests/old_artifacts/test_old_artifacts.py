"""The steps read the artifacts of version 0.1.0, and a run replaces its champion."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from components.evaluate.step import evaluate
from components.export.step import export
from components.publish.step import publish
from components.registry.step import prepare
from components.report.step import report
from components.train.settings import OLD_NAMES
from components.vocabulary.step import vocabulary
from pipelines.cli import twotower

CHAMPION = "20261129-072209-8eea3a39"
# As the third run was given them, by their earlier names.
SETTINGS = {
    "steps": 60,
    "dimension": 8,
    "members": 2,
    "hidden": 16,
    "masked": 0.3,
    "rating_weights": 4,
}


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _metrics(evaluation: Path, model: str) -> dict[str, float]:
    return _json(evaluation / "verdict.json")["metrics"][model]


def test_an_old_dataset_is_encoded_as_it_was(old: Path, tmp_path: Path) -> None:
    output = tmp_path / "interactions"
    vocabulary(
        dataset=str(old / "dataset"), vocabulary_output=str(tmp_path / "vocabulary"), output=str(output)
    )
    for file in old.glob("interactions/*.npy"):
        np.testing.assert_array_equal(np.load(output / file.name), np.load(file))
    for table in ("users.parquet", "movies.parquet"):
        assert pq.read_table(tmp_path / "vocabulary" / table).equals(
            pq.read_table(old / "vocabulary" / table)
        )


@pytest.mark.tensorflow
def test_a_run_compares_with_an_old_champion_and_replaces_it(
    old: Path, registry: Path, tmp_path: Path, call_json: Callable[..., Any]
) -> None:
    outputs: dict[str, Any] = {
        name: str(tmp_path / name) for name in ("champion", "model", "evaluation", "index", "report.html")
    }
    artifacts: Any = {name: str(old / name) for name in ("interactions", "vocabulary")}
    prepare(
        ratings=str(old / "dataset" / "statistics.json"), registry=str(registry), output=outputs["champion"]
    )

    # The old checkpoints are of another model, and are left alone.
    checkpoints = shutil.copytree(old / "checkpoints", tmp_path / "checkpoints")
    log = CliRunner().invoke(
        twotower,
        ["train", "--train-settings", json.dumps(SETTINGS), "--checkpoint-root", str(checkpoints)]
        + [f"--{name}={value}" for name, value in artifacts.items()]
        + ["--output", outputs["model"]],
        catch_exceptions=False,
    )
    assert log.exit_code == 0
    assert "resuming from " not in log.output

    judged = {"champion": outputs["champion"], "output": outputs["evaluation"], **artifacts}
    evaluate(model=outputs["model"], **judged, gate="report")  # 92 users are too few to be blessed
    # The champion was the challenger then.
    as_it_was = _metrics(old / "evaluation", "challenger")
    now = _metrics(tmp_path / "evaluation", "champion")
    assert {name: now[name] for name in as_it_was} == pytest.approx(as_it_was, abs=1e-4)
    verdict = _json(tmp_path / "evaluation" / "verdict.json")
    assert verdict["champion"]["version"] == CHAMPION
    rules = {rule["name"]: rule["verdict"] for rule in verdict["rules"]}
    assert rules["champion_scorable"] == "pass"
    assert "skipped" not in (rules["top_100_vs_champion"], rules["rmse_vs_champion"])

    report(
        evaluation=outputs["evaluation"],
        model=outputs["model"],
        dataset=str(old / "dataset"),
        output=outputs["report.html"],
        model_card=str(tmp_path / "card.md"),
    )
    export(model=outputs["model"], **artifacts, output=outputs["index"])
    publish(
        index=outputs["index"],
        model=outputs["model"],
        evaluation=outputs["evaluation"],
        report=outputs["report.html"],
        dataset=str(old / "dataset"),
        registry=str(registry),
        run_id="new",
        output=str(tmp_path / "published"),
    )
    entry = _json(registry / "champion" / "000006.json")
    assert (entry["previous"], entry["run_id"]) == (CHAMPION, "new")
    compared = call_json("compare", CHAMPION, "champion")
    given = {"steps", "dimension", "ensemble_size", "hidden_units", "mask_rate", "rating_weights"}
    assert not compared["settings"].keys() & {*OLD_NAMES, *given}, "a renamed setting is equal by both names"


def test_a_page_is_made_of_an_old_evaluation(old: Path, tmp_path: Path) -> None:
    report(
        evaluation=str(old / "evaluation"),
        model=str(old / "model"),
        dataset=str(old / "dataset"),
        output=str(tmp_path / "report.html"),
        model_card=str(tmp_path / "card.md"),
    )
    assert "RMSE" in (tmp_path / "report.html").read_text("utf-8")

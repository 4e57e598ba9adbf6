"""The champions that are ahead of the present one, by what the verdicts say of each beside its own."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import UserError
from components.registry.past_champions import champions_ahead
from components.registry.registry import Registry
from components.registry.step import prepare

SPLIT = {"kind": "random", "seed": 42, "validation_fraction": 0.1, "test_fraction": 0.1}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(str(tmp_path / "registry"))


@pytest.fixture
def publish(registry: Registry, promote):
    """A function that publishes a version with a verdict: differences from the champion by metric."""

    def add(run_id: str, split: Any = SPLIT, verdict: bool = True, **differences: float | None) -> str:
        latest = registry.champion_log.latest()
        version: str = promote(registry, run_id).version
        rules = [
            {"name": f"{metric}_vs_champion", "difference": value, "verdict": "pass", "why": "So."}
            for metric, value in differences.items()
        ]
        champion = {"exists": latest is not None, "version": latest.version if latest else ""}
        if verdict:
            document = json.dumps({"rules": rules, "champion": champion, "split": split})
            registry.storage.write_bytes(f"runs/{run_id}/verdict.json", document.encode())
        return version

    return add


def _ahead(registry: Registry) -> list[str]:
    return [entry.run_id for entry in champions_ahead(registry)]


def test_an_empty_registry_and_a_first_champion_have_none(registry: Registry, publish) -> None:
    assert _ahead(registry) == []
    publish("run-1")
    assert _ahead(registry) == []


@pytest.mark.parametrize(
    ("differences", "ahead"),
    [
        ({"top_100": -0.001}, ["run-1"]),
        ({"top_100": 0.0}, []),
        ({"top_100": 0.001}, []),
        ({"rmse": 0.001}, ["run-1"]),
        ({"rmse": -0.001}, []),
        ({"ndcg_10": -0.001, "top_100": 0.05, "rmse": -0.1}, ["run-1"]),
        ({"top_100": None, "ndcg_10": None, "rmse": None}, []),
        ({}, []),
    ],
)
def test_a_champion_is_ahead_if_it_was_measured_better_in_any_metric(
    registry: Registry, publish, differences: dict[str, float | None], ahead: list[str]
) -> None:
    publish("run-1")
    publish("run-2", **differences)
    assert _ahead(registry) == ahead


def test_differences_add_up_and_the_furthest_ahead_comes_first(registry: Registry, publish) -> None:
    publish("run-1")
    publish("run-2", top_100=0.03)
    publish("run-3", top_100=-0.01)
    publish("run-4", top_100=-0.01)
    publish("run-5", top_100=-0.005)
    # Ahead of the present one by -0.005, 0.025, 0.015 and 0.005.
    assert _ahead(registry) == ["run-2", "run-3", "run-4"]


def test_metrics_are_weighed_in_their_margins(registry: Registry, publish) -> None:
    publish("run-1")
    publish("run-2", rmse=-0.03)  # three margins, ahead of the first
    publish("run-3", rmse=0.03, top_100=-0.02)  # back again, and two margins behind
    assert _ahead(registry) == ["run-2", "run-1"]


def test_ten_champions_before_the_present_one_are_looked_at(registry: Registry, publish) -> None:
    publish("run-1", top_100=0.0)
    publish("run-2", top_100=-0.5)
    for number in range(3, 13):
        publish(f"run-{number}", top_100=0.0001)
    assert _ahead(registry) == []  # the first is eleven before the last
    publish("run-13", top_100=-0.0005)
    assert _ahead(registry) == [f"run-{number}" for number in (12, 11, 10, 9, 8)]


def test_the_line_ends_where_a_verdict_is_missing_or_of_another_split(registry: Registry, publish) -> None:
    publish("run-1")
    publish("run-2", verdict=False)
    publish("run-3", top_100=-0.01)
    assert _ahead(registry) == []
    publish("run-4", split={**SPLIT, "seed": 7}, top_100=-0.01)
    publish("run-5", split={**SPLIT, "seed": 7}, top_100=-0.01)
    assert _ahead(registry) == ["run-4"]
    registry.storage.write_bytes("runs/run-5/verdict.json", b"{")
    assert _ahead(registry) == []


def test_a_version_that_was_rolled_back_from_does_not_count(registry: Registry, publish) -> None:
    first = publish("run-1")
    publish("run-2", top_100=0.5)
    registry.champion_log.append(2, first, "rollback", "", "worse")
    assert _ahead(registry) == []
    publish("run-3", top_100=-0.01)
    assert _ahead(registry) == ["run-1"]


def _prepared(registry: Registry, tmp_path: Path, ignore: bool = False) -> dict[str, Any]:
    ratings, output = tmp_path / "ratings.csv", tmp_path / "champion"
    ratings.write_text("user,movie,rating")
    prepare(ratings=str(ratings), registry=str(registry.root), output=str(output), ignore_champion=ignore)
    document: dict[str, Any] = json.loads((output / "champion.json").read_text())
    return {**document, "models": sorted(path.name for path in output.iterdir() if path.is_dir())}


@pytest.mark.tensorflow
def test_the_model_that_is_furthest_ahead_is_brought_beside_the_champions(
    registry: Registry, publish, tmp_path: Path
) -> None:
    publish("run-1")
    second = publish("run-2", top_100=0.03)
    third = publish("run-3", top_100=-0.01)
    found = _prepared(registry, tmp_path)
    assert (found["version"], found["best_version"], found["best_sequence"]) == (third, second, 2)
    assert found["models"] == ["best_model", "model"]


@pytest.mark.tensorflow
def test_one_that_was_pruned_or_damaged_is_passed_over(registry: Registry, publish, tmp_path: Path) -> None:
    first = publish("run-1")
    second = publish("run-2", top_100=0.005)
    publish("run-3", top_100=-0.01)
    registry.storage.write_bytes(f"versions/{second}/model/saved_model/saved_model.pb", b"damaged")
    assert _prepared(registry, tmp_path)["best_version"] == first
    registry.storage.delete(f"versions/{first}/manifest.json")
    found = _prepared(registry, tmp_path)
    assert (found["best_version"], found["best_sequence"], found["models"]) == ("", 0, ["model"])


def test_a_damaged_champion_blocks_every_run_unless_it_is_ignored(
    registry: Registry, publish, tmp_path: Path
) -> None:
    publish("run-1")
    version = publish("run-2", top_100=-0.01)
    registry.storage.write_bytes(f"versions/{version}/model/saved_model/saved_model.pb", b"damaged")
    with pytest.raises(UserError, match=r"saved_model\.pb"):
        _prepared(registry, tmp_path)
    found = _prepared(registry, tmp_path, ignore=True)
    assert (found["exists"], found["version"], found["sequence"]) == (True, version, 2)
    assert found["ignored"].startswith("It was left out, as asked; it could not be read: ")
    assert "saved_model.pb" in found["ignored"]
    assert (found["models"], found["best_version"]) == ([], "")


@pytest.mark.tensorflow
def test_a_champion_that_is_whole_is_ignored_if_asked(registry: Registry, publish, tmp_path: Path) -> None:
    publish("run-1")
    found = _prepared(registry, tmp_path, ignore=True)
    assert (found["ignored"], found["models"]) == ("It was left out, as asked.", [])

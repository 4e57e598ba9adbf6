"""Two runs or versions side by side."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from verdicts import write_verdict

from components.errors import UserError
from components.registry.cli import runs
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.report.cli import compare as compare_command
from components.report.comparison import compare
from components.report.lookup import find

AddRun = Callable[..., None]
SPLIT = {"kind": "random", "seed": 42}


@pytest.fixture
def add_run(place: str, tmp_path: Path) -> AddRun:
    """A function that records a run with metrics, each ±0.01 unless said otherwise."""

    def add(run_id: str, metrics: dict[str, float], champion: str = "", **facts: Any) -> None:
        half = facts.pop("half", 0.01)
        write_verdict(
            tmp_path,
            intervals={"challenger": {name: [value - half, value + half] for name, value in metrics.items()}},
            champion={"exists": bool(champion), "version": champion},
            rules=facts.pop("rules", [{}]),
            split=facts.pop("split", SPLIT),
        )
        statistics = {"rows_kept": 1000, "rating_mean": 3.5, "users": 10, **facts.pop("statistics", {})}
        (tmp_path / "statistics.json").write_text(json.dumps(statistics))
        defaults = {
            "outcome": "refused",
            "reason": "it is worse",
            "fingerprint": "f",
            "settings": {"steps": 10},
        }
        record = RunRecord(run_id=run_id, metrics=dict(metrics), **{**defaults, **facts})
        files = {f"{name}.json": tmp_path / f"{name}.json" for name in ("verdict", "statistics")}
        Registry(place).runs.write(record, files)

    return add


def test_settings_by_earlier_names_compare_equal(place: str, add_run: AddRun) -> None:
    add_run("a", {}, settings={"masked": 0.2, "members": 2})
    add_run("b", {}, settings={"mask_rate": 0.2, "ensemble_size": 4})
    comparison = compare(*(find(Registry(place), name) for name in "ab"))
    assert comparison.settings == {"ensemble_size": (2, 4)}


def better(place: str) -> dict[str, str]:
    registry = Registry(place)
    return {one.metric: one.better for one in compare(find(registry, "a"), find(registry, "b")).metrics}


def test_the_better_one_is_named_metric_by_metric(place: str, add_run: AddRun) -> None:
    add_run("a", {"top_100_accuracy_unseen": 0.30, "rmse": 0.90, "mae": 0.7, "gini": 0.5})
    add_run("b", {"top_100_accuracy_unseen": 0.52, "rmse": 0.83, "mae": 0.8, "gini": 0.9})
    assert better(place) == {
        "top_100_accuracy_unseen": "second",
        "rmse": "second",
        "mae": "first",
        "gini": "",
    }
    comparison = compare(*(find(Registry(place), name) for name in "ab"))
    assert comparison.same_rows
    (found, *_) = comparison.metrics
    assert found.by == pytest.approx(0.22)
    assert found.second_interval == pytest.approx((0.51, 0.53))


def test_intervals_that_overlap_may_be_chance(place: str, add_run: AddRun) -> None:
    add_run("a", {"rmse": 0.900, "mae": 0.700})
    add_run("b", {"rmse": 0.885, "mae": 0.675})
    assert better(place) == {"rmse": "chance", "mae": "second"}


def test_what_the_gate_measured_on_the_same_rows_counts_more(place: str, add_run: AddRun) -> None:
    rule = {"name": "rmse_vs_champion", "metric": "rmse", "against": "champion", "interval": [-0.02, -0.01]}
    of_slice = {**rule, "name": "rmse_vs_champion_tail_movies", "interval": [-1, 1]}
    add_run("a", {"rmse": 0.900}, version="v1")
    add_run("b", {"rmse": 0.885}, champion="v1", rules=[of_slice, rule])
    assert better(place) == {"rmse": "second"}
    add_run("b", {"rmse": 0.885}, champion="v1", rules=[{**rule, "interval": [-0.03, 0.001]}], half=0.001)
    assert better(place) == {"rmse": "chance"}


def test_what_is_not_a_number_is_not_judged(place: str, add_run: AddRun) -> None:
    add_run("a", {"rmse": 0.9})
    Registry(place).runs.write(RunRecord(run_id="b", outcome="failed", reason="", metrics={"rmse": None}), {})
    assert better(place) == {"rmse": ""}


def test_settings_and_data_that_differ(place: str, add_run: AddRun) -> None:
    add_run("a", {"rmse": 0.9}, settings={"preset": "default", "steps": 10})
    add_run(
        "b",
        {"rmse": 0.9},
        settings={"preset": "notebook", "steps": 10, "epochs": 3},
        fingerprint="g",
        split={**SPLIT, "seed": 7},
        statistics={"rows_kept": 900},
    )
    comparison = compare(*(find(Registry(place), name) for name in "ab"))
    assert comparison.settings == {"preset": ("default", "notebook"), "epochs": (None, 3)}
    assert comparison.data == {"fingerprint": ("f", "g"), "split.seed": (42, 7), "rows_kept": (1000, 900)}
    assert not comparison.same_rows


def test_versions_are_compared_like_runs(place: str, promote) -> None:
    registry = Registry(place)
    first, second = (
        promote(registry, name, metrics={"rmse": value}, settings={"steps": steps}).version
        for name, value, steps in (("run-1", 0.9, 5), ("run-2", 0.8, 6))
    )
    comparison = compare(find(registry, first), find(registry, "champion"))
    assert (comparison.first, comparison.second) == (first, second)
    assert comparison.metrics[0].better == "second"
    assert comparison.settings == {"steps": (5, 6)}


def test_the_terminal_says_who_is_better_and_by_how_much(place: str, add_run: AddRun) -> None:
    add_run("a", {"top_100_accuracy_unseen": 0.30, "rmse": 0.90}, settings={"preset": "notebook"})
    add_run("b", {"top_100_accuracy_unseen": 0.52, "rmse": 0.83}, settings={"preset": "default"})
    words = ["a", "b", "--registry", place]
    text = CliRunner().invoke(compare_command, words, catch_exceptions=False).stdout
    assert "B is better." in text
    assert [line.split() for line in text.splitlines() if line.startswith("RMSE")] == [
        ["RMSE", "(stars)", "0.9000", "0.8300", "-0.0700", "B"]
    ]
    assert "preset  notebook  default" in text
    assert "no data that differ" in text
    assert max(map(len, text.splitlines())) <= 80
    document = json.loads(CliRunner().invoke(compare_command, [*words, "--json"]).stdout)
    assert document["settings"] == {"preset": ["notebook", "default"]}


@pytest.mark.parametrize(
    ("found", "rmse", "conclusion"),
    [
        (0.305, 0.905, "Neither is better beyond chance."),
        (0.20, 0.80, "Each is better in something."),
        (0.20, 0.905, "A is better."),
    ],
)
def test_the_conclusion_follows_from_all_metrics(
    place: str, add_run: AddRun, found: float, rmse: float, conclusion: str
) -> None:
    add_run("a", {"top_100_accuracy_unseen": 0.30, "rmse": 0.90})
    add_run("b", {"top_100_accuracy_unseen": found, "rmse": rmse})
    text = CliRunner().invoke(compare_command, ["a", "b", "--registry", place], catch_exceptions=False).stdout
    assert conclusion in text


def test_figures_of_other_test_rows_are_taken_with_care(place: str, add_run: AddRun) -> None:
    add_run("a", {"rmse": 0.90})
    add_run("b", {"rmse": 0.80}, fingerprint="g")
    text = CliRunner().invoke(compare_command, ["a", "b", "--registry", place], catch_exceptions=False).stdout
    assert "measured on different test rows: take that with care" in " ".join(text.split())


def test_runs_are_listed_latest_first_with_their_verdicts(place: str, add_run: AddRun) -> None:
    for number in range(3):
        ended = datetime(2026, 11, 24, 10, number, tzinfo=UTC)
        add_run(f"run-{number}", {"top_100_accuracy_unseen": 0.5, "rmse": 0.8}, time=ended)
    text = CliRunner().invoke(runs, ["--registry", place, "--limit", "2"], catch_exceptions=False).stdout
    heading, *lines = text.splitlines()
    assert heading.split() == ["ended", "(UTC)", "outcome", "top-100", "RMSE", "run"]
    assert [line.split()[-1] for line in lines[::2]] == ["run-2", "run-1"]
    assert lines[0].split()[:5] == ["2026-11-24", "10:02", "refused", "0.5000", "0.8000"]
    assert lines[1].strip() == "it is worse"
    documents = json.loads(CliRunner().invoke(runs, ["--registry", place, "--json"]).stdout)
    assert [document["run_id"] for document in documents] == ["run-2", "run-1", "run-0"]


def test_a_registry_without_runs_is_named(place: str) -> None:
    with pytest.raises(UserError, match="holds no run records; name another registry"):
        CliRunner().invoke(runs, ["--registry", place], catch_exceptions=False)


def test_a_beginning_that_fits_several_names_them(place: str, add_run: AddRun) -> None:
    add_run("run-1", {"rmse": 0.9})
    add_run("run-11", {"rmse": 0.9})
    assert find(Registry(place), "run-1").name == "run-1"
    with pytest.raises(UserError, match=r"run may be run-1, run-11; give more characters"):
        find(Registry(place), "run")


def test_a_corrupt_document_is_named(place: str, add_run: AddRun) -> None:
    add_run("a", {"rmse": 0.9})
    Registry(place).storage.write_bytes("runs/a/verdict.json", b"{")
    with pytest.raises(UserError, match=r"runs/a/verdict\.json is not JSON .*; restore it"):
        find(Registry(place), "a")

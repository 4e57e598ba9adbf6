"""Every command that reads a registry works on one that version 0.1.0 wrote."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.errors import UserError

FIRST, NOTEBOOK, CHAMPION, LAST = (
    "20261129-071458-311d9585",
    "20261129-071738-a4a50905",
    "20261129-072209-8eea3a39",
    "20261129-072342-1f93b256",
)
OUTCOMES = {
    "91498133": "published",
    "54468167": "published",
    "23101038": "published",
    "46494890": "published",
    "86032923": "skipped",
    "97431295": "failed",
    "87018788": "refused",
}

# What the four commands of that version printed for three of its indexes, with --json.
_ANSWERS = Path(__file__).with_name("answers.jsonl").read_text("utf-8").splitlines()
ANSWERS = [json.loads(line) for line in _ANSWERS]


def _without_spaces(text: str) -> str:
    """Text of a terminal table, whose cells are folded: its ids can be found."""
    return "".join(text.split())


def test_versions(call) -> None:
    shown = call("versions").stdout
    for run in ("91498133", "54468167", "23101038", "46494890"):
        assert run in shown


def test_runs(call, call_json) -> None:
    assert {run["run_id"]: run["outcome"] for run in call_json("runs")} == OUTCOMES
    shown = call("runs").stdout
    assert all(run in shown for run in OUTCOMES)


@pytest.mark.parametrize("version", [FIRST, NOTEBOOK, CHAMPION, LAST])
def test_show(call, call_json, version: str) -> None:
    shown = call_json("show", version)
    assert version in json.dumps(shown)
    assert version in _without_spaces(call("show", version).stdout)


def test_show_without_a_version_is_of_the_champion(call) -> None:
    assert CHAMPION in _without_spaces(call("show").stdout)


@pytest.mark.parametrize(
    ("a", "b"),
    [(FIRST, CHAMPION), (NOTEBOOK, "champion"), ("87018788", "champion"), ("91498133", "23101038")],
)
def test_compare(call, call_json, a: str, b: str) -> None:
    compared = call_json("compare", a, b)
    assert compared
    assert "RMSE" in call("compare", a, b, "--all").stdout


@pytest.mark.parametrize("run", [run for run in OUTCOMES if OUTCOMES[run] in ("published", "refused")])
def test_report(call, run: str) -> None:
    assert f"runs/{run}/report.html" in call("report", run).stdout


@pytest.mark.parametrize("run", [run for run in OUTCOMES if OUTCOMES[run] in ("skipped", "failed")])
def test_a_run_without_a_page_says_so(call, run: str) -> None:
    with pytest.raises(UserError, match=f"runs/{run}/report.html does not exist"):
        call("report", run)


@pytest.mark.parametrize("run", [FIRST, "champion", "23101038"])
def test_report_copies_the_page(call, run: str, tmp_path: Path) -> None:
    call("report", run, "--output", tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text("utf-8")


def test_verify(call) -> None:
    assert "4 versions" in call("verify").stdout


def test_a_damaged_file_is_found(registry: Path, call) -> None:
    (registry / "versions" / FIRST / "model_card.md").write_text("something else")
    with pytest.raises(UserError, match="1 faults"):
        call("verify")


def test_rollback(call, call_json) -> None:
    assert FIRST in call("rollback", FIRST).stdout
    assert FIRST in json.dumps(call_json("show"))


def test_prune(call, registry: Path) -> None:
    call("prune", "--keep", 1)
    left = {path.name for path in (registry / "versions").iterdir()}
    assert CHAMPION in left
    assert FIRST not in left


def _assert_equal(found: Any, expected: Any) -> None:
    """Compares what JSON holds, its numbers approximately; further keys may be found."""
    if isinstance(expected, dict):
        for key, value in expected.items():
            _assert_equal(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _assert_equal(one, other)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-4)
    else:
        assert found == expected


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: "-".join(answer["arguments"]))
@pytest.mark.tensorflow
def test_an_index_answers_as_it_did(call_json, answer: dict[str, Any]) -> None:
    _assert_equal(call_json(*answer["arguments"], "--version", answer["version"]), answer["printed"])

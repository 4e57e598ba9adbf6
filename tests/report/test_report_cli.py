"""`twotower report`: the page of a run or version, on a disk and in a bucket; and a page of artifacts."""

import json
import webbrowser
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.versions import GateDecision, Provenance
from components.report.cli import compare
from components.report.step import report_command


@pytest.fixture
def call(place):
    """Calls the command on the registry at `place`; returns its lines."""

    def run(*words):
        arguments = [*map(str, words), "--registry", place]
        return CliRunner().invoke(report_command, arguments, catch_exceptions=False).stdout.splitlines()

    return run


@pytest.fixture
def kept(place, evaluated, tmp_path):
    """A registry with a published run, its version, and a failed run before it."""
    registry = Registry(place)
    (tmp_path / "report.html").write_text("<p>the page")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "saved_model.pb").write_text("the index")
    first, last = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    failed = RunRecord(run_id="failed-1", outcome="failed", reason="the disk is full", time=first)
    registry.runs.write(failed, {})
    _, evaluation = evaluated("good")
    verdict = json.loads((evaluation / "verdict.json").read_text())
    provenance = Provenance(
        run_id="run-1",
        fingerprint="f",
        settings={},
        metrics=verdict["metrics"]["challenger"],
        verdict=GateDecision(blessed=True),
    )
    sources = {"index": tmp_path / "index", "report.html": tmp_path / "report.html"}
    version = registry.versions.add(provenance, sources).version
    record = RunRecord(
        run_id="run-1",
        outcome="published",
        reason="good",
        version=version,
        sequence=3,
        time=last,
    )
    files = {"report.html": tmp_path / "report.html", "verdict.json": evaluation / "verdict.json"}
    registry.runs.write(record, files)
    registry.champion_log.append(0, version, "published", "run-1")
    return version


def test_the_last_run_is_shown(call, kept, place):
    first, title, *_, page = call()
    assert first == f"run run-1 published: {kept}, number 3 of the champion log"
    assert title == "Good enough to go live"
    assert Path(page).read_text() == "<p>the page"
    assert "://" in place or page == f"{place}/runs/run-1/report.html"


@pytest.mark.parametrize("name", ["version", "champion", "run-1", "run", "beginning"])
def test_a_run_or_version_is_found_by_its_name(call, kept, name):
    name = {"version": kept, "beginning": kept[:6]}.get(name, name)
    lines = call(name)
    assert lines[0].startswith("run run-1 published")
    assert Path(lines[-1]).read_text() == "<p>the page"


def test_a_copy_is_written_and_opened(call, kept, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    copy = tmp_path / "copy.html"
    assert call(kept, "--open", "--output", copy)[-1] == str(copy)
    assert copy.read_text() == "<p>the page"
    assert opened == [copy.as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    with pytest.raises(UserError, match="no browser could be started here; copy"):
        call(kept, "--open", "--output", copy)


def test_a_run_without_a_page_says_why(call, kept):
    with pytest.raises(UserError, match="the run failed-1 failed before it had a page; name another run"):
        call("failed")


@pytest.mark.parametrize(
    ("name", "message"),
    [("nobody", "has no run or version nobody; `twotower runs"), ("", "holds no run records")],
)
def test_what_is_not_there_is_named(call, name, message):
    with pytest.raises(UserError, match=message):
        call(name)


def test_a_page_and_its_card_are_made_of_artifacts(evaluated, dataset, tmp_path):
    model, evaluation = evaluated("good")
    flags = [
        "--evaluation",
        evaluation,
        "--model",
        model,
        "--dataset",
        dataset,
        "--output",
        tmp_path / "page.html",
    ]
    result = CliRunner().invoke(report_command, [*map(str, flags)], catch_exceptions=False)
    assert result.stdout == f"{tmp_path / 'page.html'}\n"
    assert "Good enough to go live" in (tmp_path / "page.html").read_text("utf-8")
    assert (tmp_path / "model_card.md").read_text("utf-8").startswith("# Model card\n")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "m"], "--evaluation is missing"),
        (["--evaluation", "e", "--model", "m"], "--dataset is missing"),
        (["run-1", "--evaluation", "e"], "run-1 has its page already; leave out --evaluation"),
    ],
)
def test_half_a_call_names_what_is_missing(flags, message):
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(report_command, flags, catch_exceptions=False)


def test_the_help_tells_the_two_ways_apart():
    text = CliRunner().invoke(report_command, ["--help"]).output
    show, make = text.split("To make one, as the step does:")
    assert "--open" in show
    assert "--evaluation" in make
    assert "--evaluation" not in show.split("To show a page of the registry:")[1]


def test_a_run_that_was_not_measured_is_compared_with_nothing(kept, place):
    done = CliRunner().invoke(compare, ["failed-1", "failed-1", "--registry", place])
    assert done.exit_code == 1
    assert "nothing to compare: failed-1 and failed-1 were not measured" in done.stderr

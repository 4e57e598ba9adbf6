"""The subcommands `champion`, `versions`, `show`, `rollback`, `prune` and `verify`."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from verdicts import write_verdict

from components.errors import UserError
from components.registry.cli import prune, rollback, runs, verify, versions
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.step import prepare_command
from components.registry.versions import GateDecision
from components.report.cli import show


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


def test_versions_marks_the_champion(tmp_path: Path, promote, add_version) -> None:
    registry = Registry(str(tmp_path / "registry [old]"))
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    third = add_version(
        registry,
        "run-3",
        metrics={"rmse": None, "top_100_accuracy_unseen": 0.25},
        verdict=GateDecision(gate="report", reason="worse"),
    ).version
    result = CliRunner().invoke(versions, ["--registry", registry.root], catch_exceptions=False)
    rows = {
        word: line for line in result.output.splitlines() for word in line.split() if word.count("-") == 2
    }
    folded = "".join(result.output.split())
    assert "".join(registry.root.split()) in folded, "the title is folded to the width of the table"
    assert set(rows) == {first, second, third}
    assert "*" in rows[second]
    assert "*" not in rows[first] + rows[third]
    assert rows[first].split()[-5] == "1"
    assert "0.9000" in rows[first]
    assert rows[third].split()[1] == "-"
    assert "0.2500" in rows[third]
    assert "failed" in rows[third]
    assert "run-3" in rows[third]


def test_versions_of_an_empty_registry(tmp_path: Path) -> None:
    result = CliRunner().invoke(versions, ["--registry", str(tmp_path / "registry")])
    assert isinstance(result.exception, UserError)
    assert "holds no versions; name another registry" in str(result.exception)


def test_versions_shows_the_others_where_one_is_broken(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    first, second, third = (promote(registry, f"run-{number}").version for number in (1, 2, 3))
    registry.storage.write_bytes(f"versions/{first}/manifest.json", b"{}")
    registry.storage.write_bytes("champion/000002.json", b"{}")
    result = CliRunner().invoke(versions, ["--registry", registry.root])
    assert all(version in result.output for version in (first, second, third))
    assert "* served now" in result.output
    assert isinstance(result.exception, UserError)
    assert re.match(r".*champion/000002\.json: field `format`: it is missing; ", str(result.exception))
    assert str(result.exception).endswith(f"; `twotower verify --registry {registry.root}` lists 1 more")
    registry.storage.write_bytes("champion/000003.json", b"{}")
    result = CliRunner().invoke(versions, ["--registry", registry.root])
    assert "which one is served is not known" in result.output


def test_runs_shows_the_others_where_one_is_broken(tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "registry"))
    for number in (1, 2):
        registry.runs.write(RunRecord(run_id=f"run-{number}", outcome="refused", reason="worse"), {})
    registry.storage.write_bytes("runs/run-1/run.json", b"[" * 100_000)
    for words in ([], ["--json"]):
        result = CliRunner().invoke(runs, [*words, "--registry", registry.root])
        assert "run-2" in result.output
        assert "run-1" not in result.output
        assert isinstance(result.exception, UserError)
        assert "runs/run-1/run.json is nested too deeply; restore it" in str(result.exception)
    registry.storage.copy_file("runs/run-2/run.json", "runs/run-1/run.json")
    result = CliRunner().invoke(runs, ["--registry", registry.root])
    assert "run-1/run.json is that of another run, run-2; restore it" in str(result.exception)


def test_verify_repairs_what_a_server_loads(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    promote(registry, "run")
    words = ["--registry", registry.root, "--repair"]
    registry.storage.write_bytes("serving/99999999999999999999/saved_model.pb", b"another")
    result = CliRunner().invoke(verify, words, catch_exceptions=False)
    assert result.stdout.splitlines() == [
        f"deleted {registry.root}/serving/99999999999999999999",
        "1 versions, 1 copies for a server and 0 runs are whole: 10 files, 0.0 MB",
    ]


def test_rollback_says_what_is_served_now_and_before(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    back = CliRunner().invoke(rollback, ["--registry", registry.root], catch_exceptions=False)
    assert back.output == f"the champion is {first}, number 3 in the log; served before: {second}\n"
    again = CliRunner().invoke(rollback, [second, "--registry", registry.root], catch_exceptions=False)
    assert again.output == f"the champion is {second}, number 4 in the log; served before: {first}\n"


def test_show_tells_the_story_of_a_version(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    rolled_back = ["--registry", registry.root, "--reason", "it likes [sequels] only"]
    CliRunner().invoke(rollback, rolled_back, catch_exceptions=False)
    words = [second, "--registry", registry.root]
    text = CliRunner().invoke(show, words, catch_exceptions=False).output
    for fact in (
        f"version {second}",
        "no longer",
        f"in the place of {first}",
        f"by {first} (rollback)",
        "no champion on record",
        "it likes [sequels] only",
        "all rules pass",
        "run-2",
        "preset default, embedding_dimension 32",
        "0.9000",
    ):
        assert fact in text
    shown = json.loads(CliRunner().invoke(show, [*words, "--json"], catch_exceptions=False).output)
    assert shown["manifest"]["version"] == second
    assert shown["replaced_by"]["reason"] == "it likes [sequels] only"
    champion_now = CliRunner().invoke(show, words[1:], catch_exceptions=False).output
    assert f"version {first}" in champion_now


def test_show_tells_whom_a_version_beat_and_by_which_rules(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = promote(registry, "run-1").version
    write_verdict(
        tmp_path,
        metrics={"champion": {"rmse": 0.95}, "baselines": {"global_mean": {"rmse": 1.125}}},
        rules=[{"verdict": "pass", "name": "rmse_vs_champion", "why": "0.9 is [less] than 0.95."}],
    )
    record = RunRecord(run_id="run-1", outcome="published", reason="good", version=version, sequence=1)
    registry.runs.write(record, {"verdict.json": tmp_path / "verdict.json"})
    text = CliRunner().invoke(show, [version, "--registry", registry.root], catch_exceptions=False).output
    assert re.search(r"metric +this version +champion then +global mean", text)
    assert re.search(r"rmse +0\.9000 +0\.9500 +1\.1250", text)
    assert re.search(r"pass +rmse_vs_champion +0\.9 is \[less\] than 0\.95\.", text)


def test_prune_says_what_goes_and_deletes_it(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    oldest, *_ = [promote(registry, f"run-{number}").version for number in range(3)]
    words = ["--registry", registry.root, "--keep", "2"]
    for arguments, verb, left in [
        ([*words, "--dry-run"], "would delete", 3),
        (words, "deleted", 2),
    ]:
        output = CliRunner().invoke(prune, arguments, catch_exceptions=False).stdout
        assert output.splitlines() == [
            f"{verb} {oldest}, 0.0 MB",
            f"{verb} serving/1",
            f"{verb} 1 of 3 versions",
        ]
        assert len(registry.versions.ids()) == left
    assert CliRunner().invoke(prune, ["--keep", "0"]).exit_code == 2


def test_verify_counts_what_is_whole_and_lists_what_is_not(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = promote(registry, "run").version
    words = ["--registry", registry.root]
    assert CliRunner().invoke(verify, words, catch_exceptions=False).stdout == (
        "1 versions, 1 copies for a server and 0 runs are whole: 10 files, 0.0 MB\n"
    )
    registry.storage.write_bytes(f"versions/{version}/report.html", b"flipped!")
    registry.storage.delete(f"versions/{version}/model/model.json")
    result = CliRunner().invoke(verify, words)
    assert len(result.stdout.splitlines()) == 2
    assert "report.html is corrupt" in result.stdout
    assert isinstance(result.exception, UserError)
    assert "has 2 faults; each line above names one, and its cure" in str(result.exception)


def test_programs_read_json(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    first, last = (promote(registry, name) for name in ("one", "two"))

    def read(command: click.Command, *words: str) -> Any:
        result = CliRunner().invoke(command, [*words, "--json", "--registry", registry.root])
        return json.loads(result.stdout)

    listed = read(versions)
    assert [(one["version"], one["number"], one["served"]) for one in listed] == [
        (last.version, 2, True),
        (first.version, 1, False),
    ]
    assert listed[0]["manifest"]["run_id"] == "two"
    found = read(verify)
    assert (found["versions"], found["faults"], found["repaired"]) == (2, [], [])
    pruned = read(prune, "--keep", "1", "--dry-run")
    assert (pruned["deleted"], pruned["versions"], sorted(pruned["kept"])) == (
        False,
        {},
        sorted([first.version, last.version]),
    )


@pytest.mark.tensorflow
def test_prepare_writes_its_directory(tmp_path: Path, promote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ratings.csv").write_text("")
    words = ["--ratings", "ratings.csv"]
    said = CliRunner().invoke(prepare_command, words, catch_exceptions=False).stdout
    assert said.endswith(", no champion yet\n")
    version = promote(Registry("registry"), "run").version
    words += ["--output", "elsewhere"]
    assert version in CliRunner().invoke(prepare_command, words, catch_exceptions=False).stdout
    assert (tmp_path / "elsewhere" / "champion.json").is_file()


@pytest.mark.process
def test_help_and_local_work_load_no_heavy_library() -> None:
    program = (
        "import sys, components.registry.cli, components.publish.step, components.registry.registry\n"
        "import components.registry.step, components.registry.registry\n"
        "print([name for name in ('google.cloud', 'tensorflow', 'kfp', 'requests') if name in sys.modules])"
    )
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert loaded.stdout == "[]\n"

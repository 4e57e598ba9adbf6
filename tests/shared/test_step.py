"""What surrounds the work of every step."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from components.documents import plain
from components.errors import UserError
from components.step import (
    OUTCOMES,
    STEP_FILE,
    StepRecord,
    add_to_outcome,
    command_line,
    last_outcome,
    read_outcomes,
    so_far,
    step,
    step_records,
)


@step
def count_rows(
    *, ratings: str, seed: int = 42, settings: dict | None = None, strict: bool = False, output: str
) -> int:
    if ratings == "absent.csv":
        raise UserError("absent.csv: no such file;\nname another")
    if ratings == "odd.csv":
        raise ZeroDivisionError("one\ntwo")
    return len(ratings)


def test_the_line_that_repeats_a_step_leaves_out_defaults_and_quotes_the_rest():
    arguments = {
        "ratings": "my file.csv",
        "seed": 42,
        "settings": {"dimension": 8},
        "strict": True,
        "output": "out",
        "metrics_metadata": {},
    }
    assert command_line(count_rows, arguments) == (
        "twotower count-rows --ratings 'my file.csv' --settings '{\"dimension\": 8}' --strict --output out"
    )


def test_outside_a_pipeline_a_mistake_is_an_exception_and_nothing_is_logged(tmp_path, capsys):
    with pytest.raises(UserError, match=r"absent\.csv: no such file; name another"):
        count_rows(ratings="absent.csv", output=str(tmp_path))
    assert capsys.readouterr().err == ""


def _outcome(text: str) -> dict:
    return json.loads(text.splitlines()[-1])


def test_inside_a_pipeline_a_mistake_ends_the_process_with_one_line_and_status_2(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setenv("_KFP_RUNTIME", "true")
    with pytest.raises(SystemExit) as exit_:
        count_rows(ratings="absent.csv", output=str(tmp_path))
    assert exit_.value.code == 2
    told = capsys.readouterr().err
    assert told.splitlines()[:-1] == [
        f"twotower: to repeat this step: twotower count-rows --ratings absent.csv --output {tmp_path}",
        "error: absent.csv: no such file; name another",
    ]
    outcome = _outcome(told)
    assert (outcome["step"], outcome["status"]) == ("count_rows", "mistake")
    assert outcome["error"] == "absent.csv: no such file; name another"


def test_inside_a_pipeline_any_other_error_is_named_behind_its_traceback(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("_KFP_RUNTIME", "true")
    with pytest.raises(SystemExit) as exit_:
        count_rows(ratings="odd.csv", output=str(tmp_path))
    assert exit_.value.code == 1
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert told.splitlines()[-2] == "twotower: unexpected ZeroDivisionError: one two"
    assert _outcome(told)["status"] == "failed"
    assert _outcome(told)["error"] == "unexpected ZeroDivisionError: one two"


@step
def record_run(*, output: str) -> None:
    add_to_outcome(run_record="registry/runs/r", outcome="published", version="v1")


def test_inside_a_pipeline_the_outcome_is_the_last_line_and_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("_KFP_RUNTIME", "true")
    monkeypatch.setenv(OUTCOMES, str(tmp_path / "outcomes"))
    count_rows(ratings="abc", output=str(tmp_path))
    record_run(output=str(tmp_path))
    last = last_outcome(capsys.readouterr().err.splitlines())
    first, second = read_outcomes(tmp_path / "outcomes")
    assert second == last
    assert (first.step, first.status, first.run_record) == ("count_rows", "succeeded", "")
    assert (last.step, last.run_record, last.outcome, last.version) == (
        "record_run",
        "registry/runs/r",
        "published",
        "v1",
    )
    assert 0 <= last.seconds < 60
    assert 1e6 < last.peak_memory_bytes < 1e12


def test_outside_a_step_there_is_no_outcome_to_add_to(tmp_path, monkeypatch):
    monkeypatch.setenv(OUTCOMES, str(tmp_path / "outcomes"))
    add_to_outcome(run_record="registry/runs/r")
    record_run(output=str(tmp_path))
    assert read_outcomes(tmp_path / "outcomes") == []


@pytest.mark.parametrize(
    "lines", [[], ["noise"], ["{}"], ['{"step": "s", "format": 2}', "[1]"], ['{"step": "s"}']]
)
def test_a_log_without_an_outcome(lines):
    assert last_outcome(lines) is None


def test_duration_and_peak_memory_are_left_in_the_output(tmp_path):
    assert count_rows(ratings="abc", output=str(tmp_path)) == 3
    record = json.loads((tmp_path / STEP_FILE).read_text())
    assert record["step"] == "count_rows"
    assert 0 <= record["seconds"] < 60
    assert 1e6 < record["peak_memory_bytes"] < 1e12


@step
def look_ahead(*, ratings: str, output: str) -> StepRecord:
    count_rows(ratings=ratings, output=output)
    return so_far()


def test_a_step_can_tell_what_it_will_leave(tmp_path):
    ahead = look_ahead(ratings="abc", output=str(tmp_path))
    record = json.loads((tmp_path / STEP_FILE).read_text())
    assert ahead.step == record["step"] == "look_ahead"
    assert set(plain(ahead)) == set(record) - {"before"}
    assert 0 <= ahead.seconds <= record["seconds"]
    with pytest.raises(LookupError):
        so_far()


@pytest.mark.process
def test_the_peak_memory_is_not_that_of_the_process_that_started_the_step(tmp_path):
    code = (
        "import subprocess, sys; ballast = b'x' * (600 << 20); subprocess.run([sys.executable, '-c', "
        "'import sys; from components.step import step\\n@step\\ndef nothing(*, output): return None\\n"
        "nothing(output=sys.argv[1])', sys.argv[1]], check=True)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert json.loads((tmp_path / STEP_FILE).read_text())["peak_memory_bytes"] < 300 << 20


def test_no_record_is_left_where_the_step_wrote_no_directory(tmp_path):
    count_rows(ratings="abc", output=str(tmp_path / "absent"))
    assert list(tmp_path.iterdir()) == []


@step
def number_rows(*, rows: str, numbers_output: str, output: str) -> None:
    for path in (numbers_output, output):
        Path(path).mkdir()


def test_every_directory_tells_of_its_step_and_those_before(tmp_path):
    counted, numbers, numbered = (str(tmp_path / name) for name in ("counted", "numbers", "numbered"))
    Path(counted).mkdir()
    count_rows(ratings="abc", output=counted)
    number_rows(rows=counted, numbers_output=numbers, output=numbered)
    for directory in (numbers, numbered):
        assert [record.step for record in step_records([directory])] == ["count_rows", "number_rows"]
    assert [record.step for record in step_records([numbers, counted])] == ["count_rows", "number_rows"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"step": "x", "before": 3}', "\x00"])
def test_a_broken_record_is_passed_over(tmp_path, content):
    (tmp_path / STEP_FILE).write_text(content)
    assert step_records([tmp_path, tmp_path / "absent", "\x00"]) == []
    count_rows(ratings=str(tmp_path), output=str(tmp_path))
    assert [record.step for record in step_records([tmp_path])] == ["count_rows"]

"""A training that keeps to a time budget: what fits by the clock, and the whole step within a tenth of it."""

import json
import signal
import subprocess
import sys
import time

import pytest

from components.errors import UserError
from components.train import time_budget
from components.train.artifact import read_log, read_record
from components.train.settings import NOTEBOOK, check_time_budget
from components.train.time_budget import TimeBudget

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def clock(monkeypatch):
    """Time that a test moves by hand."""
    now = [1000.0]
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: now[0])
    return now


def test_steps_fill_the_time_that_is_left(clock):
    budget = TimeBudget(100.0)
    clock[0] += 10.0
    budget.reserve(after=20.0, refit=0.0)
    budget.measured(steps=10, seconds=5.0, sampling=0.0)
    # 70 s of half a second a step, after the 10 that are made.
    assert budget.steps_that_fit(10, 10) == 150
    clock[0] += 1000.0
    assert budget.steps_that_fit(10, 10) == 10


def test_the_final_refit_has_its_share_of_the_steps_and_half_of_the_sampling(clock):
    budget = TimeBudget(110.0)
    budget.reserve(after=10.0, refit=0.5)
    # A step is 0.4 s and 0.1 s of sampling: 0.5 s in the search, and 0.05 s in the refit, which has so far
    # 10 steps of 0.4 s.
    budget.measured(steps=10, seconds=5.0, sampling=1.0)
    assert budget.steps_that_fit(20, 20) == int((100.0 - 10 * 0.4 + 20 * 0.5) / 0.55)
    clock[0] += 90.0
    assert budget.refit_share(steps=50, searched=100, after=10.0) == pytest.approx(10 / 25)
    assert budget.shortened


def test_busy_processors_need_more_time_for_what_follows(clock):
    budget = TimeBudget(100.0)
    budget.reserve(after=10.0, refit=0.0)
    budget.measured(steps=1, seconds=1.0, sampling=0.0)
    assert budget.steps_that_fit(0, 0) == 90
    budget.compiled(2 * time_budget._COMPILING)
    assert budget.steps_that_fit(0, 0) == 80


def test_the_time_of_earlier_processes_counts_once(clock):
    first = TimeBudget(100.0)
    clock[0] += 30.0
    again = TimeBudget(100.0)
    again.resume(first.spent())
    again.resume(first.spent() - 20.0)  # an earlier phase's
    clock[0] += 5.0
    assert again.spent() == pytest.approx(35.0)


def test_every_worker_goes_by_the_clock_of_the_chief(clock):
    budget = TimeBudget(100.0, of_chief=lambda own: 40.0)
    budget.measured(steps=1, seconds=1.0, sampling=0.0)
    assert budget.steps_that_fit(0, 0) == 40


def test_a_budget_without_time_for_a_step_is_refused(clock):
    budget = TimeBudget(15.0)
    clock[0] += 8.0
    with pytest.raises(UserError, match="--time-budget 15 is too short for any step: 8 s have gone"):
        budget.reserve(after=10.0, refit=0.0)


@pytest.mark.parametrize(
    ("seconds", "preset", "message"),
    [(1.0, "default", "too short to start"), (60.0, NOTEBOOK, "trains its number of epochs")],
)
def test_mistakes_are_found_before_anything_is_read(seconds, preset, message):
    with pytest.raises(UserError, match=message):
        check_time_budget(seconds, preset)
    check_time_budget(0.0, preset)


# Far more steps than there is time for.
SETTINGS = {
    "steps": 1_000_000,
    "validations": 10_000,
    "patience": 10_000,
    "dimension": 8,
    "hidden_units": 16,
    "rating_weights": 4,
    "sweeps": 40_000,
    "item_item_rank": 8,
    "final_refit": 0.1,
}
BUDGET = 30.0


def _command(world, output, root):
    return [
        *(sys.executable, "-m", "pipelines.cli", "train", "--time-budget", f"{BUDGET:g}"),
        *("--interactions", str(world.interactions), "--vocabulary", str(world.vocabulary)),
        *("--checkpoint-root", str(root), "--output", str(output), "--train-settings", json.dumps(SETTINGS)),
    ]


def _assert_kept(output):
    record, log = read_record(output), read_log(output)
    assert record.shortened
    assert record.time_budget == BUDGET
    assert log[-1].step < record.steps < SETTINGS["steps"]


@pytest.mark.slow
def test_the_whole_step_takes_the_time_that_it_is_given(world, tmp_path):
    subprocess.run(_command(world, tmp_path / "model", tmp_path / "root"), check=True, capture_output=True)
    _assert_kept(tmp_path / "model")
    seconds = json.loads((tmp_path / "model" / "step.json").read_text())["seconds"]
    assert seconds == pytest.approx(BUDGET, rel=0.1)


@pytest.mark.slow
def test_killed_and_started_again_it_takes_what_was_left(world, tmp_path):
    command = _command(world, tmp_path / "model", tmp_path / "root")
    started = time.monotonic()
    killed = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, bufsize=1)
    assert killed.stderr is not None
    validated = 0
    for line in killed.stderr:
        validated += "train: step" in line
        # What comes before the second validation is in a checkpoint.
        if validated > 1 and time.monotonic() - started > BUDGET / 3:
            break
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    spent = time.monotonic() - started
    said = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    assert "resuming" in said
    _assert_kept(tmp_path / "model")
    seconds = json.loads((tmp_path / "model" / "step.json").read_text())["seconds"]
    # Not counted are the starts of two interpreters, and what the first did after its last checkpoint.
    assert spent + seconds == pytest.approx(BUDGET, rel=0.2)

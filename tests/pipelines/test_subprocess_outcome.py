"""A step that a signal ended."""

import pytest
from kfp.local import subprocess_task_handler

from components.registry.registry import Registry
from components.step import OUTCOMES, failure
from pipelines.local import tell_signals
from pipelines.run import run_pipeline

pytestmark = pytest.mark.process


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(
        subprocess_task_handler, "run_local_subprocess", subprocess_task_handler.run_local_subprocess
    )
    tell_signals()
    return lambda script: subprocess_task_handler.run_local_subprocess(["sh", "-c", script])


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", "the step was killed (SIGKILL), most often because the machine ran out of memory"),
        ("sh -c 'kill -9 $$'; exit $?", "the step was killed (SIGKILL)"),
        ("kill -SEGV $$", "the step was ended by SIGSEGV; the same command again goes on"),
    ],
)
def test_the_signal_is_named(run, capfd, script, said):
    assert run(script) != 0
    assert said in capfd.readouterr().err


def test_a_step_that_was_killed_leaves_its_outcome(run, monkeypatch, tmp_path):
    monkeypatch.setenv(OUTCOMES, str(tmp_path))
    subprocess_task_handler.run_local_subprocess(["sh", "-c", "kill -9 $$", "--function_to_execute", "train"])
    assert failure().startswith("train: the step was killed (SIGKILL)")


@pytest.mark.parametrize("status", [0, 1, 2, 255])
def test_an_exit_of_its_own_is_not(run, capfd, status):
    assert run(f"exit {status}") == status
    assert capfd.readouterr().err == ""


def test_a_run_that_its_user_interrupts_is_recorded(tmp_path, monkeypatch):
    def watch(happened):
        if happened.kind == "started":
            raise KeyboardInterrupt

    ratings = tmp_path / "r.csv"
    ratings.write_text("userId,movieId,rating\n1,1,4\n")
    registry = str(tmp_path / "registry")
    with pytest.raises(KeyboardInterrupt):
        run_pipeline({"ratings": str(ratings), "registry": registry}, str(tmp_path / "work"), watch=watch)
    [record], _ = Registry(registry).runs.newest_first()
    assert (record.outcome, record.reason) == ("cancelled", "it was interrupted in the step prepare")

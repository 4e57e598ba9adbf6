"""A step that a signal ended."""

import pytest
from kfp.local import subprocess_task_handler

from pipelines.local import tell_signals

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


@pytest.mark.parametrize("status", [0, 1, 2, 255])
def test_an_exit_of_its_own_is_not(run, capfd, status):
    assert run(f"exit {status}") == status
    assert capfd.readouterr().err == ""

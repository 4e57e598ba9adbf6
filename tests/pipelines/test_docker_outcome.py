"""A container that is said to have succeeded."""

import json

import pytest
from kfp import local
from kfp.local.docker_task_handler import DockerTaskHandler
from kfp.local.status import Status

from pipelines.local import require_outputs


@pytest.fixture
def ended(monkeypatch, tmp_path):
    """Runs a step whose container ends as is said, and tells what is made of it."""

    def run(status: Status, *, outputs: bool) -> Status:
        file = tmp_path / "train" / "executor_output.json"
        if outputs:
            file.parent.mkdir()
            file.write_text("{}")
        given = json.dumps({"outputs": {"outputFile": str(file)}})
        command = ["sh", "-c", "…", "--executor_input", given, "--function_to_execute", "train"]
        monkeypatch.setattr(DockerTaskHandler, "run", lambda self: status)
        require_outputs()
        return DockerTaskHandler("twotower:1", command, str(tmp_path), local.DockerRunner()).run()

    return run


def test_a_success_without_outputs_is_a_failure_and_names_the_image(ended, capfd):
    assert ended(Status.SUCCESS, outputs=False) == Status.FAILURE
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("twotower: a container of twotower:1 ")


def test_a_success_with_outputs_is_one(ended, capfd):
    assert ended(Status.SUCCESS, outputs=True) == Status.SUCCESS
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("outputs", [False, True])
def test_a_failure_stays_one(ended, outputs):
    assert ended(Status.FAILURE, outputs=outputs) == Status.FAILURE

"""Whether a container did what KFP's DockerRunner says it did."""

import json
from pathlib import Path

from components.progress import log


def require_outputs() -> None:
    """Makes a step fail whose container is said to have succeeded and left nothing.

    The runner takes a container that is gone before it is asked how it ended for one that succeeded
    (kubeflow/pipelines #13332), and keeps the missing outputs in its cache for the runs to come.
    """
    from kfp.local import docker_task_handler, status

    handler = docker_task_handler.DockerTaskHandler
    run = handler.run

    def run_and_look(self: docker_task_handler.DockerTaskHandler) -> status.Status:
        ended: status.Status = run(self)
        if ended != status.Status.SUCCESS or _output_file(self.full_command).exists():
            return ended
        log(
            f"a container of {self.image} ended without a word and left no outputs; look whether "
            f"`docker run --rm {self.image} twotower --version` answers"
        )
        return status.Status.FAILURE

    handler.run = run_and_look


def _output_file(command: list[str]) -> Path:
    """The file that KFP's executor writes last, whatever a step's own outputs are."""
    executor_input = json.loads(command[command.index("--executor_input") + 1])
    return Path(executor_input["outputs"]["outputFile"])

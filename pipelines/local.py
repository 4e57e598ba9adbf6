"""Process in which the local runner of KFP executes the compiled pipeline; `run.py` starts it."""

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from components.documents import Document, read_document
from components.progress import log
from components.step import StepOutcome, report_outcome


def require_outputs() -> None:
    """Makes a step fail whose container left no outputs, although the runner reports a success.

    The runner reports a success for a container that is gone before its status is read (kubeflow/pipelines
    #13332), and caches the missing outputs.
    """
    from kfp.local import docker_task_handler, status

    handler = docker_task_handler.DockerTaskHandler
    run = handler.run

    def run_and_look(self: docker_task_handler.DockerTaskHandler) -> status.Status:
        ended: status.Status = run(self)
        executor_input = json.loads(self.full_command[self.full_command.index("--executor_input") + 1])
        # The executor of KFP writes this file last, for any step.
        if ended != status.Status.SUCCESS or Path(executor_input["outputs"]["outputFile"]).exists():
            return ended
        log(
            f"a container of {self.image} ended without a word and left no outputs; look whether "
            f"`docker run --rm {self.image} twotower --version` answers"
        )
        return status.Status.FAILURE

    handler.run = run_and_look


# Precedes the name of the step's function in the command line of KFP's executor.
_FUNCTION = "--function_to_execute"

# The exit status of a shell whose command was ended by a signal is the number of the signal plus this.
_BY_SIGNAL = 128


def tell_signals() -> None:
    """Makes the runner report a step that a signal ended, since a killed process cannot do it."""
    from kfp.local import subprocess_task_handler

    run = subprocess_task_handler.run_local_subprocess

    def run_and_tell(full_command: list[str], **options: object) -> int:
        status: int = run(full_command, **options)
        if said := _signal(status):
            log(said)
            name = full_command[full_command.index(_FUNCTION) + 1] if _FUNCTION in full_command else "step"
            report_outcome(
                StepOutcome(step=name, seconds=0.0, peak_memory_bytes=0, status="failed", error=said)
            )
        return status

    subprocess_task_handler.run_local_subprocess = run_and_tell


def _signal(status: int) -> str:
    """Describes the signal of an exit status in a sentence; "" for another exit status."""
    number = -status if status < 0 else status - _BY_SIGNAL
    if number not in set(signal.Signals):
        return ""
    if number == signal.SIGKILL:
        return "the step was killed (SIGKILL), most often because the machine ran out of memory"
    name = signal.Signals(number).name
    return f"the step was ended by {name}; the same command again goes on with it"


class LocalPlan(Document):
    """A run on this machine."""

    package: str  # the file of the compiled pipeline, which gets the arguments
    arguments: dict[str, Any]
    pipeline_root: str  # directory for the outputs of the steps
    cache_root: str
    docker: dict[str, Any] | None  # arguments of the DockerRunner of KFP; None for its SubprocessRunner


def execute(plan: LocalPlan) -> None:
    """Executes the pipeline of `plan`."""
    from kfp import components, local

    # KFP reports cached steps on the root logger, which it configures only while a step runs.
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    if plan.docker is None:
        tell_signals()
        runner = local.SubprocessRunner(use_venv=False)
    else:
        from docker.types import Mount

        require_outputs()
        mounts = [
            Mount(target=path, source=path, type="bind", read_only=read_only)
            for path, read_only in plan.docker["mounts"]
        ]
        runner = local.DockerRunner(**{**plan.docker, "mounts": mounts})
    local.init(runner, pipeline_root=plan.pipeline_root, enable_caching=True, cache_root=plan.cache_root)
    package = for_one_machine(Path(plan.package).read_text("utf-8"), plan.arguments["image"])
    components.load_component_from_text(package)(**plan.arguments)


def for_one_machine(package: str, image: str) -> str:
    """Adapts the compiled pipeline to one machine.

    Removes retries, since a second attempt would have the same fault; sets `image` in each step, since the
    DockerRunner of KFP does not resolve the parameter of the pipeline; and names in each condition the step
    and the output that it reads, since the local orchestrator of KFP finds neither by the task's input.
    """
    documents = list(yaml.safe_load_all(package))
    components = documents[0]["components"].values()
    for dag in [documents[0]["root"]["dag"], *(c["dag"] for c in components if "dag" in c)]:
        for task in dag["tasks"].values():
            task.pop("retryPolicy", None)
            if "condition" in task.get("triggerPolicy", {}):
                _name_outputs(task)
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    return yaml.safe_dump_all(documents)


def _name_outputs(task: dict[str, Any]) -> None:
    for name, source in task["inputs"]["parameters"].items():
        if output := source.get("taskOutputParameter"):
            # KFP's local ConditionEvaluator parses this form.
            found = f"pipelinechannel--{output['producerTask']}--{output['outputParameterKey']}"
            policy = task["triggerPolicy"]
            policy["condition"] = policy["condition"].replace(f"['{name}']", f"['{found}']")


def _end_with_parent() -> None:
    # Not sys.stdin: this thread would hold its lock when the interpreter ends.
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Executes the plan in the file that the command line names."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    execute(read_document(sys.argv[1], LocalPlan))


if __name__ == "__main__":
    main()

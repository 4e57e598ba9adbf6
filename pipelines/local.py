"""The process in which KFP's own local runner executes the compiled pipeline; `run.py` starts it.

Standard input is a pipe from the parent. When it closes, because the parent has ended in whatever way, this
process ends itself and its whole group: KFP would leave the running step alive. Nothing is lost by that,
since a step writes its output whole or not at all.
"""

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import yaml

from pipelines.docker_outcome import require_outputs
from pipelines.subprocess_outcome import tell_signals


def execute(plan: dict[str, Any]) -> None:
    """Executes `plan["package"]`, a compiled pipeline, with `plan["arguments"]`.

    `plan["docker"]` holds the arguments of KFP's DockerRunner, or is None for its SubprocessRunner.
    """
    from kfp import components, local

    # KFP says what it takes from its cache on the root logger, and sets that up only while a step runs.
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    if plan["docker"] is None:
        tell_signals()
        runner = local.SubprocessRunner(use_venv=False)
    else:
        require_outputs()
        runner = local.DockerRunner(**_with_mounts(plan["docker"]))
    local.init(
        runner,
        pipeline_root=plan["pipeline_root"],
        enable_caching=True,
        cache_root=plan["cache_root"],
    )
    package = for_one_machine(Path(plan["package"]).read_text("utf-8"), plan["arguments"]["image"])
    components.load_component_from_text(package)(**plan["arguments"])


def for_one_machine(package: str, image: str) -> str:
    """The pipeline as one machine runs it.

    No step is started twice, since a second try would meet the same fault. And each step names `image`
    itself: KFP's DockerRunner does not resolve the pipeline's parameter.
    """
    documents = list(yaml.safe_load_all(package))
    components = documents[0]["components"].values()
    for dag in [documents[0]["root"]["dag"], *(c["dag"] for c in components if "dag" in c)]:
        for task in dag["tasks"].values():
            task.pop("retryPolicy", None)
    for executor in documents[0]["deploymentSpec"]["executors"].values():
        executor["container"]["image"] = image
    return yaml.safe_dump_all(documents)


def _with_mounts(arguments: dict[str, Any]) -> dict[str, Any]:
    from docker.types import Mount

    mounts = [
        Mount(target=path, source=path, type="bind", read_only=read_only)
        for path, read_only in arguments["mounts"]
    ]
    return {**arguments, "mounts": mounts}


def _end_with_parent() -> None:
    # Not through sys.stdin, whose lock this thread would hold when the interpreter ends.
    while os.read(0, 1):
        pass
    os.killpg(0, signal.SIGKILL)


def main() -> None:
    """Reads the plan from the file that is named on the command line, and executes it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    execute(json.loads(Path(sys.argv[1]).read_text("utf-8")))


if __name__ == "__main__":
    main()

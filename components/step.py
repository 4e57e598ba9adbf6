"""What every step does around its work when it runs inside a pipeline."""

import functools
import inspect
import json
import os
import resource
import shlex
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from components.errors import UserError
from components.outputs import write_json
from components.progress import log

# Where a step leaves its own duration and peak memory, inside the directory that it writes.
STEP_FILE = "step.json"

P = ParamSpec("P")
R = TypeVar("R")


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Marks the function behind a component and a subcommand of the same name.

    Such a function takes keyword arguments only; `output` is the directory that it writes. The step's
    duration and peak memory are left in it. Inside a pipeline, the equivalent `twotower …` line is logged
    first, and a `UserError` ends the process with one line and status 2.
    """

    @functools.wraps(function)
    def run(*args: P.args, **arguments: P.kwargs) -> R:
        if os.environ.get("_KFP_RUNTIME") != "true":
            return _timed(function, arguments)
        log(f"to repeat this step: {command_line(function, arguments)}")
        try:
            return _timed(function, arguments)
        except UserError as error:
            print(f"error: {error}", file=sys.stderr, flush=True)
            sys.exit(2)

    return run


def command_line(function: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """The `twotower …` line that calls `function` with `arguments`; defaults are left out."""
    words = ["twotower", function.__name__.replace("_", "-")]
    parameters = inspect.signature(function).parameters
    for name, value in arguments.items():
        if name not in parameters or value == parameters[name].default or name.endswith("_metadata"):
            continue
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{flag[2:]}")
        else:
            words += [flag, json.dumps(value) if isinstance(value, dict) else str(value)]
    return shlex.join(words)


def _timed(function: Callable[..., R], arguments: dict[str, Any]) -> R:
    started = time.monotonic()
    result = function(**arguments)
    output = arguments.get("output")
    if output is not None and Path(output).is_dir():
        record = {
            "step": function.__name__,
            "seconds": round(time.monotonic() - started, 3),
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }
        write_json(Path(output) / STEP_FILE, record)
    return result

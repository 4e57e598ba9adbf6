"""What every step does around its work when it runs inside a pipeline."""

import functools
import inspect
import json
import os
import resource
import shlex
import sys
import time
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from components.declaration import check_inputs
from components.errors import UserError
from components.outputs import write_json
from components.progress import log

# Where a step leaves its own duration and peak memory, and those of the steps before it, inside each
# directory that it writes.
STEP_FILE = "step.json"

P = ParamSpec("P")
R = TypeVar("R")

# The name of the step that is running, and when it began, by the monotonic clock.
_RUNNING: ContextVar[tuple[str, float]] = ContextVar("running step")


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Marks the function behind a component and a subcommand of the same name.

    Such a function takes keyword arguments only and declares each of them once: its annotation has the type
    and the range, which is checked here, and its docstring the help text. `output` and any `…_output` are the
    directories that it writes. The step's duration and peak memory are left in them, with what its inputs say
    of the steps before it: so the artifacts that the last step is given tell of the whole run. Inside a
    pipeline, the equivalent `twotower …` line is logged first, a `UserError` ends the process with one line
    and status 2, and any other error is named in one line before its traceback.
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
        except Exception as error:
            log(f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            raise

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


def step_records(directories: Iterable[str | Path]) -> list[dict[str, Any]]:
    """What the steps that wrote `directories`, and those before them, left of themselves, in order.

    Each has "step", "seconds" and "peak_memory_bytes". A directory without a record, or with a broken one, is
    passed over: a record is no reason to fail.
    """
    records: dict[str, dict[str, Any]] = {}
    for directory in directories:
        try:
            own = json.loads((Path(directory) / STEP_FILE).read_text(encoding="utf-8"))
            before = own.pop("before", [])
            for record in [*before, own]:
                records.setdefault(record["step"], record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return list(records.values())


def so_far() -> dict[str, Any]:
    """What the step that is running would leave of itself if it ended now, for its last words.

    Raises:
      LookupError: if no step is running.
    """
    name, started = _RUNNING.get()
    return {
        "step": name,
        "seconds": round(time.monotonic() - started, 3),
        "peak_memory_bytes": _peak_memory(),
    }


def _timed(function: Callable[..., R], arguments: dict[str, Any]) -> R:
    check_inputs(function, arguments)
    # Read now: an output may replace an input.
    before = step_records(value for name, value in arguments.items() if _is_input(name, value))
    outer = _RUNNING.set((function.__name__, time.monotonic()))
    try:
        result = function(**arguments)
        record = {**so_far(), "before": [one for one in before if one["step"] != function.__name__]}
    finally:
        _RUNNING.reset(outer)
    for name, value in arguments.items():
        if _is_output(name) and value and Path(value).is_dir():
            write_json(Path(value) / STEP_FILE, record)
    return result


def _peak_memory() -> int:
    """The most memory that this process has held, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except (OSError, IndexError):
        # Not Linux itself. The second best: it may be the peak of the process that started this one.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _is_input(name: str, value: Any) -> bool:
    return isinstance(value, str) and bool(value) and not _is_output(name) and "://" not in value


def _is_output(name: str) -> bool:
    return name == "output" or name.endswith("_output")

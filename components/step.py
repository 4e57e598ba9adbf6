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

import msgspec

from components.declaration import check_inputs
from components.documents import Document, read_document, write_document
from components.errors import UserError
from components.progress import log

# Where a step leaves its own duration and peak memory, and those of the steps before it, inside each
# directory that it writes.
STEP_FILE = "step.json"

P = ParamSpec("P")
R = TypeVar("R")

# The name of the step that is running, and when it began, by the monotonic clock.
_RUNNING: ContextVar[tuple[str, float]] = ContextVar("running step")


class StepRecord(Document):
    """Time and memory that a step took.

    Attributes:
      step: its name.
      seconds: its duration.
      peak_memory_bytes: the most memory that its process has held.
    """

    step: str
    seconds: float
    peak_memory_bytes: int


class _StepFile(StepRecord):
    """A `step.json`: the record of the step that wrote the directory, and of the steps before it."""

    before: list[StepRecord] = msgspec.field(default_factory=list)


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


def step_records(directories: Iterable[str | Path]) -> list[StepRecord]:
    """Returns the records of the steps that wrote `directories` and of those before them, in order.

    A directory without a record, or with a broken one, is passed over: a record is no reason to fail.
    """
    records: dict[str, StepRecord] = {}
    for directory in directories:
        try:
            file = read_document(Path(directory) / STEP_FILE, _StepFile)
        except (UserError, ValueError):  # ValueError: the path holds a NUL
            continue
        for record in (*file.before, _own(file)):
            records.setdefault(record.step, record)
    return list(records.values())


def _own(file: StepRecord) -> StepRecord:
    return StepRecord(step=file.step, seconds=file.seconds, peak_memory_bytes=file.peak_memory_bytes)


def so_far() -> StepRecord:
    """Returns the record of the step that is running, as if it ended now.

    Raises:
      LookupError: if no step is running.
    """
    name, started = _RUNNING.get()
    seconds = round(time.monotonic() - started, 3)
    return StepRecord(step=name, seconds=seconds, peak_memory_bytes=_peak_memory())


def _timed(function: Callable[..., R], arguments: dict[str, Any]) -> R:
    check_inputs(function, arguments)
    # Read now: an output may replace an input.
    before = step_records(value for name, value in arguments.items() if _is_input(name, value))
    outer = _RUNNING.set((function.__name__, time.monotonic()))
    try:
        result = function(**arguments)
        others = [one for one in before if one.step != function.__name__]
        record = _StepFile(**msgspec.structs.asdict(so_far()), before=others)
    finally:
        _RUNNING.reset(outer)
    for name, value in arguments.items():
        if _is_output(name) and value and Path(value).is_dir():
            write_document(Path(value) / STEP_FILE, record)
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

"""Work around every step: checks of its inputs, its time and memory, and its outcome."""

import functools
import inspect
import json
import os
import resource
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

import msgspec

from components.declaration import check_inputs
from components.documents import Document, decode, plain, read_document, write_document
from components.errors import UserError
from components.progress import log

# The file of a step's duration and peak memory, and of those before it, in each directory that it writes.
STEP_FILE = "step.json"

# Begins the first line of a step's own in the log of a pipeline.
TO_REPEAT = "to repeat this step"

# Beside the parts of a table, tells whoever reads such tables, as Spark does, that all are there; any other
# file beside them would be read as data.
TABLE_IS_WHOLE = "_SUCCESS"

# A directory where steps leave their outcomes, `<step>.json`, for the program that started them.
OUTCOMES = "TWOTOWER_OUTCOMES"

# The right of others than the owner and the group to change a file.
_OF_OTHERS = 0o002

P = ParamSpec("P")
R = TypeVar("R")


class StepRecord(Document):
    """Time and memory that a step took."""

    step: str
    seconds: float
    peak_memory_bytes: int  # the most memory that its process has held


class _StepFile(StepRecord):
    """A `step.json`: the record of the step that wrote the directory, and of the steps before it."""

    before: list[StepRecord] = msgspec.field(default_factory=list)


class StepOutcome(StepRecord):
    """End of a step, for programs: the last line of its log, and a file in the directory OUTCOMES."""

    format: Literal[1] = 1
    status: Literal["succeeded", "mistake", "failed"]  # "mistake" if the user can mend it: exit status 2
    error: str = ""  # one line; "" if the step succeeded
    run_record: str = ""  # place of the run record that the step wrote or completed; "" if none
    outcome: str = ""  # the run's outcome in that record
    version: str = ""  # the version that the run made; "" if none
    reason: str = ""  # of the run's outcome, in that record


@dataclass
class _Running:
    """The step that is running: its name, its start by the monotonic clock, and facts for its outcome."""

    name: str
    started: float = field(default_factory=time.monotonic)
    facts: dict[str, Any] = field(default_factory=dict)

    def record(self) -> StepRecord:
        seconds = round(time.monotonic() - self.started, 3)
        return StepRecord(step=self.name, seconds=seconds, peak_memory_bytes=_peak_memory())


_RUNNING: ContextVar[_Running] = ContextVar("running step")


def step(function: Callable[P, R]) -> Callable[P, R]:
    """Marks the function behind a component and a subcommand of the same name.

    Such a function takes keyword arguments only and declares each of them once: its annotation has the type
    and the range, which is checked here, and its docstring the help text. `output` and any `…_output` are the
    directories that it writes. The step's duration and peak memory are left in them, with what its inputs say
    of the steps before it: so the artifacts that the last step is given tell of the whole run.

    Inside a pipeline, others than the user and its group may only read what it writes. The equivalent
    `twotower …` line is logged first and the outcome is reported last. A `UserError` ends the process with
    one line and status 2, any other error with its traceback and status 1.
    """

    @functools.wraps(function)
    def run(*args: P.args, **arguments: P.kwargs) -> R:
        if os.environ.get("_KFP_RUNTIME") != "true":
            return _timed(function, arguments, _Running(function.__name__))
        # Argo starts a step with the mask 0: what it writes on a volume would be for anybody to change. The
        # group may, since some clusters give each pod another user of one group.
        os.umask(os.umask(_OF_OTHERS) | _OF_OTHERS)
        log(f"{TO_REPEAT}: {command_line(function, arguments)}")
        with reported(function.__name__) as running:
            return _timed(function, arguments, running)

    return run


@contextmanager
def reported(name: str) -> Iterator[_Running]:
    """Reports the outcome of the step `name`, which runs in the block; after an error it ends the process."""
    running = _Running(name)
    status, error, code = "succeeded", "", 0
    try:
        yield running
    except UserError as mistake:
        status, error, code = "mistake", str(mistake), 2
        print(f"error: {error}", file=sys.stderr, flush=True)
    except Exception as failure:
        traceback.print_exc()
        status, error, code = "failed", f"unexpected {type(failure).__name__}: {failure}", 1
        error = " ".join(error.split())[:300]
        log(error)
    outcome = {**msgspec.structs.asdict(running.record()), "status": status, "error": error, **running.facts}
    report_outcome(StepOutcome(**outcome))
    if code:
        sys.exit(code)


def add_to_outcome(**facts: str) -> None:
    """Adds fields of `StepOutcome` to the outcome of the step that is running, if there is one."""
    running = _RUNNING.get(None)
    if running is not None:
        running.facts |= facts


def report_outcome(outcome: StepOutcome) -> None:
    """Prints an outcome as one line of JSON, and leaves it where the program that started the step asks."""
    print(json.dumps(plain(outcome), ensure_ascii=False), file=sys.stderr, flush=True)
    if directory := os.environ.get(OUTCOMES):
        write_document(Path(directory) / f"{outcome.step}.json", outcome)


def last_outcome(lines: Iterable[str]) -> StepOutcome | None:
    """Returns the outcome in the last line of a log that holds one."""
    for line in reversed([line for line in lines if line.startswith('{"step"')]):
        try:
            return decode(line.encode(), StepOutcome, "the log")
        except UserError:
            continue
    return None


def read_outcomes(directory: Path) -> list[StepOutcome]:
    """Returns the outcomes that steps left in a directory, in the order of their ends."""
    files = sorted(directory.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    return [read_document(file, StepOutcome) for file in files]


def failure() -> str:
    """Returns name and error of the last step that failed, where steps leave outcomes; "" if none did."""
    directory = os.environ.get(OUTCOMES)
    ends = read_outcomes(Path(directory)) if directory else []
    return next((f"{one.step}: {one.error}" for one in reversed(ends) if one.status != "succeeded"), "")


def command_line(function: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """Returns the `twotower …` line that calls `function` with `arguments`; defaults are left out."""
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
        own = StepRecord(step=file.step, seconds=file.seconds, peak_memory_bytes=file.peak_memory_bytes)
        for record in (*file.before, own):
            records.setdefault(record.step, record)
    return list(records.values())


def so_far() -> StepRecord:
    """Returns the record of the running step, as if it ended now. Raises `LookupError` if none is."""
    return _RUNNING.get().record()


def _timed(function: Callable[..., R], arguments: dict[str, Any], running: _Running) -> R:
    check_inputs(function, arguments)
    # Read now: an output may replace an input.
    before = step_records(value for name, value in arguments.items() if _is_input(name, value))
    outer = _RUNNING.set(running)
    try:
        result = function(**arguments)
        others = [one for one in before if one.step != function.__name__]
        record = _StepFile(**msgspec.structs.asdict(so_far()), before=others)
    finally:
        _RUNNING.reset(outer)
    for name, value in arguments.items():
        if _is_output(name) and value and Path(value).is_dir() and not Path(value, TABLE_IS_WHOLE).exists():
            write_document(Path(value) / STEP_FILE, record)
    return result


def _peak_memory() -> int:
    """Returns the most memory that this process has held, in bytes."""
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

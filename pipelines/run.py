"""Runs the pipeline on this machine with the runners of KFP, and parses their log."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import components
from components.declaration import join_names
from components.documents import write_document
from components.errors import UserError
from components.image import IMAGE
from components.ingest.containers.archives import split_member
from components.ingest.inputs import STDIN, words
from components.outputs import delete_abandoned, staging_directory
from components.progress import PREFIX, TRANSIENT
from components.registry.registry import Registry
from components.registry.run_records import CANCELLED, RunRecord, run_id_by_time
from components.step import OUTCOMES, TO_REPEAT, read_outcomes
from pipelines.compiled import check_pipeline_inputs, compile_pipeline
from pipelines.local import LocalPlan


def _local(paths: str) -> list[Path]:
    return [Path(path) for path in words(paths) if "://" not in path]


def _require_engine() -> None:
    import docker

    try:
        docker.from_env().close()  # requests the version of the engine
    except docker.errors.DockerException as error:
        raise UserError(
            "--runner docker: no Docker engine answers; start one, or use --runner subprocess"
        ) from error


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([\w-]+)'")
_ENDED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")
_CACHED = re.compile(r"Task ([\w-]+) cache hit")


@dataclass(frozen=True)
class Event:
    """Event of a run that is shown: `subject` is the name of a step or a line of text."""

    kind: Literal["started", "ended", "failed", "cached", "line", "progress"]
    subject: str


def event(line: str) -> Event | None:
    """Parses a line of the log; None if it is not an event."""
    text = _COLOUR.sub("", line).rstrip()
    if match := _STARTED.search(text):
        return Event("started", match[1])
    if match := _ENDED.search(text):
        return Event("ended" if match[2] == "SUCCESS" else "failed", match[1])
    if match := _CACHED.search(text):
        return Event("cached", match[1])
    _, found, rest = text.partition(PREFIX)
    if not found or rest.startswith(TO_REPEAT):
        return None
    return Event("progress", rest) if rest.startswith(TRANSIENT) else Event("line", rest)


# Parameters that are paths: of inputs, and of outputs.
_READ = ("ratings", "movies", "test_ratings", "forget")
_WRITTEN = ("registry", "checkpoint_root")


@dataclass(frozen=True)
class Outcome:
    """Outcome of a run."""

    record: str  # directory of the run record, "" if the run ended before there was one
    log: Path  # file with the output of KFP and the steps
    errors: tuple[str, ...]  # messages of the steps about mistakes of the user
    failed: tuple[str, ...]  # steps that failed
    recommendations: str = ""  # file or directory with those to all users; "" if none were asked for


def run_pipeline(
    parameters: dict[str, Any],
    workspace: str,
    runner: str = "subprocess",
    watch: Callable[[Event], None] = lambda _: None,
) -> Outcome:
    """Runs the compiled pipeline with `parameters` and waits for its end.

    Raises `UserError` if a path cannot be used, no Docker engine answers, or `workers` is not 1.

    Args:
        parameters: Parameters of the pipeline by name; the others have their defaults.
        workspace: Directory for step outputs, cache, checkpoints and logs. A later run with the same inputs
            executes only the steps that did not end, or that are never cached.
        runner: "subprocess", or "docker" for the image `parameters["image"]`.
        watch: Called with every event of the run.
    """
    if parameters.get("workers", 1) != 1:
        raise UserError(
            f"--workers {parameters['workers']}: on this machine one process trains, on all its GPUs; "
            "leave it out, or send the run to a cluster with `twotower submit`"
        )
    check_pipeline_inputs(parameters)
    root = Path(workspace).resolve()
    arguments = _absolute(spool_stdin(parameters, root / "inputs"))
    arguments.setdefault("image", IMAGE)
    arguments["checkpoint_root"] = arguments.get("checkpoint_root") or str(root / "checkpoints")
    _refuse_python3(root, arguments)
    log = root / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    outcomes = log.with_suffix(".outcomes")
    try:
        outcomes.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--work-dir {workspace}: {error.strerror}; name another directory") from error
    plan = LocalPlan(
        package=str(compile_pipeline(log.with_suffix(".yaml"))),
        arguments=arguments,
        pipeline_root=str(root / "steps"),
        cache_root=str(root / "cache" / _code_digest()),
        docker=docker_arguments(arguments, outcomes) if runner == "docker" else None,
    )
    # A killed step may have left tens of GB.
    delete_abandoned((root / "steps").glob("*/*/.*"))
    plan_file = log.with_suffix(".json")
    write_document(plan_file, plan)
    failed: dict[str, None] = {}
    step = ""
    try:
        with _started(plan_file, log, outcomes) as process:
            for happened in _follow(log, process):
                if happened.kind == "failed":
                    failed[happened.subject] = None
                elif happened.kind == "started":
                    step = happened.subject
                watch(happened)
    except KeyboardInterrupt:
        _record_interrupt(arguments["registry"], log, step)
        raise
    ends = read_outcomes(outcomes)
    return Outcome(
        record=next((one.run_record for one in reversed(ends) if one.run_record), ""),
        log=log,
        errors=tuple(one.error for one in ends if one.status == "mistake"),
        failed=tuple(failed),
        recommendations=_recommendations(log) if arguments.get("batch_k") else "",
    )


def _recommendations(log: Path) -> str:
    """Finds what the step `batch` wrote in the log, where KFP names the outputs of cached steps too."""
    named = re.findall(r"uri='([^']*/batch/recommendations)'", log.read_text("utf-8", errors="replace"))
    return next((place for place in reversed(named) if Path(place).exists()), "")


_RUN_ID = re.compile(re.escape(TO_REPEAT) + r".* --run-id (\S+)")


def _record_interrupt(registry: str, log: Path, step: str) -> None:
    """Writes the record of a run that its user ended with Ctrl-C, unless it has one."""
    found = _RUN_ID.search(log.read_text("utf-8", errors="replace"))
    run_id = found[1] if found else run_id_by_time()
    reason = f"it was interrupted in the step {step}" if step else "it was interrupted before its first step"
    with suppress(UserError):  # nobody can be told any more, and a record is no reason to fail
        records = Registry(registry).runs
        if records.read(run_id) is None:
            records.write(RunRecord(run_id=run_id, outcome=CANCELLED, reason=reason), {})


_ENVIRONMENT = {"PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1"}


@contextmanager
def _started(plan: Path, log: Path, outcomes: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts the runner in a new process group, and kills the group on exit."""
    with (
        log.open("wb") as output,
        # KFP's executor leaves a folder for each step.
        staging_directory(log.parent / "temporary") as scratch,
        subprocess.Popen(
            [sys.executable, "-m", "pipelines.local", str(plan)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **_ENVIRONMENT, "TMPDIR": str(scratch), OUTCOMES: str(outcomes)},
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def _follow(log: Path, process: subprocess.Popen[bytes]) -> Iterator[Event]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        pending = ""
        while True:
            ended = process.poll() is not None
            for part in iter(lines.readline, ""):
                pending += part
                if pending.endswith("\n"):
                    happened = event(pending)
                    pending = ""
                    if happened is not None:
                        yield happened
            if ended:
                return
            time.sleep(0.1)


def spool_stdin(parameters: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Copies the standard input to a file in `directory` where an input is "-": no step has it.

    Returns the parameters with that file. Raises `UserError` if several inputs are "-".
    """
    named = [name for name in _READ if parameters.get(name) == STDIN]
    if len(named) > 1:
        raise UserError(
            f"{' and '.join(map(_flag, named))} are the standard input; give a file for one of them"
        )
    for name in named:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory, delete=False) as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
        # Named by its content, so that a repeated run finds its steps in the cache.
        with Path(copy.name).open("rb") as content:
            target = directory / hashlib.file_digest(content, "sha256").hexdigest()[:16]
        Path(copy.name).replace(target)
        parameters = {**parameters, name: str(target)}
    return parameters


def _absolute(parameters: dict[str, Any]) -> dict[str, Any]:
    """Makes local paths absolute, since the steps run in another process, or in a container."""
    arguments = dict(parameters)
    for name in (*_READ, *_WRITTEN):
        parts = words(str(arguments.get(name, "")))
        absolute = [part if "://" in part else os.path.abspath(part) for part in parts]  # noqa: PTH100
        if parts:
            commas = len(parts) > 1 and any("," in part for part in absolute)
            arguments[name] = join_names(absolute) if commas else ",".join(absolute)
    return arguments


def _refuse_python3(workspace: Path, arguments: dict[str, Any]) -> None:
    # The SubprocessRunner of KFP replaces this word by the path of its interpreter, wherever it stands.
    named = {"--work-dir": str(workspace), **{_flag(name): value for name, value in arguments.items()}}
    for flag, value in named.items():
        if "python3" in json.dumps(value):
            raise UserError(
                f"{flag} {value}: KFP's local runner replaces the word 'python3' in it; "
                "move or link the file to a path without that word"
            )


def _flag(parameter: str) -> str:
    return f"--{parameter.replace('_', '-')}"


def docker_arguments(arguments: dict[str, Any], outcomes: Path) -> dict[str, Any]:
    """Returns the arguments of the DockerRunner: inputs are mounted read-only, outputs belong to the caller.

    Raises `UserError` if an input is missing, or no Docker engine answers.
    """
    _require_engine()
    mounts: dict[str, bool] = {}
    for name in _READ:
        for path in _local(arguments.get(name, "")):
            archive = Path(split_member(str(path))[0])
            source = path.parent if "*" in path.name else archive
            if not source.exists():
                raise UserError(f"{_flag(name)} {path}: no such file; name one that is there")
            mounts[str(source)] = True
    for path in (outcomes, *(path for name in _WRITTEN for path in _local(arguments.get(name, "")))):
        path.mkdir(parents=True, exist_ok=True)
        mounts[str(path)] = False
    return {
        "mounts": sorted(mounts.items()),
        "user": f"{os.getuid()}:{os.getgid()}",
        "environment": {"HOME": "/tmp", OUTCOMES: str(outcomes)},
    }


def _code_digest() -> str:
    """Computes a digest of the code, so that an edited step is executed again: KFP compares images only."""
    digest = hashlib.sha256()
    for source in sorted(Path(components.__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]

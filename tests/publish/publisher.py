"""Publishes in processes that can race and be killed, without the second that each would need to start.

Reads a request a line, a JSON object:
  runs: the arguments of the step `publish`, a process each; they start at once. With `rollback` or `prune` as
    `command`, and the `registry`, a process does that instead.
  environment: variables to set in them.
  die_after: each kills itself right after so many writes to the registry; 0: never.
  kill_after: each is killed after so many seconds; null: never.
Answers with a line: for each run its summary as a JSON object, or null if it was killed.
"""

import faulthandler
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, TypeVar

import components.storage.gcs  # loaded before the fork
import components.storage.s3  # noqa: F401
from components.publish import judged
from components.publish.step import PublishSummary, publish
from components.registry.maintenance import prunable, prune
from components.registry.registry import Registry
from components.storage import open_storage

WRITES = ("upload_file", "write_bytes", "create_exclusive", "copy_file", "delete", "delete_prefix")

R = TypeVar("R")


def main() -> None:
    # As in conftest.py: the graphs are texts.
    for name in ("check_operations", "check_answers"):
        setattr(judged, name, lambda _: None)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def answer(request: dict[str, Any]) -> list[dict[str, Any] | None]:
    # The processes wait until the other end of this pipe is closed.
    start, go = os.pipe()
    children = [fork(run, request, start, go) for run in request["runs"]]
    os.close(start)
    os.close(go)
    if request["kill_after"] is not None:
        time.sleep(request["kill_after"])
        for pid, _ in children:
            os.kill(pid, signal.SIGKILL)
    return [result(pid, output) for pid, output in children]


def fork(run: dict[str, Any], request: dict[str, Any], start: int, go: int) -> tuple[int, int]:
    """The id of a new process, and where it writes its summary."""
    output, inlet = os.pipe()
    pid = os.fork()
    if pid:
        os.close(inlet)
        return pid, output
    os.close(go)
    os.environ.update(request["environment"])
    if request["die_after"]:
        die_after(request["die_after"], type(open_storage(run["registry"])))
    os.read(start, 1)
    summary = COMMANDS[run.pop("command", "publish")](**run)
    os.write(inlet, json.dumps(summary._asdict()).encode())
    os._exit(0)


def roll_back(registry: str) -> PublishSummary:
    entry = Registry(registry).rollback()
    return PublishSummary(entry.version, entry.why, entry.sequence)


def prune_all_but_two(registry: str) -> PublishSummary:
    store = Registry(registry)
    prune(store, prunable(store, keep=2))
    return PublishSummary("", "pruned", 0)


COMMANDS: dict[str, Callable[..., PublishSummary]] = {
    "publish": publish,
    "rollback": roll_back,
    "prune": prune_all_but_two,
}


def result(pid: int, output: int) -> dict[str, Any] | None:
    with os.fdopen(output, "rb") as file:
        text = file.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if not text:
        raise RuntimeError(f"a publisher ended with wait status {status:#x} and without a word")
    summary: dict[str, Any] = json.loads(text)
    return summary


def die_after(writes: int, storage: type) -> None:
    done = depth = 0

    def counted(write: Callable[..., R]) -> Callable[..., R]:
        def run(*args: Any, **kwargs: Any) -> R:
            nonlocal done, depth
            depth += 1  # what a write does by others is a part of it
            result = write(*args, **kwargs)
            depth -= 1
            done += depth == 0
            if done == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run

    for name in WRITES:
        setattr(storage, name, counted(getattr(storage, name)))


if __name__ == "__main__":
    faulthandler.enable()
    main()

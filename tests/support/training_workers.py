"""Worker processes that train together on this machine, as the pods of a Job do."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from training_world import World

from components.train.pods.worker import Exchange, beating
from components.train.settings import TrainRequest

# One thread for each kind of work: two workers on two cores are not to fight for them.
_THREADS = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "2", "OMP_NUM_THREADS": "1"}


def staged(world: World, root: Path, request: TrainRequest) -> Exchange:
    """A place with what the workers need."""
    exchange = Exchange(str(root))
    exchange.stage(request, world.interactions, world.vocabulary)
    return exchange


class Workers:
    """Two workers on the loopback interface, by number; what they say goes to a file each."""

    def __init__(self, exchange: Exchange, directory: Path) -> None:
        self._place, self._directory = exchange.root, directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._starts = 0
        with ExitStack() as stack:
            sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
            self._addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]

    def start(self, number: int) -> None:
        """Starts a worker, or starts it again."""
        with self.log(number).open("ab") as log:
            self._processes[number] = subprocess.Popen(
                [sys.executable, "-m", "components.train.pods.worker", self._place, *self._addresses],
                env={**os.environ, **_THREADS, "JOB_COMPLETION_INDEX": str(number)},
                stdout=log,
                stderr=log,
            )

    def log(self, number: int) -> Path:
        return self._directory / f"worker-{number}.log"

    def said(self, number: int) -> str:
        return self.log(number).read_text("utf-8", errors="replace")

    def ended(self, number: int) -> int | None:
        """The exit status of a worker; None while it runs."""
        return self._processes[number].poll()

    def kill(self, number: int) -> None:
        self._processes[number].kill()
        self._processes[number].wait()

    def wait(self, number: int, seconds: float) -> int:
        return self._processes[number].wait(seconds)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()


@contextmanager
def two_workers(exchange: Exchange, directory: Path) -> Iterator[Workers]:
    """Both started; none is left at the end."""
    workers = Workers(exchange, directory)
    try:
        with beating(exchange):
            workers.start(0)
            workers.start(1)
            yield workers
    finally:
        workers.close()

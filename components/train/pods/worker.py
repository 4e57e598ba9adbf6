"""Program of each worker's pod, and the directory through which it exchanges files with the step."""

import itertools
import json
import os
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from components.errors import UserError
from components.outputs import output_directory
from components.progress import every, log
from components.step import reported
from components.storage import open_storage
from components.train.artifact import MODEL_FILE
from components.train.settings import TrainRequest

INTERACTIONS, VOCABULARY = "interactions", "vocabulary"

_MODEL = "model"
_REQUEST = "request.json"
_HEARTBEAT = "heartbeat"

# Directory below the checkpoint root, with one of each run that trains in several pods.
_EXCHANGES = "workers"

# Seconds between two heartbeats of the step, and of silence after which the workers end by themselves.
SECONDS_BETWEEN_BEATS = 10.0
SILENCE = 180.0

# Seconds in which the pods of the others must have started: a cluster may have to add nodes first.
_PATIENCE = 3600.0
_SECONDS_BETWEEN_LOOKS = 2.0

# Exit status of a worker whose step is gone; the Job takes it for the end.
_ABANDONED = 2


class Exchange:
    """Inputs on their way to the workers, and the Model on its way back.

    Below `root`, a directory on a shared volume a gs:// or s3:// prefix, lie interactions/, vocabulary/,
    request.json and heartbeat, which the step writes, and model/, which the chief writes.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._storage = open_storage(root)

    def stage(self, request: TrainRequest, interactions: Path, vocabulary: Path) -> None:
        """Uploads the workers' inputs."""
        self._storage.upload_directory(interactions, INTERACTIONS)
        self._storage.upload_directory(vocabulary, VOCABULARY)
        self._storage.write_bytes(_REQUEST, json.dumps(asdict(request)).encode())

    def request(self) -> TrainRequest:
        """Returns the request that `stage` uploaded."""
        return TrainRequest(**json.loads(self._storage.read_bytes(_REQUEST)))

    def fetch_inputs(self, directory: Path) -> None:
        """Copies interactions/ and vocabulary/ into `directory`."""
        for name in (INTERACTIONS, VOCABULARY):
            self._fetch(name, directory / name)

    def put_model(self, directory: Path) -> None:
        """Uploads the Model in `directory`."""
        self._storage.delete_prefix(_MODEL)
        self._storage.upload_directory(directory, _MODEL, last=[MODEL_FILE])

    def fetch_model(self, output: str) -> None:
        """Downloads the Model of the chief to `output`."""
        with output_directory(output) as directory:
            self._fetch(_MODEL, directory)

    def beat(self) -> None:
        """Tells the workers that the step is there."""
        self._storage.write_bytes(_HEARTBEAT, str(time.time_ns()).encode())

    def heartbeat(self) -> bytes:
        """Returns the last heartbeat; b"" if it cannot be read."""
        try:
            return self._storage.read_bytes(_HEARTBEAT)
        except UserError:
            return b""

    def delete(self) -> None:
        """Deletes the directory. Raises `UserError` if the storage refuses."""
        parent, _, name = self.root.rpartition("/")
        open_storage(parent).delete_prefix(name)

    def _fetch(self, name: str, directory: Path) -> None:
        for key in self._storage.list(f"{name}/"):
            target = directory / key.removeprefix(f"{name}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._storage.download_file(key, target)


def exchange_of(checkpoint_root: str, *names: str) -> Exchange:
    """Returns the exchange directory of a run's Job; or of a run, with those of all its Jobs."""
    return Exchange("/".join([checkpoint_root.rstrip("/"), _EXCHANGES, *names]))


@contextmanager
def beating(exchange: Exchange) -> Iterator[None]:
    """Renews the heartbeat for as long as the block runs."""

    def beat() -> None:
        try:
            exchange.beat()
        except UserError as error:
            log(f"the workers will end unless the heartbeat can be written soon: {error}")

    exchange.beat()
    with every(SECONDS_BETWEEN_BEATS, beat):
        yield


def end_without_step(exchange: Exchange) -> None:
    """Starts a thread that ends this process once no heartbeat has come for `SILENCE` seconds.

    The directory goes with it: after a run was retried, its exit handler does not run again.
    """

    def watch() -> None:
        last, since = exchange.heartbeat(), time.monotonic()
        while time.monotonic() - since < SILENCE:
            time.sleep(SECONDS_BETWEEN_BEATS)
            if (beat := exchange.heartbeat()) not in (last, b""):
                last, since = beat, time.monotonic()
        log(f"the step that started this worker has been silent for {SILENCE:.0f} s; the training ends")
        with suppress(UserError):  # another worker is at it as well
            exchange.delete()
        os._exit(_ABANDONED)

    threading.Thread(target=watch, daemon=True).start()


def join(addresses: Sequence[str]) -> None:
    """Waits until all workers have a name, and sets TF_CONFIG for TensorFlow.

    Raises `UserError` if one of them has none in an hour.
    """
    for address in addresses:
        _wait_for(address.rpartition(":")[0])
    task = {"type": "worker", "index": int(os.environ["JOB_COMPLETION_INDEX"])}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": list(addresses)}, "task": task})


def _wait_for(host: str) -> None:
    """Waits until a name has an address; it comes with the pod, and look-ups fail for a while after that."""
    given_up = time.monotonic() + _PATIENCE
    for look in itertools.count():
        try:
            socket.getaddrinfo(host, None)
            return
        except socket.gaierror as error:
            if time.monotonic() > given_up:
                raise UserError(
                    f"the pod of {host} has not started in {_PATIENCE / 60:.0f} minutes; ask for less "
                    "(--request workers:…), or for fewer --workers"
                ) from error
            if not look:
                log(f"waiting for the pod of {host}")
            time.sleep(_SECONDS_BETWEEN_LOOKS)


def work(exchange: Exchange) -> None:
    """Trains the staged request with the other workers; the chief uploads the Model.

    Raises `UserError` as the step `train` does.
    """
    from components.train.presets import make_model
    from components.train.replicas import replicas

    request = exchange.request()
    # The Model is uploaded before the workers end: none of them ends with success without it.
    with replicas(request.preset) as strategy, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        exchange.fetch_inputs(directory)
        model = directory / "model"
        inputs = str(directory / INTERACTIONS), str(directory / VOCABULARY)
        make_model(strategy, request, *inputs, output=str(model))
        if model.is_dir():
            exchange.put_model(model)


def main() -> None:
    """Reads the place and all addresses from the command line; the outcome is the last line of the log."""
    place, *addresses = sys.argv[1:]
    with reported("train"):
        exchange = Exchange(place)
        end_without_step(exchange)
        join(addresses)
        work(exchange)


if __name__ == "__main__":
    main()

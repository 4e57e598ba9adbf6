"""Program of each pod of the TFJob, and the directory through which it exchanges files with the step."""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from components.outputs import output_directory
from components.step import reported
from components.storage import open_storage
from components.train.artifact import MODEL_FILE
from components.train.settings import TrainRequest

INTERACTIONS, VOCABULARY = "interactions", "vocabulary"

_MODEL = "model"
_REQUEST = "request.json"


class Exchange:
    """Inputs on their way to the workers, and the Model on its way back.

    Below `root`, a directory on a shared volume or a gs:// prefix, lie interactions/, vocabulary/ and
    request.json, which the step writes, and model/, which the chief writes.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._storage = open_storage(root)

    def stage(self, request: TrainRequest, interactions: Path, vocabulary: Path) -> None:
        """Uploads the workers' inputs, in place of what an earlier try left."""
        self.delete()
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

    def delete(self) -> None:
        """Deletes all files."""
        for name in (INTERACTIONS, VOCABULARY, _MODEL):
            self._storage.delete_prefix(name)
        self._storage.delete(_REQUEST)

    def _fetch(self, name: str, directory: Path) -> None:
        for key in self._storage.list(f"{name}/"):
            target = directory / key.removeprefix(f"{name}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._storage.download_file(key, target)


def work(place: str) -> None:
    """Trains the staged request of `place` with the other workers; the chief uploads the Model.

    Raises `UserError` as the step `train` does.
    """
    from components.train.presets import make_model
    from components.train.replicas import replicas

    exchange = Exchange(place)
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
    """Reads the place from the command line; the outcome is the last line of the log."""
    with reported("train"):
        work(sys.argv[1])


if __name__ == "__main__":
    main()

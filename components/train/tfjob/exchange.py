"""The place where the step and its workers exchange files."""

import json
from pathlib import Path

from components.outputs import output_directory
from components.storage import open_storage
from components.train.request import Request
from components.train.summary import MODEL_FILE

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

    def stage(self, request: Request, interactions: Path, vocabulary: Path) -> None:
        """Puts in what the workers need, in place of what an earlier try left."""
        self.delete()
        self._storage.upload_directory(interactions, INTERACTIONS)
        self._storage.upload_directory(vocabulary, VOCABULARY)
        self._storage.write_bytes(_REQUEST, json.dumps(request.as_json()).encode())

    def request(self) -> Request:
        """What is to be trained."""
        return Request(**json.loads(self._storage.read_bytes(_REQUEST)))

    def fetch_inputs(self, directory: Path) -> None:
        """Copies interactions/ and vocabulary/ into `directory`."""
        for name in (INTERACTIONS, VOCABULARY):
            self._fetch(name, directory / name)

    def put_model(self, directory: Path) -> None:
        """Puts in the Model that lies in `directory`."""
        self._storage.delete_prefix(_MODEL)
        self._storage.upload_directory(directory, _MODEL, last=[MODEL_FILE])

    def fetch_model(self, output: str) -> None:
        """Makes `output` the Model that the chief put in."""
        with output_directory(output) as directory:
            self._fetch(_MODEL, directory)

    def delete(self) -> None:
        """Removes all of it."""
        for name in (INTERACTIONS, VOCABULARY, _MODEL):
            self._storage.delete_prefix(name)
        self._storage.delete(_REQUEST)

    def _fetch(self, name: str, directory: Path) -> None:
        for key in self._storage.list(f"{name}/"):
            target = directory / key.removeprefix(f"{name}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            self._storage.download_file(key, target)

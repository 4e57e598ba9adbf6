"""Checkpoints: everything that a killed training needs to go on, in one file that is whole or absent."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.progress import log
from components.storage import Storage, open_storage

Array = npt.NDArray[Any]

_NOTES = "notes"


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoint of one training: one data set, one set of settings.

    A checkpoint of other data or settings has another key, so that it can never be resumed by mistake.
    """

    storage: Storage
    key: str

    @classmethod
    def open(cls, root: str, identity: Mapping[str, Any]) -> Self:
        """The checkpoint below `root`, a directory or gs:// prefix, of what `identity` describes."""
        text = json.dumps(identity, sort_keys=True, default=str)
        return cls(open_storage(root), f"{hashlib.sha256(text.encode()).hexdigest()[:16]}/checkpoint.npz")

    def save(self, arrays: Mapping[str, Array], notes: Mapping[str, Any]) -> None:
        """Replaces the checkpoint by `arrays`, and `notes` as JSON."""
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "checkpoint.npz"
            content: dict[str, Any] = {_NOTES: np.array(json.dumps(notes)), **arrays}
            np.savez(file, **content)
            self.storage.upload_file(file, self.key)

    def restore(self) -> tuple[dict[str, Array], dict[str, Any]] | None:
        """The arrays and notes last saved; None if there is no checkpoint."""
        if not self.storage.exists(self.key):
            return None
        with tempfile.TemporaryDirectory() as directory:
            file = Path(directory) / "checkpoint.npz"
            self.storage.download_file(self.key, file)
            with np.load(file, allow_pickle=False) as saved:
                arrays = {name: saved[name] for name in saved.files}
        notes: dict[str, Any] = json.loads(str(arrays.pop(_NOTES)))
        log(f"resuming from {self.storage.uri(self.key)}")
        return arrays, notes

    def delete(self) -> None:
        """Removes the checkpoint: the training is done."""
        self.storage.delete(self.key)

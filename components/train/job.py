"""A training job: its data, its result, and its checkpoints, one file each that is whole or absent."""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.progress import log
from components.storage import Storage, open_storage
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary

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


# Which variables a checkpoint holds, and in which order.
_CHECKPOINT_FORMAT = 2


@dataclass(frozen=True)
class Job:
    """What there is to train on.

    Attributes:
      seed: decides the order of training and the initial weights.
      checkpoint_root: a directory or gs:// prefix; "" keeps no checkpoints.
    """

    interactions: Interactions
    vocabulary: Vocabulary
    seed: int
    checkpoint_root: str

    def checkpoints(self, phase: str, settings: Any) -> Checkpoints | None:
        """The checkpoint of one phase of the training; None if none are kept."""
        if not self.checkpoint_root:
            return None
        identity = {
            "format": _CHECKPOINT_FORMAT,
            "phase": phase,
            "settings": dataclasses.asdict(settings),
            "seed": self.seed,
            "data": digest(self.interactions, self.vocabulary.years),
        }
        return Checkpoints.open(self.checkpoint_root, identity)


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
      scoring: makes a module with the methods `query`, `candidates` and `rate`, outside of the strategy's
        scope: its variables are no replicas'.
      settings: as they were used, every default filled in.
      log: a line for each validation.
      kept: the line of the log whose weights were kept.
      steps: all training steps.
      seconds: spent in them.
    """

    scoring: Callable[[], tf.Module]
    settings: Any
    log: list[dict[str, Any]]
    kept: dict[str, Any]
    steps: int
    seconds: float


def digest(interactions: Interactions, years: npt.NDArray[np.int32]) -> str:
    """A fingerprint of the ratings and years that are trained on, whatever files they came from."""
    sha = hashlib.sha256(repr((interactions.rating_scale, interactions.movies)).encode())
    for name in ("train", "validation"):
        part = interactions.split(name)
        for array in (part.offsets, part.movies, part.ratings):
            sha.update(np.ascontiguousarray(array).data)
    sha.update(np.ascontiguousarray(years).data)
    return sha.hexdigest()

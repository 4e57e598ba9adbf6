"""What a preset is given, and what it gives back."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.checkpoints import Checkpoints
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary

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

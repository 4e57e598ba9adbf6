"""The two presets: how each makes a model of the data, trains it, and wraps it for scoring."""

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.batches import UserBatches
from components.train.catalogue import Catalogue
from components.train.checkpoints import Checkpoints
from components.train.fit import Progressed, Training
from components.train.model import TwoTower
from components.train.notebook import NotebookModel, NotebookScoring, NotebookSettings, RowBatches
from components.train.saved_model import ScoringModule
from components.train.schedule import WarmupCosine
from components.train.settings import Settings
from components.train.validation import Ragged, Validation
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Job:
    """What there is to train on, and where.

    Attributes:
      checkpoint_root: "" keeps no checkpoints.
      directory: where the training log is written.
    """

    interactions: Interactions
    vocabulary: Vocabulary
    seed: int
    checkpoint_root: str
    directory: Path

    def checkpoints(self, preset: str, settings: Any) -> Checkpoints | None:
        """The checkpoints of this training; None if none are kept."""
        if not self.checkpoint_root:
            return None
        identity = {
            "preset": preset,
            "settings": dataclasses.asdict(settings),
            "seed": self.seed,
            "fingerprint": self.interactions.fingerprint,
            "split": self.interactions.split_settings,
            "data": _digest(self.interactions),
        }
        return Checkpoints.open(self.checkpoint_root, identity)


def fit_default(job: Job, settings: Settings) -> tuple[tf.Module, Progressed]:
    """Trains the two-tower model."""
    rows = job.interactions
    catalogue = Catalogue.of(rows)
    train, held_out = (catalogue.encode(rows.split(name)) for name in ("train", "validation"))
    batches = UserBatches(train, settings.batch_users, settings.batch_ratings, job.seed)
    model = TwoTower(catalogue, settings, job.seed)
    schedule = WarmupCosine(settings.learning_rate, settings.warmup_steps, settings.steps)
    model.compile(optimizer=tf.keras.optimizers.Adam(schedule))
    model.compute_loss(tuple(map(tf.constant, next(batches.from_step(0)))))  # makes the variables
    bounds = catalogue.bounds(rows.rating_scale)
    validation = Validation.of(train, held_out, settings.validation_users, job.seed, catalogue.scale, bounds)
    training = Training(
        model,
        batches.from_step,
        lambda: validation.measure(_Histories(model)),
        settings.steps,
        max(settings.steps // settings.validations, 1),
        job.checkpoints("default", settings),
        job.directory,
    )
    progressed = training.run()
    return ScoringModule(model, catalogue, job.vocabulary.movie_ids, rows.rating_scale), progressed


def fit_notebook(job: Job, settings: NotebookSettings) -> tuple[tf.Module, Progressed]:
    """Trains the original's model."""
    rows = job.interactions
    train, held_out = rows.split("train"), rows.split("validation")
    batches = RowBatches(train, settings.batch_ratings, job.seed)
    model = NotebookModel(rows.training_users, rows.movies, settings)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(settings.learning_rate))
    model.compute_loss(tuple(map(tf.constant, next(batches.from_step(0)))))  # makes the variables
    validation = Validation.of(train, held_out, 4096, job.seed, 1.0, rows.rating_scale)
    training = Training(
        model,
        batches.from_step,
        lambda: validation.measure(_Ids(model, rows.training_users)),
        batches.steps() * settings.epochs,
        batches.steps(),
        job.checkpoints("notebook", settings),
        job.directory,
        keep_last=True,
    )
    progressed = training.run()
    users = job.vocabulary.user_ids[: rows.training_users]
    return NotebookScoring(model, users, job.vocabulary.movie_ids, rows.rating_scale), progressed


PRESETS: dict[str, tuple[Any, Callable[[Job, Any], tuple[tf.Module, Progressed]]]] = {
    "default": (Settings(), fit_default),
    "notebook": (NotebookSettings(), fit_notebook),
}


class _Histories:
    """The default model as validation asks it: by history."""

    def __init__(self, model: TwoTower) -> None:
        self._model = model

    def scores(self, users: Array, history: Ragged) -> Array:
        return np.asarray(self._model.scores(_tensors(history)))

    def ratings(self, users: Array, history: Ragged, asked: Ragged) -> Array:
        return np.asarray(self._model.ratings(_tensors(history), _tensors(asked)))


class _Ids:
    """The notebook's model as validation asks it: by user."""

    def __init__(self, model: NotebookModel, unknown: int) -> None:
        self._model, self._unknown = model, unknown

    def scores(self, users: Array, history: Ragged) -> Array:
        return np.asarray(self._model.scores(np.minimum(users, self._unknown)))

    def ratings(self, users: Array, history: Ragged, asked: Ragged) -> Array:
        rows = np.repeat(np.minimum(users, self._unknown), np.diff(asked[2]))
        return np.asarray(self._model.ratings(rows, asked[0]))


def _tensors(ragged: Ragged) -> tuple[tf.Tensor, ...]:
    return tuple(map(tf.constant, ragged))


def _digest(interactions: Interactions) -> str:
    digest = hashlib.sha256()
    for name in ("train", "validation"):
        part = interactions.split(name)
        for array in (part.offsets, part.movies, part.ratings):
            digest.update(array.tobytes())
    return digest.hexdigest()

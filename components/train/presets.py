"""The two presets: how each makes a model of the data, trains it, and wraps it for scoring."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train.adam import FusedAdam, RowAdam
from components.train.batches import UserBatches
from components.train.catalogue import Catalogue, EncodedRatings, OfSomeUsers, Ragged
from components.train.estimate import log_estimate
from components.train.fit import State, Training
from components.train.job import Fitted, Job
from components.train.memory import memory_limit
from components.train.model import TwoTower
from components.train.notebook import NotebookModel, NotebookScoring, NotebookSettings, RowBatches
from components.train.replicas import of_all_workers
from components.train.saved_model import ScoringModule
from components.train.schedule import WarmupCosine
from components.train.settings import IN_BATCH, Settings
from components.train.sizing import sized
from components.train.spectral import spectral_vectors
from components.train.stopping import both_tasks
from components.train.validation import Validation, validating_users

Array = npt.NDArray[Any]

# Share of the known ratings that choosing the weights must have cost for a second training to bring more than
# it disturbs.
_WORTH_SETTLING = 0.02


def fit_default(job: Job, settings: Settings) -> Fitted:
    """Trains the two-tower model: chosen by the validation rows of some users, then on all known rows."""
    rows = job.interactions
    catalogue = Catalogue.of(rows, job.vocabulary.years)
    train, held_out = rows.split("train"), rows.split("validation")
    # The least of all workers' memory: what is decided by it must be the same for all of them.
    memory = int(of_all_workers(memory_limit()).min())
    settings = sized(settings, train.counts, len(catalogue.known_counts), memory)
    model = start(job, settings, catalogue)
    chosen = search(job, settings, model, catalogue)
    last = State()
    left = held_out.counts[_validating(job, settings)].sum()
    if settings.settling > 0 and left > _WORTH_SETTLING * catalogue.known_counts.sum():
        steps = max(round(chosen.log[chosen.best_line]["step"] * settings.settling), 1)
        last = settle(job, settings, model, EncodedRatings(catalogue, [train, held_out]), steps)
    return Fitted(
        scoring=lambda: ScoringModule(model, catalogue, job.vocabulary.movie_ids, rows.rating_scale),
        settings=settings,
        log=chosen.log,
        kept=chosen.log[chosen.best_line],
        steps=chosen.step + last.step,
        seconds=chosen.seconds + last.seconds,
    )


def start(job: Job, settings: Settings, catalogue: Catalogue) -> TwoTower:
    """The model before its first step."""
    ratings = EncodedRatings(catalogue, [job.interactions.split("train")])
    vectors = spectral_vectors(ratings, len(catalogue.known_counts), settings.dimension, job.seed)
    return TwoTower(catalogue, settings, vectors, job.seed)


def search(job: Job, settings: Settings, model: TwoTower, catalogue: Catalogue) -> State:
    """Trains, and leaves the weights that did best on the validation rows of some users.

    The validation rows of everybody else are trained on: to choose among a few weights needs no more than
    some thousand rows, and the model can use the others.
    """
    rows = job.interactions
    held_out = rows.split("validation")
    validating = _validating(job, settings)
    ratings = EncodedRatings(catalogue, [rows.split("train"), OfSomeUsers(held_out, ~validating)])
    batches = UserBatches(ratings, settings.batch_users, settings.batch_ratings, job.seed)
    validation = Validation(
        known=ratings,
        held_out=EncodedRatings(catalogue, [held_out]),
        users=np.flatnonzero(validating),
        movies=len(catalogue.known_counts),
        scale=catalogue.scale,
        bounds=catalogue.bounds(rows.rating_scale),
    )
    _compile(model, settings, settings.learning_rate, settings.warmup_steps, settings.steps)
    counts = ratings.counts
    log_estimate(model, settings, len(catalogue.known_counts), counts.sum() / np.count_nonzero(counts))
    return Training(
        title="train",
        model=model,
        batches=batches.from_step,
        steps=settings.steps,
        interval=max(settings.steps // settings.validations, 1),
        checkpoints=job.checkpoints("search", settings),
        measure=lambda: validation.measure(_Histories(model)),
        score=both_tasks if len(validation.users) else None,
        patience=settings.patience,
    ).run()


def settle(job: Job, settings: Settings, model: TwoTower, ratings: EncodedRatings, steps: int) -> State:
    """Goes on with all known rows while the learning rate falls to 0; nothing is chosen here."""
    batches = UserBatches(ratings, settings.batch_users, settings.batch_ratings, job.seed + 1)
    model.count(ratings.catalogue.known_counts)
    rate = settings.settling_rate * settings.learning_rate
    _compile(model, settings, rate, settings.warmup_steps // 2, steps)
    return Training(
        title="settle",
        model=model,
        batches=batches.from_step,
        steps=steps,
        interval=max(settings.steps // settings.validations, 1),
        checkpoints=job.checkpoints("settle", settings),
    ).run()


def fit_notebook(job: Job, settings: NotebookSettings) -> Fitted:
    """Trains the original's model for its number of epochs."""
    rows = job.interactions
    train, held_out = rows.split("train"), rows.split("validation")
    batches = RowBatches(train, settings.batch_ratings, job.seed)
    model = NotebookModel(rows.training_users, rows.movies, settings)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(settings.learning_rate))
    model.compute_loss(tuple(map(tf.constant, next(batches.from_step(0)))))  # makes the variables
    validating = _validating(job, settings)
    validation = Validation(train, held_out, np.flatnonzero(validating), rows.movies, 1.0, rows.rating_scale)
    state = Training(
        title="train",
        model=model,
        batches=batches.from_step,
        steps=batches.steps() * settings.epochs,
        interval=batches.steps(),
        checkpoints=job.checkpoints("notebook", settings),
        measure=lambda: validation.measure(_Ids(model, rows.training_users)),
    ).run()
    known = job.vocabulary.user_ids[: rows.training_users]
    return Fitted(
        scoring=lambda: NotebookScoring(model, known, job.vocabulary.movie_ids, rows.rating_scale),
        settings=settings,
        log=state.log,
        kept=state.log[state.best_line],
        steps=state.step,
        seconds=state.seconds,
    )


PRESETS: dict[str, tuple[Any, Callable[[Job, Any], Fitted]]] = {
    "default": (Settings(), fit_default),
    "notebook": (NotebookSettings(), fit_notebook),
}


def _validating(job: Job, settings: Settings | NotebookSettings) -> Array:
    """The users whose validation rows choose the weights, bool [users]."""
    counts = job.interactions.split("validation").counts
    return validating_users(counts, settings.validation_ratings, job.seed)


def _compile(model: TwoTower, settings: Settings, rate: float, warmup_steps: int, steps: int) -> None:
    adam = RowAdam if settings.retrieval_loss == IN_BATCH else FusedAdam
    schedule = WarmupCosine(rate, warmup_steps, steps)
    model.compile(optimizer=adam(schedule, model.tower_variables, settings.tower_rate))


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

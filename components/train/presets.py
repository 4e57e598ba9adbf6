"""The two presets: how each builds a model for the data, trains it and exports it for scoring."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import UserError
from components.machine import memory_limit
from components.outputs import output_directory, write_json
from components.progress import log
from components.train import saved_model
from components.train.fit import State, Training, Validation, both_tasks, validating_users, write_log
from components.train.job import Fitted, Job
from components.train.model import TwoTower
from components.train.notebook import NotebookModel, NotebookScoring, NotebookSettings, RowBatches
from components.train.optimizer import FusedAdam, RowAdam, WarmupCosine
from components.train.replicas import of_all_workers, this_worker
from components.train.saved_model import ScoringModule
from components.train.scoring import SAVED_MODEL
from components.train.settings import IN_BATCH, MODEL_FILE, Request, Settings, TrainSummary, override
from components.train.sizing import log_estimate, sized
from components.train.svd_init import spectral_vectors
from components.train.training_data import Catalogue, UserBatches
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary

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
        last = settle(job, settings, model, catalogue, steps)
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
    train = job.interactions.split("train")
    vectors = spectral_vectors(train, catalogue, settings.dimension, job.seed)
    return TwoTower(catalogue, settings, vectors, job.seed)


def search(job: Job, settings: Settings, model: TwoTower, catalogue: Catalogue) -> State:
    """Trains, and leaves the weights that did best on the validation rows of some users.

    The validation rows of everybody else are trained on: to choose among a few weights needs no more than
    some thousand rows, and the model can use the others.
    """
    rows = job.interactions
    held_out = rows.split("validation")
    validating = _validating(job, settings)
    trained_on = [rows.split("train"), held_out.only(~validating)]
    batches = UserBatches(catalogue, trained_on, settings.batch_users, settings.batch_ratings, job.seed)
    users = np.flatnonzero(validating)
    validation = Validation(
        known=catalogue.encode(trained_on, users),
        held_out=catalogue.encode([held_out], users),
        users=users,
        movies=len(catalogue.known_counts),
        scale=catalogue.scale,
        bounds=catalogue.bounds(rows.rating_scale),
    )
    _compile(model, settings, settings.learning_rate, settings.warmup_steps, settings.steps)
    counts = batches.counts
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


def settle(job: Job, settings: Settings, model: TwoTower, catalogue: Catalogue, steps: int) -> State:
    """Goes on with all known rows while the learning rate falls to 0; nothing is chosen here."""
    parts = [job.interactions.split("train"), job.interactions.split("validation")]
    batches = UserBatches(catalogue, parts, settings.batch_users, settings.batch_ratings, job.seed + 1)
    model.count(catalogue.known_counts)
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
    users = np.flatnonzero(_validating(job, settings))
    validation = Validation(
        train.select(users), held_out.select(users), users, rows.movies, 1.0, rows.rating_scale
    )
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

    def scores(self, users: Array, history: UserRatings) -> Array:
        return np.asarray(self._model.scores(_tensors(history)))

    def ratings(self, users: Array, history: UserRatings, asked: UserRatings) -> Array:
        return np.asarray(self._model.ratings(_tensors(history), _tensors(asked)))


class _Ids:
    """The notebook's model as validation asks it: by user."""

    def __init__(self, model: NotebookModel, unknown: int) -> None:
        self._model, self._unknown = model, unknown

    def scores(self, users: Array, history: UserRatings) -> Array:
        return np.asarray(self._model.scores(np.minimum(users, self._unknown)))

    def ratings(self, users: Array, history: UserRatings, asked: UserRatings) -> Array:
        rows = np.repeat(np.minimum(users, self._unknown), asked.counts)
        return np.asarray(self._model.ratings(rows, asked.movies))


def _tensors(ratings: UserRatings) -> tuple[tf.Tensor, ...]:
    return tuple(map(tf.constant, ratings.arrays))


FORMAT = 1


def make_model(
    strategy: tf.distribute.Strategy, request: Request, interactions: str, vocabulary: str, output: str
) -> TrainSummary:
    """Trains as `request` says; the chief, or the only process, writes the Model to `output`.

    Raises:
      UserError: if an input is not whole, a setting is unknown or out of range, or the training diverges.
    """
    if request.preset not in PRESETS:
        presets = ", ".join(PRESETS)
        raise UserError(f"--preset {request.preset}: there is no such preset; choose from {presets}")
    defaults, fit = PRESETS[request.preset]
    settings = override(defaults, request.overrides())
    rows, names = Interactions.load(interactions), Vocabulary.load(vocabulary)
    if (len(names.user_ids), len(names.movie_ids)) != (rows.users, rows.movies):
        raise UserError(
            f"{interactions} was not made with {vocabulary}; take both from one `twotower vocabulary`"
        )
    tf.keras.utils.set_random_seed(request.seed)
    with strategy.scope():
        fitted = fit(Job(rows, names, request.seed, request.checkpoint_root), settings)
        chief = this_worker().number == 0
    summary = TrainSummary(
        steps=fitted.steps,
        seconds=round(fitted.seconds, 3),
        validation_rmse=fitted.kept["validation_rmse"],
        validation_top_100_accuracy_unseen=fitted.kept["validation_top_100_accuracy_unseen"],
    )
    if chief:
        with output_directory(output) as directory:
            _write(directory, request, fitted, summary, rows, names)
        log(f"model in {Path(output)}")
    return summary


def _write(
    directory: Path,
    request: Request,
    fitted: Fitted,
    summary: TrainSummary,
    rows: Interactions,
    names: Vocabulary,
) -> None:
    write_log(fitted.log, directory)
    saved_model.save(fitted.scoring(), directory / SAVED_MODEL)
    record = {
        "format": FORMAT,
        "preset": request.preset,
        "settings": dataclasses.asdict(fitted.settings),
        "seed": request.seed,
        "split": rows.split_settings,
        "fingerprint": rows.fingerprint,
        "rating_scale": list(rows.rating_scale),
        "movies": rows.movies,
        "training_users": rows.training_users,
        **summary._asdict(),
    }
    write_json(directory / MODEL_FILE, record)
    DataSummary.of(rows.known(), names.user_ids, names.movie_ids, rows.rating_scale).save(directory)

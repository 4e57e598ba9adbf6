"""The two presets: builds a model for the data, trains it and writes the Model artifact."""

import dataclasses
from collections.abc import Callable
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.machine import memory_limit
from components.outputs import output_directory
from components.progress import log
from components.saved_models import SAVED_MODEL
from components.train import artifact, scoring
from components.train.blending import choose, decompose, fall_back
from components.train.content import Descriptions, draw_sample
from components.train.fit import Checkpoints, State, Training, both_tasks, retrieval_alone, write_tensorboard
from components.train.gibbs import Sampler
from components.train.item_item import ItemItem
from components.train.model import TwoTower
from components.train.notebook import NotebookModel, NotebookScoring, RowBatches
from components.train.optimizer import FusedAdam, RowAdam, WarmupCosine
from components.train.replicas import gather_from_workers, of_chief, require_same, this_worker
from components.train.sampled_head import SampledRatings
from components.train.saved_model import ScoringModule
from components.train.settings import (
    DEFAULT,
    IN_BATCH,
    NOTEBOOK,
    PRESETS,
    REGRESSION,
    SAMPLED,
    NotebookSettings,
    Settings,
    TrainRequest,
    check_feedback,
    first_names,
    override,
)
from components.train.sizing import SECONDS_TO_WRITE, item_item_seconds, log_estimate, resolve
from components.train.svd_init import svd_vectors
from components.train.time_budget import TimeBudget
from components.train.training_data import RatedCatalogue, UserBatches, digest
from components.train.validation import Predictor, ValidationSample, draw_validation_users
from components.train.warm_start import NO_CANDIDATE, Candidate, WarmStart, find_start
from components.train.weights import Weights
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary, load_encoded

Array = npt.NDArray[Any]

# The final refit takes place if the validation rows are more than this share of the known ones: for fewer it
# disturbs more than it brings.
_WORTH_REFITTING = 0.02

# Changes with the variables that a checkpoint holds, or with their order.
_CHECKPOINT_FORMAT = 3


@dataclasses.dataclass(frozen=True)
class Job:
    """Data and identity of a training."""

    interactions: Interactions
    vocabulary: Vocabulary
    seed: int  # decides the order of training and the initial weights
    checkpoint_root: str  # a directory, gs:// or s3:// prefix; "" keeps no checkpoints
    candidate: Candidate = NO_CANDIDATE  # whose weights it may begin at
    start: WarmStart | None = None  # where it begins; None for a cold start
    budget: TimeBudget | None = None  # None trains as long as the data pay for

    def checkpoints(self, phase: str, settings: Settings | NotebookSettings) -> Checkpoints | None:
        """Returns the checkpoint of a phase ("search", "settle" or "notebook"); None if none are kept."""
        if not self.checkpoint_root:
            return None
        identity = {
            "format": _CHECKPOINT_FORMAT,
            "phase": phase,
            "settings": first_names(dataclasses.asdict(settings)),
            "seed": self.seed,
            "data": digest(self.interactions, self.vocabulary.years),
            "start": self.start.version if self.start else "",
        }
        if self.budget:
            identity["time_budget"] = self.budget.seconds
        return Checkpoints.open(self.checkpoint_root, identity)


class Fitted(NamedTuple):
    """A trained model."""

    # Makes a module with the methods `query`, `candidates` and `rate`, outside of the strategy's scope: its
    # variables are no replicas'.
    scoring: Callable[[], tf.Module]
    settings: Settings | NotebookSettings  # as they were used, every default filled in
    state: State  # at the end, with the steps and seconds of the final refit
    validation: artifact.ValidationMetrics  # of the kept weights, and of what is served beside them
    start: artifact.TrainingStart
    weights: Callable[[], Weights] | None = None  # copies those that a later training can begin at
    read_before: DataSummary | None = None  # says which rows the weights have read that this one began at


def make_model(
    strategy: tf.distribute.Strategy, request: TrainRequest, interactions: str, vocabulary: str, output: str
) -> artifact.ModelRecord:
    """Trains as `request` says; the chief, or the only process, writes the Model to `output`.

    Raises:
      UserError: if an input is not whole, a setting is unknown or out of range, or the training diverges.
    """
    settings = override(PRESETS[request.preset], request.overrides())
    rows, names = load_encoded(interactions, vocabulary)
    check_feedback(rows.feedback, request.preset, getattr(settings, "rating_head", ""))
    tf.keras.utils.set_random_seed(request.seed)
    with strategy.scope():
        budget = TimeBudget(request.time_budget, of_chief) if request.time_budget else None
        job = Job(rows, names, request.seed, request.checkpoint_root, Candidate.of(request), budget=budget)
        fitted = _FITS[request.preset](job, settings)
        chief = this_worker().number == 0
    state = fitted.state
    record = artifact.ModelRecord(
        preset=request.preset,
        settings=dataclasses.asdict(fitted.settings),
        seed=request.seed,
        split=rows.split_settings,
        fingerprint=rows.fingerprint,
        rating_scale=rows.rating_scale,
        feedback=rows.feedback,
        start=fitted.start,
        movies=rows.movies,
        training_users=rows.training_users,
        steps=state.step,
        seconds=round(state.seconds, 3),
        validation_rmse=fitted.validation.rmse,
        validation_top_100_accuracy_unseen=fitted.validation.top_100_accuracy_unseen,
        kept_step=state.kept.step,
        time_budget=request.time_budget,
        shortened=bool(budget and budget.shortened),
    )
    if chief:
        with output_directory(output) as directory:
            artifact.write_log(directory, state.log)
            write_tensorboard(state.log, directory / artifact.TENSORBOARD)
            scoring.save(fitted.scoring(), directory / SAVED_MODEL)
            artifact.write_record(directory, record)
            summary = DataSummary.of(rows.known(), names.user_ids, names.movie_ids, rows.rating_scale)
            if fitted.read_before:
                summary = summary.with_rows_of(fitted.read_before)
            summary.save(directory)
            if fitted.weights:
                fitted.weights().save(directory / artifact.WEIGHTS_FILE)
        log(f"model in {Path(output)}")
    return record


def fit_default(job: Job, settings: Settings) -> Fitted:
    """Trains the two-tower model with early stopping, then refits it on all known rows."""
    rows, names = job.interactions, job.vocabulary
    catalogue = RatedCatalogue.of(rows, names.years)
    train, held_out = rows.split("train"), rows.split("validation")
    # The least of all workers' memory: all of them must decide by the same figure.
    memory = int(gather_from_workers(memory_limit()).min())
    settings = resolve(settings, train.counts, len(catalogue.known_counts), memory, rows.feedback)
    start, record = find_start(job.candidate, settings, rows, names, catalogue)
    require_same(start is not None)
    if start:
        settings = start.shorten(settings, job.candidate.given)
        job = dataclasses.replace(job, start=start)
    model = initial_model(job, settings, catalogue)
    validating = _validation_users(job, settings)
    left = held_out.counts[validating].sum()
    refits = settings.final_refit > 0 and left > _WORTH_REFITTING * catalogue.known_counts.sum()
    log_estimate(model, settings, len(catalogue.known_counts), train.counts, int(validating.sum()), refits)
    if job.budget:
        after = SECONDS_TO_WRITE + item_item_seconds(settings, len(catalogue.known_counts), train.users)
        job.budget.reserve(after, settings.final_refit if refits else 0.0)
    state, sampled = fit_with_early_stopping(job, settings, model, catalogue)
    weights = partial(Weights.of, settings, (rows, names, catalogue), validating, model, sampled)
    item_item, validation = fit_blends(job, settings, model, catalogue, sampled)
    if refits:
        weights = partial(copy, weights())  # which have not read the validation rows of `validating`
        steps = max(round(state.kept.step * settings.final_refit), 1)
        share = (state.steps or settings.steps) / settings.steps
        if job.budget:
            fitting = job.budget.refit_share(steps, state.step, SECONDS_TO_WRITE)
            steps, share = max(round(fitting * steps), 1), fitting * share
        last, sampled = refit(job, settings, model, catalogue, steps, sampled, share)
        state.step += last.step
        state.seconds += last.seconds

    def scoring_module() -> ScoringModule:
        head = sampled.head() if sampled else model.rating_head
        content = Descriptions.of(names), draw_sample(rows, job.seed)
        movies = names.movie_ids, rows.rating_scale
        return ScoringModule(model.towers, head, catalogue, *movies, item_item, *content)

    return Fitted(scoring_module, settings, state, validation, record, weights, start.read if start else None)


def initial_model(job: Job, settings: Settings, catalogue: RatedCatalogue) -> TwoTower:
    """Returns the model before its first step."""
    vectors = svd_vectors(job.interactions.split("train"), catalogue, settings.dimension, job.seed)
    model = TwoTower(catalogue, settings, vectors, job.seed)
    if job.start:
        job.start.weights.move(model)
    return model


def fit_with_early_stopping(
    job: Job, settings: Settings, model: TwoTower, catalogue: RatedCatalogue
) -> tuple[State, SampledRatings | None]:
    """Trains, and leaves the weights that did best on the validation rows of some users in the model.

    A sampled rating head is returned beside the state.

    The validation rows of all other users are trained on: some thousand rows are enough to decide which of a
    few weights are the best, and the model can use the others.
    """
    rows = job.interactions
    trained_on, validation = _validation_sample(job, settings, catalogue)
    batches = UserBatches(catalogue, trained_on, settings.batch_users, settings.batch_ratings, job.seed)
    sampling = None
    if settings.rating_head == SAMPLED:
        known = catalogue.encode(trained_on, np.arange(rows.users))
        sampler = Sampler(known, len(catalogue.known_counts), settings.rating_weights, job.seed)
        if job.start:
            job.start.weights.move_sampler(sampler)
        sampling = SampledRatings(sampler, settings.sweeps, settings.draws)

    adam = RowAdam if settings.retrieval_loss == IN_BATCH else FusedAdam
    schedule = WarmupCosine(settings.learning_rate, settings.warmup_steps, settings.steps)
    model.compile(optimizer=adam(schedule, model.tower_variables, settings.tower_rate))
    score = both_tasks if settings.rating_head == REGRESSION else retrieval_alone
    state = Training(
        title="train",
        model=model,
        batches=batches.from_step,
        steps=settings.steps,
        interval=max(settings.steps // settings.validations, 1),
        checkpoints=job.checkpoints("search", settings),
        measure=lambda: validation.measure(_predictor(model, sampling)),
        score=score if len(validation.users) else None,
        patience=settings.patience,
        sampling=sampling,
        budget=job.budget,
    ).run()
    return state, sampling


def fit_blends(
    job: Job,
    settings: Settings,
    model: TwoTower,
    catalogue: RatedCatalogue,
    sampled: SampledRatings | None,
) -> tuple[ItemItem | None, artifact.ValidationMetrics]:
    """Adds what validation rows weigh: the item-item path, fitted to all known rows, and biases alone.

    Returns the path, None where it does not surely help, and the metrics of the trained model with both,
    before its final refit. Neither shares parameters with what was trained.
    """
    trained_on, sample = _validation_sample(job, settings, catalogue)
    if sampled:
        fall_back(sampled, catalogue.encode(trained_on, np.arange(job.interactions.users)), sample.parts())
    predictor, rank = _predictor(model, sampled), settings.item_item_rank
    if rank < 1 or not len(sample.users):
        return None, sample.measure(predictor)
    spectrum = decompose(trained_on, catalogue, rank, job.seed)
    blend = choose(spectrum, sample.known, sample.held_out, lambda history: model.scores(history.arrays))
    if blend is None:
        return None, sample.measure(predictor)
    path = blend.of(spectrum)

    def scores(users: Array, history: UserRatings) -> Array:
        both: Array = np.asarray(predictor.scores(users, history)) + path.scores(history)
        return both

    validation = sample.measure(predictor._replace(scores=scores))
    known = [job.interactions.split("train"), job.interactions.split("validation")]
    return blend.of(decompose(known, catalogue, rank, job.seed)), validation


def refit(
    job: Job,
    settings: Settings,
    model: TwoTower,
    catalogue: RatedCatalogue,
    steps: int,
    sampled: SampledRatings | None,
    share: float = 1.0,
) -> tuple[State, SampledRatings | None]:
    """Goes on with all known rows while the learning rate falls to 0; the last weights are kept.

    So does the chain of a sampled rating head, with `share` of its sweeps.
    """
    parts = [job.interactions.split("train"), job.interactions.split("validation")]
    batches = UserBatches(catalogue, parts, settings.batch_users, settings.batch_ratings, job.seed + 1)
    for tower in model.candidates:
        tower.set_popularity(catalogue.known_counts)
    rate = settings.final_refit_rate * settings.learning_rate
    model.optimizer.restart(rate, settings.warmup_steps // 2, steps)
    if sampled:
        known = catalogue.encode(parts, np.arange(job.interactions.users))
        # Half as many again; a warm chain's are few already, and the draws of these alone are served.
        sweeps = max(int(share * settings.sweeps / (1 if job.start else 2)), 1)
        sampled = sampled.go_on_with(known, sweeps, settings.draws)
    state = Training(
        title="final refit",
        model=model,
        batches=batches.from_step,
        steps=steps,
        interval=max(settings.steps // settings.validations, 1),
        checkpoints=job.checkpoints("settle", settings),
        sampling=sampled,
    ).run()
    return state, sampled


def fit_notebook(job: Job, settings: NotebookSettings) -> Fitted:
    """Trains the original's model for its number of epochs."""
    rows = job.interactions
    train, asked = rows.split("train"), rows.split("validation")
    batches = RowBatches(train, settings.batch_ratings, job.seed)
    catalogue = RatedCatalogue.of(rows, job.vocabulary.years)
    model = NotebookModel(rows.training_users, rows.movies, catalogue.scale, settings)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(settings.learning_rate))
    model.compute_loss(tuple(map(tf.constant, next(batches.from_step(0)))))  # makes the variables
    users = np.flatnonzero(_validation_users(job, settings))
    validation = ValidationSample(
        train.select(users), asked.select(users), users, rows.movies, 1.0, rows.rating_scale, catalogue.rated
    )

    def known_rows(users: Array) -> Array:
        return np.minimum(users, rows.training_users)

    predictor = Predictor(
        scores=lambda users, _: model.scores(known_rows(users)),
        ratings=lambda users, _, asked: model.ratings(
            np.repeat(known_rows(users), asked.counts), asked.movies
        ),
    )
    state = Training(
        title="train",
        model=model,
        batches=batches.from_step,
        steps=batches.steps() * settings.epochs,
        interval=batches.steps(),
        checkpoints=job.checkpoints("notebook", settings),
        measure=lambda: validation.measure(predictor),
    ).run()
    known, kept = job.vocabulary.user_ids[: rows.training_users], state.kept
    return Fitted(
        scoring=lambda: NotebookScoring(model, known, job.vocabulary.movie_ids, rows.rating_scale),
        settings=settings,
        state=state,
        validation=artifact.ValidationMetrics(kept.validation_rmse, kept.validation_top_100_accuracy_unseen),
        start=artifact.TrainingStart(why=f"The preset {NOTEBOOK} always starts cold."),
    )


_FITS: dict[str, Callable[[Job, Any], Fitted]] = {DEFAULT: fit_default, NOTEBOOK: fit_notebook}


def _validation_users(job: Job, settings: Settings | NotebookSettings) -> Array:
    """Returns the users whose validation rows decide which weights are kept, bool [users]."""
    counts = job.interactions.split("validation").counts
    eligible = job.start.may_validate if job.start else None
    return draw_validation_users(counts, settings.validation_ratings, job.seed, eligible)


def _validation_sample(
    job: Job, settings: Settings, catalogue: RatedCatalogue
) -> tuple[list[UserRatings], ValidationSample]:
    """Returns the rows that are trained on before the final refit, and the other known ones."""
    rows, validating = job.interactions, _validation_users(job, settings)
    held_out = rows.split("validation")
    trained_on = [rows.split("train"), held_out.only(~validating)]
    users = np.flatnonzero(validating)
    sample = ValidationSample(
        known=catalogue.encode(trained_on, users),
        held_out=catalogue.encode([held_out], users),
        users=users,
        movies=len(catalogue.known_counts),
        scale=catalogue.scale,
        bounds=catalogue.bounds(rows.rating_scale),
    )
    return trained_on, sample


def _predictor(model: TwoTower, sampled: SampledRatings | None) -> Predictor:
    """Returns the predictions of the towers, and of the rating head, sampled or the model's, if any."""
    ratings: Any = sampled.ratings if sampled else None
    if model.rating_head is not None:
        ratings = lambda _, history, asked: model.ratings(history.arrays, asked.arrays)  # noqa: E731
    return Predictor(lambda _, history: model.scores(history.arrays), ratings)

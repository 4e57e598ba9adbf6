"""Training loop: steps, validation on held-out rows, early stopping, checkpoints and the best weights."""

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.documents import plain
from components.errors import UserError
from components.progress import Progress, log
from components.storage import Storage, open_storage
from components.train.artifact import LogEntry, ValidationMetrics
from components.train.replicas import require_same, this_worker
from components.train.time_budget import TimeBudget
from components.train.training_data import share_out

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
        """Returns the checkpoint that `identity` describes, below a directory, gs:// or s3:// prefix."""
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
        """Returns the arrays and notes last saved; None if there is no checkpoint."""
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


# The second only of a model that learns ratings.
LOSSES = ("retrieval_loss", "rating_loss")


@dataclass
class State:
    """State of a training: what a checkpoint holds besides the variables."""

    step: int = 0
    seconds: float = 0.0  # time spent in steps, over all processes that worked on it
    log: list[LogEntry] = field(default_factory=list)  # one entry for each validation
    best_line: int = 0  # the validation with the highest score so far
    best_score: float = -math.inf
    steps: int = 0  # of all, where a time budget has shortened them; else 0
    spent: float = 0.0  # seconds since the start of the step `train`, where it has a time budget

    @property
    def kept(self) -> LogEntry:
        """The validation whose weights were kept."""
        return self.log[self.best_line]


class Companion(Protocol):
    """Something that is estimated beside the gradient steps, and moved on with them."""

    def advance(self, share: float) -> None:
        """Works until `share` of all its work, from 0 to 1, is done."""

    def shorten(self, share: float) -> None:
        """Ends the work when `share` of it, from 0 to 1, is done."""

    def error(self) -> float:
        """Returns the mean squared error of the training ratings, in the units of `rating_loss`."""

    def state(self) -> dict[str, Array]:
        """Returns all that `advance` changes, for `restore`."""

    def restore(self, state: dict[str, Array]) -> None:
        """Puts back what `state` returned."""


@dataclass
class Training:
    """A model under training, by the strategy in whose scope this is called.

    With several workers, each runs all of this; losses and metrics are sums over all workers, so they take
    the same decisions. Only the chief writes checkpoints, which all of them read.
    """

    title: str  # for the progress
    model: Any  # compiled; its variables exist, made in the strategy's scope
    batches: Callable[[int], Iterator[Any]]  # the batches from a step on
    steps: int
    interval: int  # steps between two validations
    checkpoints: Checkpoints | None = None  # where to save after every interval; None saves nowhere
    # Both metrics on the validation rows; None measures nothing.
    measure: Callable[[], ValidationMetrics] | None = None
    # The greater the better; the weights of the best validation are kept, or the last ones if None.
    score: Callable[[ValidationMetrics], float] | None = None
    sampling: Companion | None = None  # a sampled rating head
    patience: int = 1 << 30  # the training ends after so many validations in a row without a better score
    budget: TimeBudget | None = None  # shortens the training to the time left; needs a `FusedAdam`

    def __post_init__(self) -> None:
        self._planned = self.steps
        # Seconds of the first step, which compiles, and of sampling in the latest interval.
        self._compiling = self._sampling_seconds = 0.0
        self._first_interval = True

    def run(self) -> State:
        """Trains to the end, or from the last checkpoint to the end; leaves the kept weights in the model.

        Raises `UserError` if a loss is not finite.
        """
        self.model.optimizer.build(self.model.trainable_variables)
        state, best = self._restore()
        batches = self._prefetch(state.step)
        # Kept where Keras keeps its own, until `compile`: to trace it once more takes seconds.
        if self.model.train_function is None:
            self.model.train_function = self._compile_step(tuple(batches.element_spec))
        with Progress(self.title, total=self.steps, unit="steps") as progress:
            progress.advance(state.step)
            while state.step < self.steps and len(state.log) - 1 - state.best_line < self.patience:
                began, before = time.monotonic(), (state.step, state.seconds)
                losses = self._interval(batches, state, progress)
                if self._validate(state, losses):
                    best = [weight.numpy() for weight in self._weights]
                if self.budget:
                    self._keep_to(self.budget, state, time.monotonic() - began, *before)
                    progress.set_total(self.steps)
                self._save(state, best)
        if self.sampling:
            self.sampling.advance(1.0)
        for variable, value in zip(self._weights, best, strict=True):
            variable.assign(value)
        return state

    def _keep_to(self, budget: TimeBudget, state: State, took: float, step: int, seconds: float) -> None:
        """Ends the schedule with the last step that there is time for.

        `took` are the seconds since `step`, when `state.seconds` was `seconds`.
        """
        steps = state.step - step
        if self._compiling:
            stepping = state.seconds - seconds - self._sampling_seconds - self._compiling
            plain = stepping * steps / max(steps - 1, 1) + self._sampling_seconds
            budget.compiled(took - plain)
            took, self._compiling = plain, 0.0
        budget.measured(steps, took, self._sampling_seconds)
        fitting = min(budget.steps_that_fit(state.step, state.kept.step), self._planned)
        if fitting - state.step < self.interval // 4:  # not worth another validation
            fitting = state.step
        if fitting < self.steps or state.steps:
            state.steps = fitting
            self._shorten(budget, fitting)
        state.spent = budget.spent()

    def _shorten(self, budget: TimeBudget, steps: int) -> None:
        self.steps, budget.shortened = steps, steps < self._planned
        self.model.optimizer.end_at(steps)
        if self.sampling:
            self.sampling.shorten(steps / self._planned)

    def _interval(self, batches: Iterator[Any], state: State, progress: Progress) -> dict[str, float]:
        """Steps until the next validation; returns the mean losses per rating."""
        started = time.monotonic()
        self.model.reset_metrics()
        results: dict[str, Any] = {}
        note, compiles = str(state.log[-1]) if state.log else "", self._first_interval
        self._first_interval = False
        for _ in range(min(self.interval, self.steps - state.step)):
            try:
                results = self.model.train_function(next(batches))
            except tf.errors.InvalidArgumentError as error:  # a matrix full of NaN has no inverse
                raise _divergence(state.step) from error
            state.step += 1
            progress.advance(1, note)
            if compiles:
                self._compiling, compiles = time.monotonic() - started, False
        strategy = tf.distribute.get_strategy()
        losses = {
            name: float(strategy.experimental_local_results(results[name])[0])
            for name in LOSSES
            if name in results
        }
        if self.sampling:
            before = time.monotonic()
            self.sampling.advance(state.step / self.steps)
            self._sampling_seconds = time.monotonic() - before
            losses["rating_loss"] = self.sampling.error()
        state.seconds += time.monotonic() - started
        if not all(math.isfinite(loss) for loss in losses.values()):
            raise _divergence(state.step)
        return losses

    def _validate(self, state: State, losses: dict[str, float]) -> bool:
        """Validates and adds the entry to the log; returns whether the present weights are to be kept."""
        metrics = self.measure() if self.measure else ValidationMetrics(None, None)
        entry = LogEntry(
            step=state.step,
            seconds=round(state.seconds, 3),
            **losses,
            validation_rmse=metrics.rmse,
            validation_top_100_accuracy_unseen=metrics.top_100_accuracy_unseen,
            validation_recall_10=metrics.recall_10,
            validation_ndcg_10=metrics.ndcg_10,
        )
        state.log.append(entry)
        log(f"{self.title}: step {state.step:,}: {entry}")
        score = state.step if self.score is None else self.score(metrics)
        better = score > state.best_score
        if better:
            state.best_score, state.best_line = score, len(state.log) - 1
        return better

    def _compile_step(self, signature: tuple[Any, ...]) -> Callable[[Any], Any]:
        """Returns the training step, which takes each replica's share of a batch."""
        strategy = tf.distribute.get_strategy()

        # Nothing in a step depends on Python's control flow; AutoGraph would only take its time.
        @tf.function(input_signature=[signature], autograph=False)  # type: ignore[untyped-decorator]
        def step(batch: Any) -> Any:
            return strategy.run(self.model.train_step, args=(batch,))

        return step  # type: ignore[no-any-return]

    def _prefetch(self, step: int) -> Any:
        """Returns an iterator over the batches from `step` on, each shared out to the replicas."""
        first = next(self.batches(step))
        signature = tuple(tf.TensorSpec([None], array.dtype) for array in first)
        # There is nothing to tune, and the end of the thread that does so may wait for its next turn: up to a
        # minute, in half of the trainings.
        untuned = tf.data.Options()
        untuned.autotune.enabled = False

        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            replicas = context.num_replicas_in_sync
            own = replicas // context.num_input_pipelines
            start = context.input_pipeline_id * own

            def shares() -> Iterator[Any]:
                for batch in self.batches(step):
                    yield from share_out(batch, replicas)[start : start + own]

            batches = tf.data.Dataset.from_generator(shares, output_signature=signature)
            # Else the workers would ask each other before every step whether any of them has run out.
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            return batches.apply(endless).prefetch(4 * own).with_options(untuned)

        return iter(tf.distribute.get_strategy().distribute_datasets_from_function(dataset))

    @property
    def _weights(self) -> list[Any]:
        """All variables except the metrics', which begin anew with every interval."""
        metrics = {id(variable) for metric in self.model.metrics for variable in metric.variables}
        return [variable for variable in self.model.variables if id(variable) not in metrics]

    @property
    def _variables(self) -> list[Any]:
        return [*self._weights, *self.model.optimizer.variables]

    def _restore(self) -> tuple[State, list[Array]]:
        saved = self.checkpoints.restore() if self.checkpoints else None
        # A volume may show one worker an older file than another.
        require_same(saved[1]["step"] if saved else 0)
        if saved is None:
            return State(), [weight.numpy() for weight in self._weights]
        arrays, notes = saved
        for number, variable in enumerate(self._variables):
            variable.assign(arrays[f"variable_{number}"])
        if self.sampling:
            prefix = "sampling_"
            own = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
            self.sampling.restore(own)
        state = State(**{**notes, "log": msgspec.convert(notes["log"], list[LogEntry])})
        if self.budget:
            self.budget.resume(state.spent)
            if state.steps:
                self._shorten(self.budget, state.steps)
        return state, [arrays[f"best_{number}"] for number in range(len(self._weights))]

    def _save(self, state: State, best: list[Array]) -> None:
        if self.checkpoints is None or this_worker().number > 0:
            return
        arrays = {f"variable_{number}": value.numpy() for number, value in enumerate(self._variables)}
        arrays |= {f"best_{number}": value for number, value in enumerate(best)}
        if self.sampling:
            arrays |= {f"sampling_{name}": value for name, value in self.sampling.state().items()}
        self.checkpoints.save(arrays, {**vars(state), "log": [plain(entry) for entry in state.log]})


def _divergence(step: int) -> UserError:
    return UserError(
        f"the training diverged: before step {step:,} a loss was no finite number; "
        "set a smaller learning_rate in --train-settings"
    )


def write_tensorboard(entries: Sequence[LogEntry], directory: Path) -> None:
    """Writes the training log as scalars for TensorBoard."""
    writer = tf.summary.create_file_writer(str(directory))
    with writer.as_default():
        for entry in entries:
            for name, value in plain(entry).items():
                if name != "step" and value is not None:
                    tf.summary.scalar(name, value, step=entry.step)
    writer.close()


def retrieval_alone(metrics: ValidationMetrics) -> float:
    """Returns top-100 accuracy: for towers that are trained apart from the rating head."""
    return metrics.top_100_accuracy_unseen or 0.0


def both_tasks(metrics: ValidationMetrics) -> float:
    """Returns top-100 accuracy over RMSE: one per cent of the one is worth one per cent of the other."""
    if metrics.rmse is None or metrics.top_100_accuracy_unseen is None:
        return 0.0
    # So that a first accuracy of 0, and a perfect RMSE, still leave the other task to be compared.
    return (metrics.top_100_accuracy_unseen + 1e-6) / (metrics.rmse + 1e-6)

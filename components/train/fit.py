"""The training loop: steps, validations, checkpoints, and the weights that validated best."""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy.typing as npt
import tensorflow as tf

from components.errors import UserError
from components.progress import Progress, log
from components.train.checkpoints import Checkpoints
from components.train.replicas import require_same, this_worker
from components.train.shares import deal
from components.train.validation import Metrics

Array = npt.NDArray[Any]

LOG_FILE = "training_log.jsonl"
LOSSES = ("retrieval_loss", "rating_loss")


@dataclass
class State:
    """How far a training is: what a checkpoint holds besides the variables.

    Attributes:
      step: steps done.
      seconds: time spent in steps, over all processes that worked on it.
      log: a line for each validation.
      best_line, best_score: the validation with the highest score so far, and that score.
    """

    step: int = 0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    best_line: int = 0
    best_score: float = -math.inf


@dataclass
class Training:
    """A model under training, by the strategy in whose scope this is called.

    With several workers, each does all that is done here; what they decide by (losses, metrics) are sums over
    all workers, so they take the same decisions. Only the chief writes checkpoints, which all of them read.

    Attributes:
      title: what it is called in the progress.
      model: compiled; its variables exist, made in the strategy's scope.
      batches: the batches from a step on.
      steps, interval: how many steps, and how many between two validations.
      checkpoints: where to save after every interval; None saves nowhere.
      measure: both metrics on the validation rows; None where nothing is to be chosen by them.
      score: the greater, the better the metrics; the weights of the best validation are kept, or the last
        ones if None.
      patience: the training ends after so many validations in a row without a better score.
    """

    title: str
    model: Any
    batches: Callable[[int], Iterator[Any]]
    steps: int
    interval: int
    checkpoints: Checkpoints | None = None
    measure: Callable[[], Metrics] | None = None
    score: Callable[[Metrics], float] | None = None
    patience: int = 1 << 30

    def run(self) -> State:
        """Trains to the end, or from the last checkpoint to the end; leaves the kept weights in the model.

        Raises:
          UserError: if a loss is not finite.
        """
        self.model.optimizer.build(self.model.trainable_variables)
        state, best = self._restored()
        batches = self._prefetched(state.step)
        step = self._compiled(tuple(batches.element_spec))
        with Progress(self.title, total=self.steps, unit="steps") as progress:
            progress.advance(state.step)
            while state.step < self.steps and len(state.log) - 1 - state.best_line < self.patience:
                losses = self._interval(step, batches, state, progress)
                if self._judge(state, losses):
                    best = self._values(self._weights)
                self._save(state, best)
        for variable, value in zip(self._weights, best, strict=True):
            variable.assign(value)
        return state

    def _interval(
        self, step: Callable[[Any], Any], batches: Iterator[Any], state: State, progress: Progress
    ) -> dict[str, float]:
        """Steps until the next validation; returns the mean losses per rating."""
        started = time.monotonic()
        self.model.reset_metrics()
        results: dict[str, Any] = {}
        for _ in range(min(self.interval, self.steps - state.step)):
            try:
                results = step(next(batches))
            except tf.errors.InvalidArgumentError as error:  # a matrix full of NaN has no inverse
                raise _diverged(state.step) from error
            state.step += 1
            progress.advance(1, self._note(state))
        strategy = tf.distribute.get_strategy()
        losses = {name: float(strategy.experimental_local_results(results[name])[0]) for name in LOSSES}
        state.seconds += time.monotonic() - started
        if not all(math.isfinite(loss) for loss in losses.values()):
            raise _diverged(state.step)
        return losses

    def _judge(self, state: State, losses: dict[str, float]) -> bool:
        """Validates, writes it down, and says whether the present weights are to be kept."""
        metrics = self.measure() if self.measure else Metrics(None, None)
        state.log.append(
            {
                "step": state.step,
                "seconds": round(state.seconds, 3),
                **losses,
                "validation_rmse": metrics.rmse,
                "validation_top_100_accuracy_unseen": metrics.top_100_accuracy_unseen,
            }
        )
        log(f"{self.title}: step {state.step:,}: {describe(state.log[-1])}")
        score = state.step if self.score is None else self.score(metrics)
        better = score > state.best_score
        if better:
            state.best_score, state.best_line = score, len(state.log) - 1
        return better

    @staticmethod
    def _note(state: State) -> str:
        return describe(state.log[-1]) if state.log else ""

    def _compiled(self, signature: tuple[Any, ...]) -> Callable[[Any], Any]:
        """The training step, which takes each replica's share of a batch."""
        strategy = tf.distribute.get_strategy()

        # Nothing in a step depends on Python's control flow; AutoGraph would only take its time.
        @tf.function(input_signature=[signature], autograph=False)  # type: ignore[untyped-decorator]
        def step(batch: Any) -> Any:
            return strategy.run(self.model.train_step, args=(batch,))

        return step  # type: ignore[no-any-return]

    def _prefetched(self, step: int) -> Any:
        """An iterator over the batches from `step` on, each dealt out to the replicas."""
        first = next(self.batches(step))
        signature = tuple(tf.TensorSpec([None], array.dtype) for array in first)

        def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
            replicas = context.num_replicas_in_sync
            own = replicas // context.num_input_pipelines
            start = context.input_pipeline_id * own

            def shares() -> Iterator[Any]:
                for batch in self.batches(step):
                    yield from deal(batch, replicas)[start : start + own]

            batches = tf.data.Dataset.from_generator(shares, output_signature=signature)
            # Else the workers would ask each other before every step whether any of them has run out.
            endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            return batches.apply(endless).prefetch(4 * own)

        return iter(tf.distribute.get_strategy().distribute_datasets_from_function(dataset))

    @property
    def _weights(self) -> list[Any]:
        """What is to be kept: all variables but the metrics', which begin anew with every interval."""
        metrics = {id(variable) for metric in self.model.metrics for variable in metric.variables}
        return [variable for variable in self.model.variables if id(variable) not in metrics]

    @property
    def _variables(self) -> list[Any]:
        return [*self._weights, *self.model.optimizer.variables]

    @staticmethod
    def _values(variables: list[Any]) -> list[Array]:
        return [variable.numpy() for variable in variables]

    def _restored(self) -> tuple[State, list[Array]]:
        saved = self.checkpoints.restore() if self.checkpoints else None
        # A volume may show one worker an older file than another.
        require_same(saved[1]["step"] if saved else 0)
        if saved is None:
            return State(), self._values(self._weights)
        arrays, notes = saved
        for number, variable in enumerate(self._variables):
            variable.assign(arrays[f"variable_{number}"])
        return State(**notes), [arrays[f"best_{number}"] for number in range(len(self._weights))]

    def _save(self, state: State, best: list[Array]) -> None:
        if self.checkpoints is None or this_worker().number > 0:
            return
        arrays = {f"variable_{number}": value for number, value in enumerate(self._values(self._variables))}
        arrays |= {f"best_{number}": value for number, value in enumerate(best)}
        self.checkpoints.save(arrays, vars(state))


def _diverged(step: int) -> UserError:
    return UserError(
        f"the training diverged: before step {step:,} a loss was no finite number; "
        "set a smaller learning_rate in --train-settings"
    )


def describe(line: dict[str, Any]) -> str:
    """A line of the training log, for people."""
    text = f"losses per rating: retrieval {line['retrieval_loss']:.3f}, rating {line['rating_loss']:.3f}"
    if line["validation_rmse"] is None:
        return text
    return (
        f"{text}; on validation rows RMSE {line['validation_rmse']:.4f}, "
        f"top-100 unseen {line['validation_top_100_accuracy_unseen']:.4f}"
    )


def write_log(lines: list[dict[str, Any]], directory: Path) -> None:
    """Writes the training log as JSON lines and as scalars for TensorBoard."""
    (directory / LOG_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    writer = tf.summary.create_file_writer(str(directory / "tensorboard"))
    with writer.as_default():
        for line in lines:
            for name, value in line.items():
                if name != "step" and value is not None:
                    tf.summary.scalar(name, value, step=line["step"])
    writer.close()

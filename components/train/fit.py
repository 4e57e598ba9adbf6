"""The training loop: steps, validations, checkpoints, and the weights that validated best."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import UserError
from components.progress import Progress, log
from components.train.checkpoints import Checkpoints
from components.train.validation import Metrics

Array = npt.NDArray[Any]

LOG_FILE = "training_log.jsonl"


@dataclass
class Progressed:
    """How far a training is: what a checkpoint holds besides the variables.

    Attributes:
      step: steps done.
      seconds: time spent, over all processes that worked on it.
      log: a line for each validation.
      best_line, best_score: the validation with the highest score so far, and that score.
    """

    step: int = 0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    best_line: int = 0
    best_score: float = -np.inf


@dataclass
class Training:
    """A model under training.

    Attributes:
      model: compiled, with an optimiser.
      batches: the batches from a step on.
      measure: both metrics on the validation rows; None where there are none.
      steps, interval: how many steps, and how many between two validations.
      checkpoints: where to save after every validation; None saves nowhere.
      directory: where the log and TensorBoard's files are written.
      keep_last: whether the last weights are kept rather than those that validated best.
    """

    model: Any
    batches: Callable[[int], Iterator[Any]]
    measure: Callable[[], Metrics] | None
    steps: int
    interval: int
    checkpoints: Checkpoints | None
    directory: Path
    keep_last: bool = False

    def run(self) -> Progressed:
        """Trains to the end, or from the last checkpoint to the end; the model then has its best weights.

        Raises:
          UserError: if a loss is not finite.
        """
        self.model.optimizer.build(self.model.trainable_variables)
        variables = [*self.model.variables, *self.model.optimizer.variables]
        best = [variable.numpy() for variable in self.model.variables]
        state = Progressed()
        restored = self.checkpoints.restore() if self.checkpoints else None
        if restored:
            arrays, notes = restored
            state = Progressed(**notes)
            for number, variable in enumerate(variables):
                variable.assign(arrays[f"variable_{number}"])
            best = [arrays[f"best_{number}"] for number in range(len(best))]
        step = tf.function(self.model.train_step, reduce_retracing=True)
        batches = _prefetched(lambda: self.batches(state.step))
        with Progress("train", total=self.steps, unit="steps") as progress:
            progress.advance(state.step)
            while state.step < self.steps:
                started = time.monotonic()
                losses = self._interval(step, batches, state, progress)
                state.seconds += time.monotonic() - started
                score = self._validate(state, losses)
                if score > state.best_score:
                    state.best_score, state.best_line = score, len(state.log) - 1
                    best = [variable.numpy() for variable in self.model.variables]
                self._save(state, variables, best)
        for variable, value in zip(self.model.variables, best, strict=True):
            variable.assign(value)
        return state

    def _interval(
        self, step: Any, batches: Iterator[Any], state: Progressed, progress: Progress
    ) -> dict[str, float]:
        self.model.reset_metrics()
        results: dict[str, Any] = {}
        for _ in range(min(self.interval, self.steps - state.step)):
            results = step(next(batches))
            state.step += 1
            progress.advance(1)
        losses = {name: float(results[name]) for name in ("retrieval_loss", "rating_loss")}
        if not all(np.isfinite(list(losses.values()))):
            raise UserError(
                f"the training diverged before step {state.step}: {losses}; "
                "set a smaller learning_rate in --train-settings"
            )
        return losses

    def _validate(self, state: Progressed, losses: dict[str, float]) -> float:
        metrics = self.measure() if self.measure else Metrics(float("nan"), float("nan"))
        line = {"step": state.step, "seconds": round(state.seconds, 3), **losses}
        line |= {
            "validation_rmse": metrics.rmse,
            "validation_top_100_accuracy_unseen": metrics.top_100_accuracy_unseen,
        }
        state.log.append(line)
        (self.directory / LOG_FILE).write_text("".join(json.dumps(row) + "\n" for row in state.log))
        log(
            f"step {state.step}: retrieval loss {losses['retrieval_loss']:.4f}, rating loss "
            f"{losses['rating_loss']:.4f}, validation RMSE {metrics.rmse:.4f}, top-100 unseen "
            f"{metrics.top_100_accuracy_unseen:.4f}"
        )
        if self.measure is None or self.keep_last:
            return state.step
        return metrics.top_100_accuracy_unseen / max(metrics.rmse, 1e-6)

    def _save(self, state: Progressed, variables: list[Any], best: list[Array]) -> None:
        if self.checkpoints is None:
            return
        arrays = {f"variable_{number}": variable.numpy() for number, variable in enumerate(variables)}
        arrays |= {f"best_{number}": value for number, value in enumerate(best)}
        self.checkpoints.save(arrays, vars(state))


def _prefetched(batches: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    signature = (
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.int64),
    )
    return iter(tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(4))

"""The learning rate over the steps."""

import math
from typing import Any

import tensorflow as tf


class WarmupCosine(tf.keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Climbs linearly to `peak`, then falls to 0 along a half cosine (Loshchilov & Hutter 2017)."""

    def __init__(self, peak: float, warmup_steps: int, steps: int) -> None:
        self._peak, self._warmup, self._steps = peak, max(warmup_steps, 1), max(steps, 1)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        climbing = (step + 1.0) / self._warmup
        done = tf.clip_by_value((step - self._warmup) / max(self._steps - self._warmup, 1), 0.0, 1.0)
        return self._peak * tf.minimum(climbing, 0.5 * (1.0 + tf.cos(math.pi * done)))

    def get_config(self) -> dict[str, Any]:
        return {"peak": self._peak, "warmup_steps": self._warmup, "steps": self._steps}

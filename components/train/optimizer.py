"""Adam with one operation a variable, Adam for the rows of a batch only, and the learning rate schedule."""

import math
from collections.abc import Iterable
from typing import Any

import tensorflow as tf


class FusedAdam(tf.keras.optimizers.Adam):  # type: ignore[misc]
    """Keras' Adam (Kingma & Ba 2015), whose update of a variable is one pass over it on all cores.

    Keras makes the same update of a dozen operations, which is most of a step where the tables are large.
    """

    def __init__(self, learning_rate: Any, slow: Iterable[tf.Variable] = (), share: float = 1.0) -> None:
        """Args: `learning_rate`: a number or a schedule; the variables `slow` take `share` times as much."""
        # Without XLA, which would put the update on one core.
        super().__init__(learning_rate, jit_compile=False)
        self._shares = {self._var_key(variable): share for variable in slow}
        self._schedule = learning_rate

    def restart(self, peak: float, warmup_steps: int, steps: int) -> None:
        """Forgets all steps, and begins a schedule `WarmupCosine` anew; a compiled step goes on with both."""
        self._schedule.set(peak, warmup_steps, steps)
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Moves `variable` and its two moments by `gradient`."""
        place = self._index_dict[self._var_key(variable)]
        steps = tf.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].handle,
            v=self._velocities[place].handle,
            beta1_power=tf.pow(self.beta_1, steps),
            beta2_power=tf.pow(self.beta_2, steps),
            lr=self._rate(variable),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )

    def _rate(self, variable: tf.Variable) -> tf.Tensor:
        return tf.cast(self.learning_rate, variable.dtype) * self._shares.get(self._var_key(variable), 1.0)

    def end_at(self, steps: int) -> None:
        """Lets the schedule `WarmupCosine` come to 0 after `steps` steps."""
        self._schedule.end_at(steps)


class RowAdam(FusedAdam):
    """Adam for tables of which each step has gradients of a few rows: each row is a variable of its own.

    Only the rows of a step move, and each counts its own steps. Keras' Adam moves all rows on at every step:
    one that comes once in a thousand steps would be carried by its one gradient for ten steps, thirty times
    as far as the learning rate says.
    """

    def build(self, variables: list[tf.Variable]) -> None:
        """Makes the moments, and the count of each row's steps."""
        if getattr(self, "_built", False):
            return
        super().build(variables)
        self._row_steps = [
            self.add_variable_from_reference(variable, "steps", shape=variable.shape[:1])
            for variable in variables
        ]

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Moves `variable`, or those of its rows that the gradient is of."""
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable)
            return
        place = self._index_dict[self._var_key(variable)]
        rows, slots = tf.unique(gradient.indices)
        slope = tf.math.unsorted_segment_sum(gradient.values, slots, tf.size(rows))
        first, second, count = self._momentums[place], self._velocities[place], self._row_steps[place]
        m = self.beta_1 * tf.gather(first, rows) + (1.0 - self.beta_1) * slope
        v = self.beta_2 * tf.gather(second, rows) + (1.0 - self.beta_2) * tf.square(slope)
        steps = tf.gather(count, rows) + 1.0
        rates = (
            self._rate(variable)
            * tf.sqrt(1.0 - tf.pow(self.beta_2, steps))
            / (1.0 - tf.pow(self.beta_1, steps))
        )
        rates = tf.reshape(rates, tf.concat([tf.shape(rows), tf.ones([tf.rank(m) - 1], tf.int32)], axis=0))
        first.scatter_update(tf.IndexedSlices(m, rows))
        second.scatter_update(tf.IndexedSlices(v, rows))
        count.scatter_update(tf.IndexedSlices(steps, rows))
        variable.scatter_sub(tf.IndexedSlices(rates * m / (tf.sqrt(v) + self.epsilon), rows))


class WarmupCosine(tf.keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Climbs linearly to `peak`, then falls to 0 along a half cosine (Loshchilov & Hutter 2017).

    Keras' `CosineDecay` begins its fall one step earlier: with a peak of 0.01 and 2,000 steps its rates
    differ from these by up to 5e-6.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int) -> None:
        # Variables, so that a compiled step obeys another schedule.
        self._peak, self._warmup, self._steps = (tf.Variable(0.0, trainable=False) for _ in range(3))
        self.set(peak, warmup_steps, steps)

    def set(self, peak: float, warmup_steps: int, steps: int) -> None:
        """Replaces the three numbers."""
        self._peak.assign(peak)
        self._warmup.assign(max(warmup_steps, 1))
        self.end_at(steps)

    def end_at(self, steps: int) -> None:
        """Replaces the number of steps."""
        self._steps.assign(max(steps, 1))

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step, warmup = tf.cast(step, tf.float32), tf.convert_to_tensor(self._warmup)
        falling = tf.maximum(self._steps - warmup, 1.0)
        done = tf.clip_by_value((step - warmup) / falling, 0.0, 1.0)
        return self._peak * tf.minimum((step + 1.0) / warmup, 0.5 * (1.0 + tf.cos(math.pi * done)))

    def get_config(self) -> dict[str, Any]:
        numbers = (float(number) for number in (self._peak, self._warmup, self._steps))
        return dict(zip(("peak", "warmup_steps", "steps"), numbers, strict=True))

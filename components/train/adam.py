"""Adam, with each variable's update as one operation."""

from typing import Any

import tensorflow as tf


class FusedAdam(tf.keras.optimizers.Adam):  # type: ignore[misc]
    """Keras' Adam (Kingma & Ba 2015), whose update of a variable is one pass over it on all cores.

    Keras makes the same update of a dozen operations, which is most of a step where the tables are large.
    """

    def __init__(self, learning_rate: Any) -> None:
        """Args: `learning_rate`: a number or a schedule."""
        # Without XLA, which would put the update on one core.
        super().__init__(learning_rate, jit_compile=False)

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
            lr=tf.cast(self.learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )

"""A table of numbers that are known only so well."""

import math
from typing import Any

import tensorflow as tf

from components.train.part import ALL, Part


class GaussianTable(tf.keras.layers.Layer):  # type: ignore[misc]
    """Rows of independent Gaussians, each with a learned mean and variance, under a prior of learned width.

    The loss takes the expected error under the Gaussians, and `divergence`: what little is known of a row
    stays close to 0, and how close is learned too (variational Bayes with an empirical prior, Bishop 2006,
    chapter 10).
    """

    def __init__(self, rows: int, columns: int, spread: float, **options: Any) -> None:
        """Args: `spread`: standard deviation of the means at the start, and first guess of the prior's."""
        super().__init__(**options)
        shape = [rows, columns]
        normal = tf.keras.initializers.RandomNormal(0, spread)
        narrow = tf.keras.initializers.Constant(math.log(spread / 2))
        width = tf.keras.initializers.Constant(math.log(spread))
        self.means = self.add_weight(name="means", shape=shape, initializer=normal)
        self.log_deviations = self.add_weight(name="log_deviations", shape=shape, initializer=narrow)
        self.log_widths = self.add_weight(name="log_widths", shape=[columns], initializer=width)

    def variances(self, part: Part = ALL) -> tf.Tensor:
        """float32 [u, columns], of the rows `part`."""
        return tf.exp(2.0 * part.of(self.log_deviations))

    def divergence(self, part: Part = ALL) -> tf.Tensor:
        """Kullback-Leibler divergence from the prior, summed over the table, float32 []."""
        squares = tf.square(part.of(self.means)) + self.variances(part)
        relative = squares * tf.exp(-2.0 * self.log_widths)
        return part.sum(0.5 * (relative - 1.0) + self.log_widths - part.of(self.log_deviations))

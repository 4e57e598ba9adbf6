"""Adam in one operation: what Keras' own makes of the same gradients."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.adam import FusedAdam
from components.train.schedule import WarmupCosine

DENSE = [[0.5, -2.0], [0.0, 1e-3], [3.0, 0.25]]


def gradients(step):
    """A dense one, and one of two rows, the first of which comes twice."""
    rows = tf.IndexedSlices(
        step * tf.constant([[1.0, 4.0], [0.5, -1.0], [2.0, 0.0]]), tf.constant([1, 1, 2]), tf.constant([3, 2])
    )
    return tf.constant(DENSE) * (step - 2.0), rows


def moved(optimizer, steps=6):
    """What `steps` steps make of two tables, and the moments."""
    tables = [tf.Variable(np.ones((3, 2), np.float32)) for _ in range(2)]
    optimizer.build(tables)

    @tf.function
    def move(step):
        optimizer.apply_gradients(zip(gradients(step), tables, strict=True))

    for step in range(steps):
        move(tf.constant(float(step)))
    return [variable.numpy() for variable in [*tables, *optimizer.variables]]


@pytest.mark.parametrize("rate", [0.01, WarmupCosine(0.1, 2, 6)], ids=["constant", "schedule"])
def test_it_moves_variables_as_keras_does(rate):
    ours, theirs = moved(FusedAdam(rate)), moved(tf.keras.optimizers.Adam(rate))
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-7)  # 1 - 0.999 is rounded


def test_a_first_step_is_the_learning_rate_long():
    table = tf.Variable([1.0, 1.0, 1.0])
    optimizer = FusedAdam(0.25)
    optimizer.build([table])
    optimizer.apply_gradients([(tf.constant([7.0, -0.3, 0.0]), table)])
    np.testing.assert_allclose(table.numpy(), [0.75, 1.25, 1.0], rtol=1e-5)

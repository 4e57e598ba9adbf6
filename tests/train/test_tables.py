"""Reading tables: values and gradients against matrices."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.tables import gather, pool

pytestmark = pytest.mark.tensorflow

TABLE = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
ROWS = np.array([[4, 0, 4], [2, 4, 0]], np.int32)


def _with_gradient(read):
    """What `read` makes of the table, and the gradient of its product with known weights."""
    table = tf.constant(TABLE)
    with tf.GradientTape() as tape:
        tape.watch(table)
        values = read(table)
        weights = np.arange(np.prod(values.shape), dtype=np.float32).reshape(values.shape)
        total = tf.reduce_sum(values * weights)
    return values.numpy(), weights, tape.gradient(total, table).numpy()


def test_gathers_rows_and_adds_their_gradients_up():
    values, weights, gradient = _with_gradient(lambda table: gather(table, tf.constant(ROWS)))
    np.testing.assert_array_equal(values, TABLE[ROWS])
    expected = np.zeros_like(TABLE)
    np.add.at(expected, ROWS, weights)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_gathers_single_numbers():
    column = TABLE[:, 0]
    np.testing.assert_array_equal(gather(tf.constant(column), tf.constant(ROWS)), column[ROWS])


def test_pools_what_is_to_be_read_of_each_user():
    # User 0 reads rows 4 and 4, user 1 nothing, user 2 rows 2 and 0; 3 stands for what is not read.
    owners = np.array([[0, 3, 0], [2, 3, 2]], np.int32)
    matrix = np.array([[0, 0, 0, 0, 2], [0] * 5, [1, 0, 1, 0, 0]], np.float32)
    values, weights, gradient = _with_gradient(
        lambda table: pool(table, tf.constant(ROWS), tf.constant(owners), tf.constant(3))
    )
    np.testing.assert_allclose(values, matrix @ TABLE, rtol=1e-6)
    np.testing.assert_allclose(gradient, matrix.T @ weights, rtol=1e-6)


def test_pools_nothing():
    empty = tf.zeros([0, 3], tf.int32)
    pooled = pool(tf.constant(TABLE), empty, empty, tf.constant(2))
    np.testing.assert_array_equal(pooled, np.zeros((2, 3)))

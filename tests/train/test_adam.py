"""Adam in one operation, and of rows: what Keras' own makes of the same gradients."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.optimizer import FusedAdam, RowAdam, WarmupCosine

pytestmark = pytest.mark.tensorflow

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


@pytest.mark.parametrize("kind", [FusedAdam, RowAdam])
def test_some_variables_go_a_share_of_the_way(kind):
    slow, other = (tf.Variable([[1.0], [1.0]]) for _ in range(2))
    optimizer = kind(0.5, [slow], 0.2)
    optimizer.build([slow, other])
    rows = tf.IndexedSlices(tf.constant([[3.0]]), tf.constant([1]), tf.constant([2, 1]))
    optimizer.apply_gradients([(rows, slow), (rows, other)])
    np.testing.assert_allclose(slow.numpy(), [[1.0], [0.9]], rtol=1e-5)
    np.testing.assert_allclose(other.numpy(), [[1.0], [0.5]], rtol=1e-5)


def of_rows(step):
    """Gradients of rows of a table: row 0 comes at each step, row 1 twice at every third, row 2 never."""
    comes = [0, 1, 1] if step % 3 == 2 else [0]
    slopes = np.array([[0.5, -1.0 - step], [2.0, 0.1], [1.0, 0.2]], np.float32)[: len(comes)]
    return tf.IndexedSlices(tf.constant(slopes), tf.constant(comes), tf.constant([3, 2]))


def test_each_row_is_a_variable_of_its_own():
    table = tf.Variable(np.ones((3, 2), np.float32))
    ours = RowAdam(0.1)
    ours.build([table])
    rows = [tf.Variable(np.ones(2, np.float32)) for _ in range(3)]
    theirs = [tf.keras.optimizers.Adam(0.1) for _ in rows]
    for step in range(8):
        slices = of_rows(step)
        ours.apply_gradients([(slices, table)])
        for row in set(slices.indices.numpy().tolist()):
            slope = slices.values.numpy()[slices.indices.numpy() == row].sum(axis=0)
            theirs[row].apply_gradients([(tf.constant(slope), rows[row])])
    np.testing.assert_allclose(table.numpy(), np.stack([row.numpy() for row in rows]), rtol=1e-4)
    np.testing.assert_array_equal(table.numpy()[2], [1.0, 1.0])


def test_a_dense_gradient_moves_all_rows_as_ever():
    ours, theirs = tf.Variable([[1.0], [2.0]]), tf.Variable([[1.0], [2.0]])
    for optimizer, table in ((RowAdam(0.1), ours), (FusedAdam(0.1), theirs)):
        optimizer.build([table])
        for _ in range(3):
            optimizer.apply_gradients([(tf.constant([[1.0], [-3.0]]), table)])
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_rows_are_resumed_where_they_were(tmp_path):
    def trained(steps, path=""):
        table, optimizer = tf.Variable(np.ones((3, 2), np.float32)), RowAdam(0.1)
        optimizer.build([table])
        checkpoint = tf.train.Checkpoint(table=table, optimizer=optimizer)
        if path:
            checkpoint.restore(path).assert_consumed()
        for step in steps:
            optimizer.apply_gradients([(of_rows(step), table)])
        return table.numpy(), checkpoint

    whole, _ = trained(range(6))
    _, half = trained(range(3))
    resumed, _ = trained(range(3, 6), half.save(str(tmp_path / "half")))
    np.testing.assert_array_equal(resumed, whole)


@pytest.mark.parametrize("kind", [FusedAdam, RowAdam])
def test_a_restarted_optimizer_is_as_a_new_one(kind):
    used = kind(WarmupCosine(0.5, 3, 4))
    moved(used)
    used.restart(0.1, 2, 6)
    table, other = (tf.Variable(np.ones((3, 2), np.float32)) for _ in range(2))
    new = kind(WarmupCosine(0.1, 2, 6))
    new.build([table, other])
    assert [one.numpy().tolist() for one in used.variables] == [one.numpy().tolist() for one in new.variables]
    assert float(used._schedule(3)) == float(new._schedule(3))

"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from components.train.history import history
from components.train.losses import FullSoftmaxRetrieval, InBatchRetrieval
from components.train.towers import Candidates


def _candidates(vectors, popularity):
    tables = [tf.constant(table, tf.float32) for table in (vectors, popularity, popularity)]
    return Candidates(*tables)


def _batch(rows, hidden):
    """`rows`: movies by user; `hidden`: pairs (user, movie)."""
    movies = np.array([movie for row in rows for movie in row], np.int32)
    row_splits = np.cumsum([0] + [len(row) for row in rows])
    read = history(
        tf.constant(movies), tf.constant(np.zeros(len(movies), np.float32)), tf.constant(row_splits)
    )
    flags = [0.0 if (user, movie) in hidden else 1.0 for user, row in enumerate(rows) for movie in row]
    return read.with_visible(read.chunks.spread(tf.constant(flags)))


def test_full_softmax_by_hand():
    # Scores are 0 but for the bias ln 2 of movie 0. User 0 has read 3 and hidden 0: movies 0, 1, 2 compete
    # with weights 2, 1, 1, so the loss is ln(4/2). User 1 has hidden 1 and 2 and read nothing: the weights
    # are 2, 1, 1, 1, so the losses are ln 5 each.
    candidates = _candidates(np.zeros((4, 2)), [math.log(2), 0, 0, 0])
    batch = _batch([[0, 3], [1, 2]], {(0, 0), (1, 1), (1, 2)})
    loss = FullSoftmaxRetrieval()(candidates, tf.zeros([2, 2]), batch)
    assert float(loss) == pytest.approx((math.log(2) + 2 * math.log(5)) / 3, rel=1e-6)


def test_full_softmax_follows_the_vectors():
    candidates = _candidates([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    loss = FullSoftmaxRetrieval()(candidates, tf.constant([[2.0, 0.0]]), _batch([[0]], {(0, 0)}))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-2)), rel=1e-6)


def test_movies_that_were_read_have_no_gradient():
    candidates = _candidates(np.ones((3, 2)), [0.0, 0.0, 0.0])
    batch = _batch([[0, 1]], {(0, 1)})
    with tf.GradientTape() as tape:
        tape.watch(candidates.biases)
        loss = FullSoftmaxRetrieval()(candidates, tf.ones([1, 2]), batch)
    gradient = tf.convert_to_tensor(tape.gradient(loss, candidates.biases)).numpy()
    np.testing.assert_allclose(gradient, [0.0, -0.5, 0.5], atol=1e-6)


@pytest.mark.parametrize("task", [FullSoftmaxRetrieval(), InBatchRetrieval(8)])
def test_nothing_hidden_is_no_loss(task):
    candidates = _candidates(np.ones((3, 2)), [0.0, 0.0, 0.0])
    assert float(task(candidates, tf.ones([1, 2]), _batch([[0, 1]], set()))) == 0.0


def test_in_batch_softmax_by_hand():
    # Popularity (counts + 1) is 2, 1, 1: movies 0 and 1 are drawn with probabilities 1/2 and 1/4. Scores are
    # ln 2 (the bias of movie 0) and 0; less the logarithm of the probability, ln 4 and ln 4. Movie 0 is
    # hidden twice, but is no negative of itself: its pairs have one rival, the other pair has two.
    candidates = _candidates(np.zeros((3, 2)), np.log([2.0, 1.0, 1.0]))
    batch = _batch([[0], [0], [1]], {(0, 0), (1, 0), (2, 1)})
    loss = InBatchRetrieval(8)(candidates, tf.zeros([3, 2]), batch)
    assert float(loss) == pytest.approx((2 * math.log(2) + math.log(3)) / 3, rel=1e-4)


def test_in_batch_softmax_is_bounded():
    candidates = _candidates(np.zeros((30, 2)), np.zeros(30))
    batch = _batch([list(range(30))], {(0, movie) for movie in range(30)})
    assert float(InBatchRetrieval(10)(candidates, tf.zeros([1, 2]), batch)) == pytest.approx(
        math.log(10), rel=1e-4
    )

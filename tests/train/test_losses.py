"""Losses against numbers worked out by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.train.chunks import chunk_ratings
from components.train.model import FullSoftmaxRetrieval, InBatchRetrieval, TopKRetrieval
from components.train.towers import Candidates

pytestmark = pytest.mark.tensorflow


def _candidates(vectors, popularity):
    return Candidates(*(tf.constant(table, tf.float32) for table in (vectors, popularity)))


def _batch(rows, hidden):
    """`rows`: movies by user; `hidden`: pairs (user, movie)."""
    movies = np.array([movie for row in rows for movie in row], np.int32)
    row_splits = np.cumsum([0] + [len(row) for row in rows])
    read = chunk_ratings(
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


def _slopes(task, biases, batch):
    """The gradient of the loss by the movies' biases, where all vectors are 0."""
    candidates = _candidates(np.zeros((len(biases), 2)), biases)
    with tf.GradientTape() as tape:
        tape.watch(candidates.biases)
        loss = task(candidates, tf.ones([len(batch.counts), 2]), batch)
    return tf.convert_to_tensor(tape.gradient(loss, candidates.biases)).numpy()


def test_movies_that_were_read_have_no_gradient():
    batch = _batch([[0, 1]], {(0, 1)})
    slopes = _slopes(FullSoftmaxRetrieval(), [0.0, 0.0, 0.0], batch)
    np.testing.assert_allclose(slopes, [0.0, -0.5, 0.5], atol=1e-6)
    slopes = _slopes(TopKRetrieval(1, 0.5), [9.0, 0.0, 0.0], batch)
    np.testing.assert_allclose(slopes, [0.0, -0.25, 0.25], atol=1e-6)


def test_top_k_by_hand():
    # The two best that user 0 has not read are 1 (score 5) and 2 (3): the threshold is 3, the hidden movies 1
    # and 3 (score 0) are 2 above it and 3 below. User 1 has read nothing: the threshold is 5, movie 2 is 2
    # below.
    candidates = _candidates(np.zeros((4, 2)), [7.0, 5.0, 3.0, 0.0])
    batch = _batch([[0, 1, 3], [2]], {(0, 1), (0, 3), (1, 2)})
    loss = TopKRetrieval(2, temperature=2.0)(candidates, tf.zeros([2, 2]), batch)
    terms = [math.log(1 + math.exp(below / 2.0)) for below in (-2.0, 3.0, 2.0)]
    assert float(loss) == pytest.approx(2.0 * sum(terms) / 3, rel=1e-6)


def test_top_k_moves_the_threshold_as_the_soft_one():
    # Against differences of a loss whose threshold is where the sigmoids add up to what they do at the k-th
    # best score, found by bisection.
    random, temperature, k = np.random.default_rng(1), 0.7, 3
    scores, hidden = random.normal(size=9), [2, 5]
    unread = np.delete(scores, [0, 8])

    def inside(values, threshold):
        return np.sum(1 / (1 + np.exp((threshold - values) / temperature)))

    places = inside(unread, np.sort(unread)[-k])

    def loss(scores):
        values, low, high = np.delete(scores, [0, 8]), -20.0, 20.0
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if inside(values, middle) > places else (low, middle)
        return np.mean(temperature * np.log1p(np.exp((low - scores[hidden]) / temperature)))

    expected = [(loss(scores + step) - loss(scores - step)) / 2e-5 for step in 1e-5 * np.eye(9)]
    batch = _batch([[0, 2, 5, 8]], {(0, 2), (0, 5)})
    slopes = _slopes(TopKRetrieval(k, temperature), scores, batch)
    np.testing.assert_allclose(slopes, expected, atol=1e-4)
    assert slopes[0] == slopes[8] == 0.0


def test_who_has_read_all_but_a_few_has_nothing_to_learn():
    batch = _batch([[0, 1, 2]], {(0, 2)})
    task = TopKRetrieval(2, 1.0)
    assert float(task(_candidates(np.zeros((3, 2)), np.zeros(3)), tf.zeros([1, 2]), batch)) == 0.0
    np.testing.assert_array_equal(_slopes(task, [0.0, 1.0, 2.0], batch), 0.0)


@pytest.mark.parametrize("task", [FullSoftmaxRetrieval(), TopKRetrieval(2, 1.0), InBatchRetrieval(8)])
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


@pytest.mark.parametrize("weighs", [False, True])
def test_in_batch_softmax_is_that_of_recommenders(weighs):
    # Its loss and slopes, from a row and a column for every pair. Most movies are hidden several times.
    random = np.random.default_rng(4)
    tables = (random.normal(size=shape) for shape in ((6, 3), 6))
    candidates = Candidates(*(tf.Variable(table, dtype=tf.float32) for table in tables))
    queries = tf.Variable(random.normal(size=(5, 3)), dtype=tf.float32)
    histories = [[0, 1, 2, 3], [1, 2, 4, 5], [0, 2, 3], [1, 2], [3]]
    pairs = [(user, movie) for user, movies in enumerate(histories) for movie in movies if user + movie != 3]
    batch = _batch(histories, set(pairs))
    given = random.uniform(0.5, 3.0, size=len(pairs)) if weighs else np.ones(len(pairs))
    of_all = iter(given)
    weights = [next(of_all) if (u, m) in set(pairs) else 9.0 for u, ms in enumerate(histories) for m in ms]
    users, movies = np.array(pairs).T
    popularity = np.exp(candidates.biases)
    task = tfrs.tasks.Retrieval(remove_accidental_hits=True)
    with tf.GradientTape(persistent=True) as tape:
        loss = InBatchRetrieval(20)(candidates, queries, batch, _weights(batch, weights) if weighs else None)
        expected = task(
            tf.concat([tf.gather(queries, users), tf.ones([len(pairs), 1])], axis=1),
            tf.gather(tf.concat([candidates.vectors, candidates.biases[:, tf.newaxis]], axis=1), movies),
            candidate_sampling_probability=tf.gather(popularity / tf.reduce_sum(popularity), movies),
            candidate_ids=tf.constant(movies),
            sample_weight=tf.constant(given, tf.float32),
        ) / np.sum(given)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    for variable in (queries, candidates.vectors):
        slopes = [tf.convert_to_tensor(tape.gradient(one, variable)) for one in (loss, expected)]
        np.testing.assert_allclose(*slopes, rtol=1e-4, atol=1e-6)


def test_in_batch_softmax_is_bounded():
    candidates = _candidates(np.zeros((30, 2)), np.zeros(30))
    batch = _batch([list(range(30))], {(0, movie) for movie in range(30)})
    assert float(InBatchRetrieval(10)(candidates, tf.zeros([1, 2]), batch)) == pytest.approx(
        math.log(10), rel=1e-4
    )


def _weights(batch, weights):
    return batch.chunks.spread(tf.constant(weights, tf.float32))


def test_full_softmax_of_weights_by_hand():
    # As above; the weights of what was read do not count.
    candidates = _candidates(np.zeros((4, 2)), [math.log(2), 0, 0, 0])
    batch = _batch([[0, 3], [1, 2]], {(0, 0), (1, 1), (1, 2)})
    loss = FullSoftmaxRetrieval()(candidates, tf.zeros([2, 2]), batch, _weights(batch, [3, 9, 1, 2]))
    assert float(loss) == pytest.approx((3 * math.log(2) + 3 * math.log(5)) / 6, rel=1e-6)


def test_top_k_of_weights_by_hand():
    candidates = _candidates(np.zeros((4, 2)), [7.0, 5.0, 3.0, 0.0])
    batch = _batch([[0, 1, 3], [2]], {(0, 1), (0, 3), (1, 2)})
    weights = _weights(batch, [9, 1, 2, 4])
    loss = TopKRetrieval(2, temperature=2.0)(candidates, tf.zeros([2, 2]), batch, weights)
    terms = [math.log(1 + math.exp(below / 2.0)) for below in (-2.0, 3.0, 2.0)]
    assert float(loss) == pytest.approx(2.0 * np.dot(terms, [1, 2, 4]) / 7, rel=1e-6)


def test_in_batch_softmax_of_weights_by_hand():
    candidates = _candidates(np.zeros((3, 2)), np.log([2.0, 1.0, 1.0]))
    batch = _batch([[0], [0], [1]], {(0, 0), (1, 0), (2, 1)})
    loss = InBatchRetrieval(8)(candidates, tf.zeros([3, 2]), batch, _weights(batch, [1, 2, 5]))
    assert float(loss) == pytest.approx((3 * math.log(2) + 5 * math.log(3)) / 8, rel=1e-4)

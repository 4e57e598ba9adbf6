"""The sums that the query tower reads, by look-up and by product: the same, and so are their gradients."""

import numpy as np
import pytest
import tensorflow as tf

from components.train import towers
from components.train.chunks import chunk_ratings

pytestmark = pytest.mark.tensorflow

# User 1 has rated nothing, user 2 has nothing visible but movie 4.
MOVIES, SPLITS = [0, 2, 5, 4, 1], [0, 3, 3, 5]
STARS, VISIBLE = [1.0, -2.0, 4.0, 3.0, 5.0], [1.0, 1.0, 0.0, 1.0, 0.0]
VECTORS = np.arange(12.0, dtype=np.float32).reshape(6, 2)
RATING_EMBEDDINGS = np.float32(0.5) - VECTORS[::-1] / 8


def _batch():
    rated = chunk_ratings(tf.constant(MOVIES), tf.constant(STARS), tf.constant(SPLITS))
    return rated.with_visible(rated.chunks.spread(tf.constant(VISIBLE)))


@pytest.mark.parametrize("pool", [towers.look_up, towers.multiply, towers.pool_history])
def test_sums_and_gradients(pool):
    weights = tf.constant([[1.0, -1.0], [5.0, 7.0], [2.0, 0.5]])
    vectors, rating_embeddings = tf.Variable(VECTORS), tf.Variable(RATING_EMBEDDINGS)
    with tf.GradientTape() as tape:
        sums = pool(_batch(), vectors, rating_embeddings)
        total = tf.reduce_sum(weights * sums)
    # Of user 0, movies 0 and 2 are visible, 1.5 above and below their mean; user 2's one rating is its mean.
    expected = [
        VECTORS[0] + VECTORS[2] + 1.5 * (RATING_EMBEDDINGS[0] - RATING_EMBEDDINGS[2]),
        [0.0, 0.0],
        VECTORS[4],
    ]
    np.testing.assert_allclose(sums, expected, rtol=1e-6)
    slopes = [tf.convert_to_tensor(one).numpy() for one in tape.gradient(total, [vectors, rating_embeddings])]
    by_vector = np.zeros((6, 2))
    by_vector[[0, 2, 4]] = [[1.0, -1.0], [1.0, -1.0], [2.0, 0.5]]
    by_rating = np.zeros((6, 2))
    by_rating[[0, 2]] = [[1.5, -1.5], [-1.5, 1.5]]
    np.testing.assert_allclose(slopes[0], by_vector, rtol=1e-6)
    np.testing.assert_allclose(slopes[1], by_rating, rtol=1e-6, atol=1e-6)


def test_the_way_is_chosen_by_how_much_is_rated():
    # A chunk has 64 slots; the last one of a user is half empty on average.
    for ratings, slots in ((1.0, 64), (32.0, 64), (96.0, 128)):
        assert towers.pool_for(40 * slots, ratings) is towers.multiply
        assert towers.pool_for(40 * slots + 1, ratings) is towers.look_up

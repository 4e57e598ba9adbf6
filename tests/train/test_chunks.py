import numpy as np
import pytest
import tensorflow as tf

from components.train.chunks import CHUNK_LENGTH, chunk_ratings, cut_into_chunks

pytestmark = pytest.mark.tensorflow


@pytest.mark.parametrize(
    "lengths", [[], [0], [1], [CHUNK_LENGTH], [CHUNK_LENGTH + 1, 0, 3, 2 * CHUNK_LENGTH, 0]]
)
def test_every_entry_has_a_slot_of_its_own_row(lengths):
    row_splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.arange(1.0, row_splits[-1] + 1, dtype=np.float32)
    chunks = cut_into_chunks(tf.constant(row_splits))
    spread = chunks.spread(tf.constant(values)).numpy()
    np.testing.assert_array_equal(chunks.collect(spread), values)
    np.testing.assert_array_equal(chunks.present, spread > 0)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    for row, chunk in zip(chunks.row.numpy(), spread, strict=True):
        assert set(owner[chunk[chunk > 0].astype(int) - 1]) == {row}


def test_sums_go_to_the_user_of_the_rating():
    row_splits = np.array([0, 40, 40, 43])
    movies = np.zeros(43, np.int32)
    read = chunk_ratings(tf.constant(movies), tf.constant(np.ones(43, np.float32)), tf.constant(row_splits))
    read = read.with_visible(tf.ones_like(read.visible))
    np.testing.assert_array_equal(read.counts, [40, 0, 3])
    sums = read.sum_weighted(read.ratings[..., tf.newaxis] * [1.0, 2.0], read.visible)
    np.testing.assert_array_equal(sums, [[40, 80], [0, 0], [3, 6]])

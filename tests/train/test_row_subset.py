"""A batch's movies in place of all."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.model import TwoTower
from components.train.optimizer import RowAdam
from components.train.settings import FULL, IN_BATCH, Settings
from components.train.tables import ALL_ROWS, subset_of
from components.train.training_data import RatedCatalogue

pytestmark = pytest.mark.tensorflow

TABLE = np.arange(12, dtype=np.float32).reshape(6, 2)
DRAWN = [4, 1, 4, 2, 1]


def test_all_is_the_table_itself():
    np.testing.assert_array_equal(ALL_ROWS.of(TABLE), TABLE)
    assert float(ALL_ROWS.sum(tf.constant(TABLE))) == TABLE.sum()


def test_a_subset_has_each_movie_once_and_says_where():
    subset, places = subset_of(tf.constant(DRAWN))
    assert sorted(subset.rows.numpy()) == [1, 2, 4]
    np.testing.assert_array_equal(tf.gather(subset.of(TABLE), places), TABLE[DRAWN])


def test_a_movie_weighs_one_over_the_chance_that_it_comes():
    shares = tf.constant([0.1, 0.2, 0.3, 0.1, 0.2, 0.1])
    subset, _ = subset_of(tf.constant(DRAWN), shares)
    expected = {movie: 1 / (1 - np.exp(-5 * share)) for movie, share in ((1, 0.2), (2, 0.3), (4, 0.2))}
    weights = dict(zip(subset.rows.numpy().tolist(), subset.weights.numpy().tolist(), strict=True))
    assert weights == pytest.approx(expected)
    total = sum(weights[movie] * TABLE[movie].sum() for movie in weights)
    assert float(subset.sum(subset.of(TABLE))) == pytest.approx(total)


def test_sums_over_parts_are_on_average_those_over_all():
    random, shares = np.random.default_rng(5), np.array([0.4, 0.3, 0.15, 0.1, 0.04, 0.01], np.float32)
    sums = []
    for _ in range(3000):
        subset, _ = subset_of(tf.constant(random.choice(6, 40, p=shares / shares.sum())), tf.constant(shares))
        sums.append(float(subset.sum(subset.of(TABLE))))
    assert np.mean(sums) == pytest.approx(TABLE.sum(), rel=0.03)


def _moved(loss):
    """Which rows of the movies' tables a step moves whose batch knows movies 3 and 7 of 10."""
    counts = np.arange(1, 11)
    catalogue = RatedCatalogue(
        np.arange(10, dtype=np.int32), counts, counts, np.zeros(10, np.int32), 3.0, 1.0
    )
    settings = Settings(
        dimension=4,
        ensemble_size=1,
        hidden_units=8,
        rating_head="regression",
        rating_weights=3,
        mask_rate=0.5,
        retrieval_l2=1.0,
        retrieval_loss=loss,
        kl_weight=1.0,
    )
    model = TwoTower(catalogue, settings, np.ones((10, 4), np.float32), seed=1)
    model.compile(optimizer=RowAdam(0.1))
    candidates, head = model.candidates[0], model.rating_head
    tables = [candidates.embeddings, head.features.means, head.biases.log_deviations]
    model.optimizer.build(model.trainable_variables)
    before = [table.numpy() for table in tables]
    model.train_step((tf.constant([3, 7, 3, 7]), tf.constant([1.0, -1.0, 0.5, 0.5]), tf.constant([0, 2, 4])))
    changes = [
        np.abs(table.numpy() - old).reshape(10, -1).max(axis=1)
        for table, old in zip(tables, before, strict=True)
    ]
    return [set(np.flatnonzero(change).tolist()) for change in changes]


def test_a_step_of_the_sampled_softmax_moves_the_movies_of_its_batch_only():
    assert all(rows <= {3, 7} for rows in _moved(IN_BATCH))
    assert _moved(IN_BATCH)[0] == {3, 7}


def test_a_step_of_the_exact_softmax_moves_all():
    assert _moved(FULL)[0] == set(range(10))

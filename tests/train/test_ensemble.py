"""Pairs of towers that learn side by side and answer together."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.chunks import chunk_ratings
from components.train.model import TwoTower
from components.train.settings import FULL, IN_BATCH, Settings
from components.train.training_data import RatedCatalogue

pytestmark = pytest.mark.tensorflow

MOVIES, DIMENSION = 20, 4


def _model(**changes):
    random = np.random.default_rng(1)
    counts = random.integers(1, 50, MOVIES)
    catalogue = RatedCatalogue(np.arange(MOVIES, dtype=np.int32), counts, counts, counts % 3, 3.0, 1.0)
    settings = Settings(
        dimension=DIMENSION,
        hidden_units=8,
        rating_head="regression",
        rating_weights=3,
        mask_rate=0.5,
        **changes,
    )
    model = TwoTower(catalogue, settings, random.normal(size=(MOVIES, DIMENSION)).astype(np.float32), seed=1)
    model.compile(optimizer=tf.keras.optimizers.Adam(0.1))
    return model


def _batch(users, ratings=6):
    random = np.random.default_rng(2)
    movies = np.concatenate([np.sort(random.choice(MOVIES, ratings, replace=False)) for _ in range(users)])
    stars = random.normal(size=len(movies)).astype(np.float32)
    return (
        tf.constant(movies.astype(np.int32)),
        tf.constant(stars),
        tf.range(users + 1, dtype=tf.int64) * ratings,
    )


def test_they_start_alike_and_go_ways_of_their_own():
    model = _model(ensemble_size=2, retrieval_l2=0.0, retrieval_loss=FULL)
    first, second = model.candidates
    np.testing.assert_array_equal(first.embeddings, second.embeddings)
    model.train_step(_batch(8))
    assert np.abs(first.embeddings.numpy() - second.embeddings.numpy()).max() > 0.01


@pytest.mark.parametrize("loss", [FULL, IN_BATCH])
def test_one_user_is_enough_for_all(loss):
    model = _model(ensemble_size=4, retrieval_l2=1.0, retrieval_loss=loss, in_batch_pairs=2)

    @tf.function(input_signature=[tuple(tf.TensorSpec([None], part.dtype) for part in _batch(1))])
    def gradients(batch):
        with tf.GradientTape() as tape:
            total = model.compute_loss(batch, training=True)
        found = tape.gradient(total, model.trainable_variables)
        return total, [tf.convert_to_tensor(one) for one in found if one is not None]

    total, found = gradients(_batch(1))
    assert np.isfinite(total)
    assert all(np.all(np.isfinite(one)) for one in found)


def test_they_answer_with_the_mean_query_and_the_mean_vectors():
    model = _model(ensemble_size=3, retrieval_loss=FULL)
    for variable in model.trainable_variables:
        variable.assign_add(tf.random.stateless_normal(variable.shape, [3, 4]))
    batch = _batch(5)
    tables = [tower.table() for tower in model.candidates]
    queries = [
        tower(chunk_ratings(*batch), table.vectors)
        for tower, table in zip(model.queries, tables, strict=True)
    ]
    expected = np.mean(queries, axis=0) @ np.mean([table.vectors for table in tables], axis=0).T
    expected += np.mean([table.biases for table in tables], axis=0)
    np.testing.assert_allclose(model.scores(batch), expected, rtol=1e-4, atol=1e-4)

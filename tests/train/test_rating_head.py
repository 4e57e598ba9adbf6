"""The closed form against regressions done one by one."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.chunks import chunk_ratings
from components.train.rating_head import GaussianTable, RatingHead

pytestmark = pytest.mark.tensorflow

MOVIES, WEIGHTS = 50, 4
VECTORS = np.random.default_rng(2).normal(size=(MOVIES, 5)).astype(np.float32)
ROWS = [list(range(40)), [], [7], [3, 9, 21]]


@pytest.fixture
def head():
    random = np.random.default_rng(3)
    head = RatingHead(MOVIES, 5, WEIGHTS)
    tables = (head.features, head.biases)
    variables = [variable for table in tables for variable in table.trainable_variables]
    for variable in (*variables, head.implicit):
        variable.assign(random.normal(scale=0.3, size=variable.shape))
    return head


@pytest.fixture
def batch():
    random = np.random.default_rng(4)
    movies = np.concatenate([np.array(row, np.int32) for row in ROWS]).astype(np.int32)
    ratings = random.normal(size=len(movies)).astype(np.float32)
    row_splits = np.cumsum([0] + [len(row) for row in ROWS])
    return chunk_ratings(tf.constant(movies), tf.constant(ratings), tf.constant(row_splits))


def _predict(head, batch):
    movies = head.table(tf.constant(VECTORS)).gather(batch.movies)
    return batch.chunks.collect(head.predict(head.posterior(batch, movies), batch, movies)).numpy()


def _one_by_one(head, batch):
    """Each rating predicted by a regression on the user's other visible ratings."""
    noise = np.full(MOVIES, np.exp(head.log_noise.numpy()))
    constant = np.full((MOVIES, 1), head.user_deviation.numpy())
    features = np.hstack([head.features.means.numpy(), constant])
    variances = np.hstack([head.features.variances().numpy(), np.zeros((MOVIES, 1))])
    implicit = VECTORS @ head.implicit.numpy()
    biases = head.biases.means.numpy()[:, 0]
    ratings = batch.chunks.collect(batch.ratings).numpy()
    visible = batch.chunks.collect(batch.visible).numpy()
    predicted, start = [], 0
    for row in ROWS:
        places = range(start, start + len(row))
        everything = [movie for movie, at in zip(row, places, strict=True) if visible[at]]
        for movie in row:
            others = [(m, at) for m, at in zip(row, places, strict=True) if m != movie and visible[at]]
            prior = sum((implicit[m] for m, _ in others), np.zeros(WEIGHTS)) / np.sqrt(len(others) + 1)
            precision = np.eye(WEIGHTS)
            precision += sum((np.diag(variances[m]) / noise[m] ** 2 for m in everything), np.zeros((4, 4)))
            evidence = prior
            for m, at in others:
                precision += np.outer(features[m], features[m]) / noise[m] ** 2
                evidence = evidence + features[m] * (ratings[at] - biases[m]) / noise[m] ** 2
            predicted.append(biases[movie] + features[movie] @ np.linalg.solve(precision, evidence))
        start += len(row)
    return np.array(predicted)


def test_every_rating_is_predicted_from_the_others(head, batch):
    np.testing.assert_allclose(_predict(head, batch), _one_by_one(head, batch), rtol=2e-4, atol=2e-4)


def test_hidden_ratings_are_predicted_and_not_read(head, batch):
    hidden = np.random.default_rng(5).random(batch.movies.shape) < 0.4
    part = batch.with_visible(tf.cast(~hidden, tf.float32))
    np.testing.assert_allclose(_predict(head, part), _one_by_one(head, part), rtol=2e-4, atol=2e-4)


def test_a_rating_never_reads_itself(head, batch):
    before = _predict(head, batch)
    changed = batch.chunks.collect(batch.ratings).numpy()
    changed[[5, 41]] += 3.0
    after = _predict(head, batch._replace(ratings=batch.chunks.spread(tf.constant(changed))))
    np.testing.assert_allclose(after[[5, 41]], before[[5, 41]], atol=1e-4)
    others = np.delete(np.arange(40), 5)
    assert np.all(np.abs(after[others] - before[others]) > 1e-6)


def test_a_user_with_one_rating_gets_the_bias_alone(head, batch):
    head.implicit.assign(tf.zeros_like(head.implicit))
    assert _predict(head, batch)[40] == pytest.approx(float(head.biases.means[7, 0]), abs=1e-5)


def test_unsure_features_and_biases_widen_the_error(head, batch):
    movies = head.table(tf.constant(VECTORS)).gather(batch.movies)
    posterior = head.posterior(batch, movies)
    variance = batch.chunks.collect(head.predictive_variance(posterior, batch, movies)).numpy()
    factors = posterior.user_factors().numpy()[0] * np.exp(head.log_noise.numpy())
    variances = head.features.variances().numpy()[5] / np.exp(2 * head.log_noise.numpy())
    expected = head.biases.variances().numpy()[5, 0] + np.sum(factors[:-1] ** 2 * variances)
    assert variance[5] == pytest.approx(expected, rel=1e-4)


def test_divergence_is_that_of_gaussians():
    table = GaussianTable(10, 3, 0.1)
    table.means.assign(tf.zeros_like(table.means))
    table.log_deviations.assign(tf.zeros_like(table.log_deviations))
    table.log_widths.assign(tf.zeros_like(table.log_widths))
    assert float(table.kl_divergence()) == pytest.approx(0.0, abs=1e-5)
    # A Gaussian of mean 2 and variance 1 diverges from the standard one by 2^2 / 2.
    table.means.assign(tf.one_hot([0] * 10, 3) * 2.0)
    assert float(table.kl_divergence()) == pytest.approx(20.0, rel=1e-5)

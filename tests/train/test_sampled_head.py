"""Predictions of the sampled head against regressions done one by one, draw by draw."""

import numpy as np
import pytest
import tensorflow as tf
from random_model import random_draw

from components.train.chunks import chunk_ratings
from components.train.sampled_head import SampledHead

pytestmark = pytest.mark.tensorflow

MOVIES, FACTORS = 90, 4
# Two chunks, nothing, one movie, and a few.
ROWS = [list(range(80)), [], [7], [3, 9, 21]]
UNRATED = MOVIES


@pytest.fixture(scope="module")
def draws():
    random = np.random.default_rng(3)
    return [random_draw(MOVIES, FACTORS, random) for _ in range(3)]


@pytest.fixture(scope="module")
def head(draws):
    return SampledHead(draws)


@pytest.fixture(scope="module")
def stars():
    """The ratings of each row, centred and scaled."""
    random = np.random.default_rng(4)
    return [random.normal(size=len(row)).astype(np.float32) for row in ROWS]


def _ragged(rows, values):
    """Movies, ratings and row splits of `rows`."""
    movies, splits = np.concatenate(rows).astype(np.int32), np.cumsum([0, *map(len, rows)])
    return tuple(map(tf.constant, (movies, np.concatenate(values), splits)))


def _chunks(rows, values):
    return chunk_ratings(*_ragged(rows, values))


def _factors(draw, movies, stars):
    """The posterior mean of a user's factors given ratings: a ridge regression towards the prior."""
    keys, root = draw.keys[movies].astype(np.float64), np.sqrt(float(draw.precision))
    prior = draw.start + draw.prior[movies].sum(axis=0) / np.sqrt(len(movies) + 1)
    evidence = keys.T @ (root * (stars - draw.key_biases[movies]))
    return np.linalg.solve(np.eye(FACTORS) + keys.T @ keys, evidence + prior)


def _expected(draws, movies, stars, asked):
    """The mean over the draws of what each of them predicts for the movie `asked`."""
    movies = np.array(movies, int)
    predicted = [
        draw.values[asked] @ _factors(draw, movies, stars) + draw.value_biases[asked] for draw in draws
    ]
    return float(np.mean(predicted))


def test_other_movies_are_predicted_from_the_whole_history(head, draws, stars):
    asked = [[85, 86], [85], [0, 89], [88]]
    history, pairs = _ragged(ROWS, stars), _ragged(asked, [np.zeros(len(row), np.float32) for row in asked])
    expected = [
        _expected(draws, row, of_row, movie)
        for row, of_row, wanted in zip(ROWS, stars, asked, strict=True)
        for movie in wanted
    ]
    np.testing.assert_allclose(head.ratings(history, pairs), expected, rtol=1e-4, atol=1e-4)


def test_a_pair_of_the_history_is_predicted_as_if_it_were_not_there(head, draws, stars):
    history = _chunks(ROWS, stars)
    predicted, _ = head.predict(history, history)
    expected = [
        _expected(draws, np.delete(row, place), np.delete(of_row, place), movie)
        for row, of_row in zip(ROWS, stars, strict=True)
        for place, movie in enumerate(row)
    ]
    np.testing.assert_allclose(history.chunks.collect(predicted), expected, rtol=1e-3, atol=1e-3)


def test_a_rating_never_reads_itself(head, stars):
    changed = [values.copy() for values in stars]
    changed[0][5] += 3.0
    changed[2][0] += 3.0
    before, after = (
        history.chunks.collect(head.predict(history, history)[0]).numpy()
        for history in (_chunks(ROWS, values) for values in (stars, changed))
    )
    np.testing.assert_allclose(after[[5, 80]], before[[5, 80]], atol=1e-4)
    assert np.all(np.abs(np.delete(after - before, 5)[:79]) > 1e-6)


def test_a_movie_without_ratings_has_parameters_of_its_own(head, draws, stars):
    history = _chunks(ROWS, stars)
    _, unrated = head.predict(history, history)
    expected = [_expected(draws, row, of_row, UNRATED) for row, of_row in zip(ROWS, stars, strict=True)]
    np.testing.assert_allclose(unrated, expected, rtol=1e-4, atol=1e-4)


def test_a_user_without_history_has_the_prior(head, draws):
    nothing, asked = _ragged([[]], [np.float32([])]), _ragged([[4]], [np.float32([0])])
    expected = np.mean([draw.values[4] @ draw.start + draw.value_biases[4] for draw in draws])
    assert float(head.ratings(nothing, asked)[0]) == pytest.approx(expected, abs=1e-5)


def test_hidden_ratings_are_not_read(head, draws, stars):
    hidden = np.array([movie % 3 == 0 for movie in ROWS[0]])
    whole = _chunks(ROWS[:1], stars[:1])
    part = whole.with_visible(whole.chunks.spread(tf.constant(np.float32(~hidden))))
    predicted = whole.chunks.collect(head.predict(part, part)[0]).numpy()
    read, of_read = np.array(ROWS[0])[~hidden], stars[0][~hidden]
    expected = [_expected(draws, read, of_read, movie) for movie in np.array(ROWS[0])[hidden]]
    np.testing.assert_allclose(predicted[hidden], expected, rtol=1e-4, atol=1e-4)


def test_user_factors_times_the_table_are_the_predictions(head, stars):
    history = _chunks(ROWS, stars)
    factors = head.taste(history, lambda table: None)
    vectors, biases = head.table()
    assert factors.shape == (len(ROWS), 3 * FACTORS)
    assert vectors.shape == (MOVIES + 1, 3 * FACTORS)
    every = factors @ vectors.T + biases
    asked = _chunks([list(range(MOVIES))] * len(ROWS), [np.zeros(MOVIES, np.float32)] * len(ROWS))
    asked = asked.with_visible(tf.zeros_like(asked.visible))
    predicted, unrated = head.predict(history, asked)
    predicted = asked.chunks.collect(predicted).numpy().reshape(len(ROWS), MOVIES)
    np.testing.assert_allclose(every[:, :-1], predicted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(every[:, -1], unrated, rtol=1e-4, atol=1e-4)


def test_draws_that_know_the_user_well_are_left_out_exactly(draws):
    # Little noise: what is left out is nearly all that the posterior knows.
    exact = [draw._replace(keys=20 * draw.keys, precision=np.float32(400)) for draw in draws]
    history = _chunks([[7], [3, 9]], [np.float32([1.0]), np.float32([0.5, -1.0])])
    predicted = history.chunks.collect(SampledHead(exact).predict(history, history)[0])
    expected = [
        _expected(exact, [], np.array([]), 7),
        _expected(exact, [9], np.array([-1.0]), 3),
        _expected(exact, [3], np.array([0.5]), 9),
    ]
    np.testing.assert_allclose(predicted, expected, rtol=0.02, atol=0.02)

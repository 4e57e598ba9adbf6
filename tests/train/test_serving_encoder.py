"""Signature `profile` against `query` and `rate`."""

import numpy as np
import pytest
import tensorflow as tf
from random_model import DRAWS, HEADS, SETTINGS, random_scoring

from components.train import scoring as scoring_module
from components.train.scoring import ScoringModel, signatures
from components.train.settings import SAMPLED
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow

MOVIES = 300
# Nothing, one movie, several chunks of movies, a whole chunk, and only movies that nobody had rated.
LENGTHS = [0, 1, 200, 64, 3, 0]
RATED = np.arange(MOVIES) % 10 != 0


@pytest.fixture(scope="module", params=HEADS)
def head(request):
    """The kind of the rating head."""
    return request.param


@pytest.fixture(scope="module")
def scoring(head):
    return random_scoring(RATED, [f"m{movie}" for movie in range(MOVIES)], head=head)


@pytest.fixture(scope="module")
def histories():
    random = np.random.default_rng(1)
    rows = [random.permutation(MOVIES)[:length] for length in LENGTHS]
    rows[4] = np.array([20, 0, 110])
    movies = np.concatenate(rows).astype(np.int32)
    stars = random.integers(1, 6, len(movies)).astype(np.float32)
    return movies, stars, np.cumsum([0, *LENGTHS])


def _ask(signature, histories, **more):
    movies, stars, row_splits = histories
    users = tf.constant([""] * (len(row_splits) - 1), tf.string)
    return signature(users, tf.constant(movies), tf.constant(stars), tf.constant(row_splits), **more)


def test_the_query_is_the_same(scoring, histories):
    short, whole = (_ask(signature, histories)["query"] for signature in (scoring.profile, scoring.query))
    np.testing.assert_allclose(short, whole, rtol=1e-4, atol=1e-5)
    assert np.abs(whole).max() > 1


def test_user_factors_rate_what_is_not_in_the_history_as_rate_does(scoring, histories):
    movies, *_ = histories
    factors, table = _ask(scoring.profile, histories)["taste"], scoring.rating_candidates()
    every = np.clip(factors @ tf.transpose(table["vector"]) + table["bias"], *table["bounds"])
    unseen = np.ones_like(every, bool)
    unseen[np.repeat(np.arange(len(LENGTHS)), LENGTHS), movies] = False
    rows, asked = (side.astype(np.int32) for side in np.nonzero(unseen))
    pairs = {"pair_row": tf.constant(rows), "pair_movie": tf.constant(asked)}
    expected = _ask(scoring.rate, histories, **pairs)["rating"]
    np.testing.assert_allclose(every[unseen], expected, rtol=1e-4, atol=1e-5)
    assert len(np.unique(np.round(every[2], 2))) > 50


def test_a_pair_of_the_history_is_rated_as_if_it_were_not_there(scoring, histories):
    movies, stars, _ = histories
    place, user = 1 + 17, 2
    assert RATED[movies[place]]
    without = (
        np.delete(movies, place),
        np.delete(stars, place),
        np.cumsum([0, *LENGTHS]) - [0, 0, 0, 1, 1, 1, 1],
    )
    pair = {"pair_row": tf.constant([user]), "pair_movie": tf.constant(movies[[place]])}
    own, other = (_ask(scoring.rate, ratings, **pair)["rating"] for ratings in (histories, without))
    np.testing.assert_allclose(own, other, rtol=1e-4)


@pytest.mark.parametrize("at_once", [1, 100, 1 << 16])
def test_many_ratings_are_read_in_parts(scoring, histories, monkeypatch, at_once):
    movies, stars, splits = histories
    random = np.random.default_rng(6)
    rows, asked = random.integers(0, len(LENGTHS), 60), random.integers(-1, MOVIES, 60).astype(np.int32)
    monkeypatch.setattr(scoring_module, "RATINGS_AT_ONCE", at_once)
    model = ScoringModel(signatures(scoring))
    found = model.rate([""] * len(LENGTHS), UserRatings(movies, stars, splits), rows, asked)
    pairs = {"pair_row": tf.constant(rows.astype(np.int32)), "pair_movie": tf.constant(asked)}
    np.testing.assert_allclose(found, _ask(scoring.rate, histories, **pairs)["rating"], rtol=1e-4)


def test_nobody_asked_is_nobody_answered(scoring, head):
    answer = _ask(scoring.profile, (np.array([], np.int32), np.array([], np.float32), np.array([0])))
    factors = SETTINGS.rating_weights * (DRAWS if head == SAMPLED else 1)
    assert (answer["query"].shape, answer["taste"].shape) == ((0, 9), (0, factors))

"""Values that are not finite, also where no test row asks for them."""

import threading
import time

import numpy as np
import pytest
from held_out_world import held_out_of

from components.evaluate import scoring
from components.evaluate.scoring import ModelScorer, count_non_finite_movies, score

# Users 1 and 3 have no test row, and neither has movie 2.
_KNOWN = {(0, 0): 4.0, (1, 0): 3.0, (2, 2): 1.0, (3, 1): 5.0}
_HELD_OUT = held_out_of(_KNOWN, {(0, 1): 4.0, (2, 1): 3.0}, 4, 3)
_USERS = np.array(["u0", "u1", "u2", "u3"], object)


class _Model:
    """Tables of queries [users, 2] and stars [users, movies]; the movies are in another order."""

    def __init__(self):
        self.movie_ids = np.array(["m2", "m0", "m1"], object)
        self.vectors = np.ones((3, 2), np.float32)
        self.biases = np.zeros(3, np.float32)
        self.queries = np.ones((4, 2), np.float32)
        self.stars = np.full((4, 3), 3.0, np.float32)

    def query(self, user_ids, history):
        assert history.users == len(user_ids)
        return self.queries[[int(user[1:]) for user in user_ids]]

    def rate(self, user_ids, history, pair_row, pair_movie):
        users = np.array([int(user[1:]) for user in user_ids])
        return self.stars[users[pair_row], pair_movie]


def _found(model):
    scorer = ModelScorer(model, _HELD_OUT.movie_ids)
    users = scorer.find_non_finite(_HELD_OUT, _USERS)
    users[_HELD_OUT.users[score(scorer, _HELD_OUT, "tables").non_finite]] = True
    return users.tolist()


def test_a_finite_model_is_whole():
    model = _Model()
    model.biases[1] = -np.inf  # is not recommended
    assert _found(model) == [False] * 4
    assert count_non_finite_movies(model) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("user", range(4))
def test_the_vector_of_every_user_is_looked_at(user, value):
    model = _Model()
    model.queries[user, 1] = value
    model.vectors[:, 1] = -1.0  # so that every score is -inf, as if no movie could be recommended
    assert _found(model) == [one == user for one in range(4)]


@pytest.mark.parametrize("movie", range(3))
@pytest.mark.parametrize("user", range(4))
def test_stars_of_the_whole_catalogue_are_asked_for(user, movie, monkeypatch):
    monkeypatch.setattr(scoring, "_PAIRS_AT_ONCE", 2)
    model = _Model()
    model.stars[user, movie] = np.nan
    assert _found(model) == [one == user for one in range(4)]


class _Slow(np.ndarray):
    """Stars that take a while to look at."""

    def __array_ufunc__(self, ufunc, method, *inputs, **_):
        self.wait()
        return getattr(ufunc, method)(*(np.asarray(values) for values in inputs))


def test_a_user_whose_movies_are_asked_for_at_once_is_found_whichever_answer_is_last(monkeypatch):
    monkeypatch.setattr(scoring, "_PAIRS_AT_ONCE", 2)
    monkeypatch.setattr(scoring, "_WORKERS", 2)
    model, begun = _Model(), threading.Event()
    model.stars[3, 1] = np.nan
    rate = model.rate

    def slow(user_ids, history, pair_row, pair_movie):
        stars = rate(user_ids, history, pair_row, pair_movie)
        if list(user_ids) != ["u3"]:
            return stars
        stars = stars.view(_Slow)
        # The answer with the fault comes while the other one is looked at.
        stars.wait = (lambda: begun.wait(1)) if 1 in pair_movie else (lambda: (begun.set(), time.sleep(0.1)))
        return stars

    model.rate = slow
    assert _found(model) == [False, False, False, True]


@pytest.mark.parametrize(("most", "asked"), [(12, [0, 1, 2, 3]), (6, [0, 3]), (1, [0])])
def test_the_users_are_spread_evenly_and_fewer_where_the_catalogue_is_long(most, asked, monkeypatch):
    monkeypatch.setattr(scoring, "_MOST_STARS", most)
    model = _Model()
    model.stars[:, 0] = np.inf
    assert np.flatnonzero(_found(model)).tolist() == asked


def test_a_movie_that_the_model_does_not_know_is_asked_for_once():
    model = _Model()
    held_out = held_out_of({**_KNOWN, (0, 4): 2.0}, {(0, 3): 4.0}, 4, 5)
    asked = []
    model.rate = lambda users, history, rows, movies: asked.extend(movies) or np.ones(len(rows), np.float32)
    ModelScorer(model, held_out.movie_ids).find_non_finite(held_out, _USERS)
    assert sorted(set(asked)) == [-1, 0, 1, 2]
    assert len(asked) == 4 * 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_movies_with_a_vector_that_is_not_finite_are_counted(value):
    model = _Model()
    model.vectors[0, 1] = model.vectors[2, 0] = value
    assert count_non_finite_movies(model) == 2
    model = _Model()
    model.biases[0] = value
    assert count_non_finite_movies(model) == (0 if value == -np.inf else 1)

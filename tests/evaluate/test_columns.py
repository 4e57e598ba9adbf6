"""Movies that a model scores alike share a column, and nothing that is measured tells."""

import numpy as np
import pytest
from held_out_world import held_out_of, random_ratings
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate import ranking
from components.evaluate.ranking import Columns, Predictions, ranks
from components.evaluate.scoring import ModelScorer, score
from components.vocabulary.interactions import UserRatings


class _Model:
    """Vectors of which many are the same, as those of movies that nobody rated."""

    def __init__(self, random, users, movies, kinds):
        of_movie = random.integers(0, kinds, movies)
        self.movie_ids = np.array([f"m{movie}" for movie in range(movies)], object)
        self.vectors = random.integers(-2, 3, (kinds, 3)).astype(np.float32)[of_movie]
        self.biases = random.integers(-1, 2, kinds).astype(np.float32)[of_movie]
        self._queries = random.integers(-2, 3, (users, 3)).astype(np.float32)

    def query(self, user_ids, history):
        return self._queries[[int(user[1:]) for user in user_ids]]

    def rate(self, user_ids, history, pair_row, pair_movie):
        return np.full(len(pair_row), 3.0, np.float32)


class _EachItsOwn:
    """The same model with a column for each movie."""

    def __init__(self, model):
        self._model = model

    def predict(self, batch):
        queries = self._model.query(batch.user_ids, batch.history)
        return Predictions(queries @ self._model.vectors.T + self._model.biases, None)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 90), st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_a_shared_column_gives_the_ranks_and_lists_of_columns_apart(seed, users, movies, kinds):
    random = np.random.default_rng(seed)
    held_out = held_out_of(*random_ratings(random, users, movies), users, movies)
    model = _Model(random, users, movies, kinds)
    shared = score(ModelScorer(model, model.movie_ids), held_out, "shared")
    apart = score(_EachItsOwn(model), held_out, "apart")
    assert np.array_equal(shared.ranks, apart.ranks)
    assert np.array_equal(shared.unseen_ranks, apart.unseen_ranks)
    assert np.array_equal(shared.lists, apart.lists)


def test_alike_movies_are_found_by_every_component():
    features = np.array([[1, 2], [1, 3], [1, 2], [0, 2]], np.float32)
    columns, first = Columns.alike(features)
    assert sorted(columns.sizes.tolist()) == [1, 1, 2]
    assert np.array_equal(features[first][columns.of_movie], features)


@pytest.mark.parametrize("catalogue", [1, 7, 8, 2040, 2041, 5000])
@pytest.mark.parametrize("buffer", [1, 1 << 20])
def test_counting_by_words_counts_every_column(monkeypatch, catalogue, buffer):
    """All columns lower, none, and about half, at widths around a whole number of words and of groups."""
    monkeypatch.setattr(ranking, "_BUFFER_BYTES", buffer)
    random = np.random.default_rng(catalogue)
    scores = random.normal(size=(60, catalogue)).astype(np.float32)
    scores[0, 0], scores[1, 0] = 9, -9
    pairs = UserRatings(np.zeros(60, np.int32), np.zeros(60, np.float32), np.arange(61))
    nothing = UserRatings(np.empty(0, np.int32), np.empty(0, np.float32), np.zeros(61, np.int64))
    found, unseen = ranks(scores, pairs, nothing)
    expected = (scores >= scores[:, :1]).sum(axis=1) - 1
    assert np.array_equal(found, expected)
    assert np.array_equal(unseen, expected)
    assert (found[0], found[1]) == (0, catalogue - 1)


@pytest.mark.parametrize("values", [[0.0, -0.0, 1.0], [-1.5, -2.5, -1.5], [np.inf, -np.inf, 0.0]])
def test_seen_movies_are_taken_off_by_their_order_whatever_their_sign(values):
    """The candidate 3 scores as much as movie 0, or 0; what is seen of the others is no candidate."""
    own = np.float32(values[0] if np.isfinite(values[0]) else 0.0)
    scores = np.array([[*values, own]], np.float32)
    for seen in ([0], [1, 2], [0, 1, 2]):
        history = UserRatings(np.array(seen), np.ones(len(seen)), np.array([0, len(seen)]))
        found = ranks(scores, UserRatings(np.array([3]), np.ones(1), np.array([0, 1])), history)[1]
        others = [movie for movie in range(3) if movie not in seen]
        assert found[0] == sum(not scores[0, movie] < own for movie in others)

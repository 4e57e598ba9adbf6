import math

import numpy as np
import pytest

from components.train.artifact import ValidationMetrics
from components.train.fit import both_tasks
from components.train.validation import ValidationSample, draw_validation_users
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow


def _rows(rows):
    flat = [(user, *pair) for user, row in enumerate(rows) for pair in row]
    return UserRatings.group(*np.array(flat).reshape(-1, 3).astype(int).T, len(rows))


class _Fixed:
    def __init__(self, scores, rating):
        self._scores, self._rating = scores, rating

    def scores(self, users, history):
        return self._scores[users]

    def ratings(self, users, history, asked):
        return np.full(len(asked.movies), self._rating, np.float32)


def _ranks_by_definition(scores, known, asked):
    """Ranks of each user's movies `asked`, [[int]]."""
    ranks = []
    for user, row in enumerate(asked):
        candidates = set(range(scores.shape[1])) - {movie for movie, _ in known[user]}
        own = [(movie, scores[user, movie]) for movie, _ in row]
        ranks.append([sum(scores[user, m] >= mine for m in candidates - {movie}) for movie, mine in own])
    return ranks


def _ndcg(ranks):
    ideal = sum(1 / math.log2(place + 2) for place in range(min(len(ranks), 10)))
    return sum(1 / math.log2(rank + 2) for rank in ranks if rank < 10) / ideal


@pytest.mark.parametrize("movies", [90, 101, 300, 1100])
@pytest.mark.parametrize("levels", [2, 20, 10_000])
def test_metrics_are_as_defined_and_ties_count_against(levels, movies):
    random = np.random.default_rng(levels)
    scores = random.integers(0, levels, (6, movies)).astype(np.float32)
    known, asked = [], []
    for user in range(6):
        drawn = random.permutation(movies)
        known.append([(int(m), 1.0) for m in sorted(drawn[:40])])
        asked.append([(int(m), 3.0) for m in sorted(drawn[40 : 41 + 4 * user])])
    validation = ValidationSample(_rows(known), _rows(asked), np.arange(6), movies, 2.0, (1.0, 5.0))
    metrics = validation.measure(_Fixed(scores, 9.0))
    ranks = _ranks_by_definition(scores, known, asked)
    assert metrics.top_100_accuracy_unseen == pytest.approx(
        np.mean([rank < min(movies // 10, 100) for row in ranks for rank in row])
    )
    assert metrics.recall_10 == pytest.approx(
        np.mean([np.mean([rank < 10 for rank in row]) for row in ranks])
    )
    assert metrics.ndcg_10 == pytest.approx(np.mean([_ndcg(row) for row in ranks]))
    assert metrics.rmse == pytest.approx(2.0 * 2.0)  # clipped to 5, off by 2, two stars a unit


def test_a_small_catalogue_is_not_all_hits():
    validation = ValidationSample(_rows([[]]), _rows([[(1, 1.0)]]), np.array([0]), 30, 1.0, (1.0, 5.0))
    for before, accuracy in ((2, 1.0), (3, 0.0)):  # movies that rank before the one asked for
        scores = np.where(np.arange(30) >= 30 - before, 2.0, 0.0).astype(np.float32)[np.newaxis]
        scores[0, 1] = 1.0
        assert validation.measure(_Fixed(scores, 1.0)).top_100_accuracy_unseen == accuracy


def test_movies_without_ratings_do_not_lengthen_the_lists():
    asked = _rows([[(1, 1.0)]])
    scores = np.where(np.arange(300) < 20, 2.0, 0.0).astype(np.float32)[np.newaxis]
    scores[0, 1] = 1.0  # 19 rank before it
    for rated, accuracy in ((0, 1.0), (200, 1.0), (190, 0.0)):
        validation = ValidationSample(_rows([[]]), asked, np.array([0]), 300, 1.0, (1.0, 5.0), rated)
        assert validation.measure(_Fixed(scores, 1.0)).top_100_accuracy_unseen == accuracy


def test_scores_that_are_no_numbers_are_misses():
    validation = ValidationSample(_rows([[]]), _rows([[(1, 1.0)]]), np.array([0]), 3, 1.0, (1.0, 5.0))
    for score in (np.nan, np.inf, -np.inf):
        scores = np.array([[0.0, score, 0.0]], np.float32)
        assert validation.measure(_Fixed(scores, 1.0)) == ValidationMetrics(0.0, 0.0, 0.0, 0.0)


def test_without_rows_there_are_no_metrics():
    known, held_out = _rows([[(0, 1.0)]]), _rows([[]])
    validation = ValidationSample(known, held_out, np.array([], np.int64), 3, 1.0, (1.0, 5.0))
    assert validation.measure(_Fixed(None, 0.0)) == ValidationMetrics(None, None)


def test_either_task_alone_can_make_a_model_better():
    base = both_tasks(ValidationMetrics(1.0, 0.3))
    assert both_tasks(ValidationMetrics(0.9, 0.3)) > base
    assert both_tasks(ValidationMetrics(1.0, 0.31)) > base
    assert both_tasks(ValidationMetrics(1.1, 0.31)) < base


@pytest.mark.parametrize(
    ("wanted", "rows"), [(20, range(20, 30)), (10_000, range(250, 260)), (1, range(1, 11))]
)
def test_some_users_are_drawn_to_validate(wanted, rows):
    counts = np.array([0, 10] * 50)
    validating = draw_validation_users(counts, wanted, seed=3)
    assert counts[validating].sum() in rows
    assert not validating[counts == 0].any()
    np.testing.assert_array_equal(validating, draw_validation_users(counts, wanted, seed=3))
    assert not np.array_equal(validating, draw_validation_users(counts, wanted, seed=4))


def test_nobody_validates_where_there_are_no_rows():
    assert not draw_validation_users(np.zeros(5, np.int64), 10, seed=1).any()

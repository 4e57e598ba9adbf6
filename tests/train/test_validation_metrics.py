import numpy as np
import pytest

from components.train.fit import ValidationMetrics, ValidationSample, both_tasks, draw_validation_users
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


def _by_definition(scores, known, asked):
    hits = total = 0
    for user, row in enumerate(asked):
        seen = {movie for movie, _ in known[user]}
        for movie, _ in row:
            rivals = [m for m in range(scores.shape[1]) if m not in seen and m != movie]
            hits += sum(scores[user, m] >= scores[user, movie] for m in rivals) < 100
            total += 1
    return hits / total


@pytest.mark.parametrize("levels", [2, 20, 10_000])
def test_hits_are_counted_as_defined_and_ties_count_against(levels):
    random = np.random.default_rng(levels)
    scores = random.integers(0, levels, (6, 300)).astype(np.float32)
    known, asked = [], []
    for _ in range(6):
        movies = random.permutation(300)
        known.append([(int(m), 1.0) for m in sorted(movies[:40])])
        asked.append([(int(m), 3.0) for m in sorted(movies[40:60])])
    validation = ValidationSample(_rows(known), _rows(asked), np.arange(6), 300, 2.0, (1.0, 5.0))
    metrics = validation.measure(_Fixed(scores, 9.0))
    assert metrics.top_100_accuracy_unseen == pytest.approx(_by_definition(scores, known, asked))
    assert metrics.rmse == pytest.approx(2.0 * 2.0)  # clipped to 5, off by 2, two stars a unit


def test_a_small_catalogue_is_all_hits():
    validation = ValidationSample(_rows([[]]), _rows([[(1, 1.0)]]), np.array([0]), 3, 1.0, (1.0, 5.0))
    assert validation.measure(_Fixed(np.zeros((1, 3), np.float32), 1.0)) == ValidationMetrics(0.0, 1.0)


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

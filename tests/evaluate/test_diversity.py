"""What is said of lists and of predictions as a whole, against oracles and on simulated worlds."""

import numpy as np
import pytest
from held_out_world import grouped, held_out_of, random_ratings
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate.details import calibration
from components.evaluate.diversity import Diversity

# Movie 0 is known of 8 users, 1 of 4 of them, 2 of 2, 3 of 1.
HALVES = {(user, movie): 3.0 for movie, raters in enumerate((8, 4, 2, 1)) for user in range(raters)}


def test_one_movie_for_all_is_as_narrow_as_lists_can_be():
    same, _ = Diversity(grouped(HALVES, 8), 4).measure(np.array([[0], [0]]))
    assert same == {"coverage": 0.25, "gini": 0.75, "popularity_rank": 1.0, "novelty": 0.0}


def test_every_movie_once_is_as_wide_as_lists_can_be():
    every, _ = Diversity(grouped(HALVES, 8), 4).measure(np.array([[0, 1], [2, 3]]))
    assert every["coverage"] == 1
    assert every["gini"] == pytest.approx(0)
    assert every["popularity_rank"] == 2.5
    assert every["novelty"] == pytest.approx(np.mean([0, 1, 2, 3]))
    # 4 of 8 and 4 raters in common; 1 of 2 and 1.
    assert every["intra_list_similarity"] == pytest.approx(np.mean([4 / np.sqrt(32), 1 / np.sqrt(2)]))


def test_nothing_recommended_has_no_figures():
    assert Diversity(grouped(HALVES, 8), 4).measure(np.full((2, 3), -1)) == ({}, {})


def test_movies_as_often_rated_as_another_share_the_better_rank():
    known = {(0, 0): 1.0, (1, 0): 1.0, (0, 1): 1.0, (1, 2): 1.0}
    diversity = Diversity(grouped(known, 2), 4)
    ranks = [diversity.measure(np.array([[movie]]))[0]["popularity_rank"] for movie in range(4)]
    assert ranks == [1, 2, 2, 4]


@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.integers(2, 9))
@settings(max_examples=30, deadline=None)
def test_similarity_is_the_mean_cosine_of_all_pairs_of_a_list(seed, users, movies):
    random = np.random.default_rng(seed)
    known, _ = random_ratings(random, users, movies)
    rated = np.zeros((users, movies))
    for cell in known:
        rated[cell] = 1
    lists = np.array([random.permutation(movies)[: min(4, movies)] for _ in range(5)])
    lists[0, 1:] = -1
    lists[1, -1] = -1
    expected = []
    for row in lists:
        shown = [movie for movie in row if movie >= 0]
        pairs = [(a, b) for place, a in enumerate(shown) for b in shown[:place]]
        lengths = [np.linalg.norm(rated[:, a]) * np.linalg.norm(rated[:, b]) for a, b in pairs]
        cosines = [
            rated[:, a] @ rated[:, b] / length if length else 0
            for (a, b), length in zip(pairs, lengths, strict=True)
        ]
        expected.append(np.mean(cosines) if cosines else np.nan)
    measured = Diversity(grouped(known, users), movies).similarities(lists)
    np.testing.assert_allclose(measured, expected, atol=1e-12)


@pytest.mark.parametrize("name", ["coverage", "gini", "novelty"])
def test_the_interval_of_a_figure_of_lists_holds_what_other_users_lists_give(name):
    """Lists drawn from one distribution; the truth is the mean over many samples of as many users."""
    random = np.random.default_rng(1)
    chances = np.arange(1, 201) ** -1.0
    known = {(user, movie): 3.0 for movie in range(200) for user in range(max(1, 60 // (movie + 1)))}
    diversity = Diversity(grouped(known, 60), 200)

    def lists():
        keys = np.log(chances) + random.gumbel(size=(400, 200))
        return np.argsort(-keys, axis=1)[:, :5]

    samples = [lists() for _ in range(300)]
    truth = np.mean([diversity.metrics(one, diversity.similarities(one))[name] for one in samples])
    intervals = [diversity.measure(lists())[1][name] for _ in range(100)]
    held = np.mean([low <= truth <= high for low, high in intervals])
    assert held >= 0.9  # of coverage, nearer 1: the interval is wider than it need be, never narrower
    widths = [high - low for low, high in intervals]
    assert max(widths) < 0.25 * truth


def _predictions(stars, users=200):
    """A held-out rating for each of `users`, and the predictions `stars(ratings)`."""
    random = np.random.default_rng(3)
    ratings = random.uniform(1, 5, users)
    test = {(user, 0): float(rating) for user, rating in enumerate(ratings)}
    held_out = held_out_of({}, test, users, 1)
    return held_out, stars(held_out.pairs.ratings).astype(np.float32)


def test_right_predictions_are_calibrated_and_shifted_ones_are_off_by_the_shift():
    held_out, stars = _predictions(lambda ratings: ratings)
    right = calibration(stars, held_out)
    assert right.error == pytest.approx(0, abs=1e-6)
    assert sum(bucket.rows for bucket in right.buckets) == 200
    assert len(right.buckets) == 10
    shifted = calibration(stars + 0.5, held_out)
    assert shifted.error == pytest.approx(0.5, abs=1e-6)
    assert all(b.predicted - b.given == pytest.approx(0.5, abs=1e-6) for b in shifted.buckets)
    assert shifted.interval == pytest.approx((0.5, 0.5), abs=1e-5)


def test_a_bucket_holds_equal_predictions_together():
    held_out, stars = _predictions(lambda ratings: np.full_like(ratings, 3))
    found = calibration(stars, held_out)
    (bucket,) = found.buckets
    low, high = bucket.interval
    assert bucket.rows == 200
    assert bucket.given == pytest.approx(held_out.pairs.ratings.mean())
    assert low < bucket.given < high
    assert found.error == pytest.approx(abs(3 - held_out.pairs.ratings.mean()), abs=1e-6)


def test_predictions_that_are_no_numbers_are_in_no_bucket():
    held_out, stars = _predictions(lambda ratings: ratings)
    stars[:50] = np.nan
    assert sum(bucket.rows for bucket in calibration(stars, held_out).buckets) == 150
    none = calibration(np.full_like(stars, np.inf), held_out)
    assert none.buckets == []
    assert np.isnan(none.error)
    assert none.interval is None


def test_few_users_have_a_calibration_without_an_interval():
    held_out, stars = _predictions(lambda ratings: ratings + 1, users=20)
    found = calibration(stars, held_out)
    assert found.error == pytest.approx(1, abs=1e-6)
    assert found.interval is None
    assert {bucket.interval for bucket in found.buckets} == {None}

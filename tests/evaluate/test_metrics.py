"""Every metric against an oracle that follows its definition pair by pair."""

import math

import numpy as np
import pytest
from held_out_world import TableScorer, held_out_of, random_ratings
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate import scoring
from components.evaluate.bootstrap import UserSums
from components.evaluate.scoring import score
from components.evaluate.user_sums import user_sums
from components.metrics import ACCURACY, ACCURACY_UNSEEN, LIST_K, NDCG, RECALL, TOP_K

WORLDS = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(1, 130), st.booleans())


def _measure(scorer, held_out):
    return user_sums(score(scorer, held_out, "tables"), held_out).metrics()


def _world(seed, users, movies, ties):
    random = np.random.default_rng(seed)
    known, test = random_ratings(random, users, movies)
    scores = random.normal(size=(users, movies)).astype(np.float32)
    if ties:
        scores = np.round(scores)
    stars = random.uniform(0, 6, (users, movies)).astype(np.float32)
    return known, test, scores, stars


def _position(scores, movie, candidates):
    """How many other candidates score at least as much; infinity if that cannot be said."""
    own = scores[movie]
    if not math.isfinite(own) or movie not in candidates:
        return math.inf
    return sum(not scores[other] < own for other in candidates if other != movie)


def _positions(known, test, scores, unseen):
    """Position of each held-out pair, {(user, movie): position}."""
    movies = range(scores.shape[1])
    return {
        (user, movie): _position(
            scores[user], movie, [m for m in movies if not unseen or (user, m) not in known]
        )
        for user, movie in test
    }


@given(WORLDS)
@settings(max_examples=60, deadline=None)
def test_accuracies_are_what_counting_pair_by_pair_gives(drawn):
    known, test, scores, _ = _world(*drawn)
    measured = _measure(TableScorer(scores), held_out_of(known, test, *scores.shape))
    for form, unseen in ((ACCURACY, False), (ACCURACY_UNSEEN, True)):
        positions = _positions(known, test, scores, unseen).values()
        for k in TOP_K:
            expected = sum(position < k for position in positions) / len(test)
            assert measured[form.format(k)] == pytest.approx(expected)


@given(WORLDS)
@settings(max_examples=60, deadline=None)
def test_list_metrics_are_what_their_definitions_give_user_by_user(drawn):
    known, test, scores, _ = _world(*drawn)
    measured = _measure(TableScorer(scores), held_out_of(known, test, *scores.shape))
    positions = _positions(known, test, scores, unseen=True)
    users = sorted({user for user, _ in test})
    lists = [[position for (owner, _), position in positions.items() if owner == user] for user in users]
    for k in LIST_K:
        recalls = [sum(position < k for position in of_user) / len(of_user) for of_user in lists]
        gains = [
            sum(1 / math.log2(position + 2) for position in of_user if position < k) for of_user in lists
        ]
        ideals = [sum(1 / math.log2(i + 2) for i in range(min(k, len(of_user)))) for of_user in lists]
        ndcgs = [gain / ideal for gain, ideal in zip(gains, ideals, strict=True)]
        assert measured[RECALL.format(k)] == pytest.approx(np.mean(recalls))
        assert measured[NDCG.format(k)] == pytest.approx(np.mean(ndcgs))
    assert measured["mrr"] == pytest.approx(np.mean([1 / (1 + min(of_user)) for of_user in lists]))


@given(WORLDS)
@settings(max_examples=40, deadline=None)
def test_errors_are_of_predictions_clipped_to_the_scale(drawn):
    known, test, scores, stars = _world(*drawn)
    measured = _measure(TableScorer(None, stars), held_out_of(known, test, *scores.shape))
    errors = [min(max(float(stars[pair]), 1.0), 5.0) - rating for pair, rating in test.items()]
    assert measured["rmse"] == pytest.approx(math.sqrt(sum(error**2 for error in errors) / len(errors)))
    assert measured["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors))


def test_batches_of_any_size_give_the_same(monkeypatch):
    known, test, scores, stars = _world(5, 7, 60, False)
    held_out = held_out_of(known, test, *scores.shape)
    whole = _measure(TableScorer(scores, stars), held_out)
    monkeypatch.setattr(scoring, "_BATCH_USERS", 2)
    assert _measure(TableScorer(scores, stars), held_out) == whole


def test_every_weighting_of_the_users_is_one_of_its_own():
    sums = UserSums(np.array([1, 3]), {"mrr": np.array([1.0, 0.5]), "mae": np.array([1.0, 1.5])})
    weights = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    weighted = sums.metrics_of(weights @ np.column_stack(sums.summands()))
    assert weighted["mrr"].tolist() == [1.0, 0.75, 0.5]
    assert weighted["mae"].tolist() == [1.0, 0.625, 0.5]


def test_a_users_other_held_out_movies_stay_candidates():
    test = {(0, 0): 4.0, (0, 1): 4.0}
    scores = np.array([[2.0, 1.0, 0.0]], np.float32)
    measured = _measure(TableScorer(scores), held_out_of({}, test, 1, 3))
    assert measured["top_1_accuracy_unseen"] == 0.5


def test_a_held_out_movie_that_is_known_as_well_is_never_recommended():
    known = {(0, 0): 4.0}
    held_out = held_out_of(known, {(0, 0): 4.0, (0, 1): 3.0}, 1, 3)
    measured = _measure(TableScorer(np.array([[3.0, 2.0, 1.0]], np.float32)), held_out)
    assert measured["top_100_accuracy"] == 1.0
    assert measured["top_100_accuracy_unseen"] == 0.5


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_no_number_is_a_miss_however_small_the_catalogue(value):
    scores = np.array([[value, 1.0, 0.0]], np.float32)
    held_out = held_out_of({}, {(0, 0): 4.0}, 1, 3)
    measured = _measure(TableScorer(scores), held_out)
    assert measured["top_100_accuracy"] == 0
    assert measured["mrr"] == measured["recall_100"] == measured["ndcg_100"] == 0


def test_another_movies_nan_counts_against_the_model():
    scores = np.array([[1.0, np.nan, 0.0]], np.float32)
    measured = _measure(TableScorer(scores), held_out_of({}, {(0, 0): 4.0}, 1, 3))
    assert measured["top_1_accuracy"] == 0
    assert measured["top_5_accuracy"] == 1


@pytest.mark.parametrize(("value", "users"), [(np.nan, 1), (np.inf, 1), (-np.inf, 0)])
def test_users_with_an_answer_that_is_no_number_are_counted(value, users):
    scores = np.zeros((2, 3), np.float32)
    scores[1, 2] = value  # -inf stands for "cannot be recommended", and is none of these
    held_out = held_out_of({}, {(0, 0): 4.0, (1, 0): 2.0}, 2, 3)
    assert score(TableScorer(scores), held_out, "tables").non_finite_users == users


def test_a_user_whose_rating_is_no_number_is_counted():
    stars = np.array([[3.0], [np.nan]], np.float32)
    held_out = held_out_of({}, {(0, 0): 4.0, (1, 0): 2.0}, 2, 1)
    scored = score(TableScorer(None, stars), held_out, "tables")
    assert scored.non_finite_users == 1
    assert math.isnan(user_sums(scored, held_out).metrics()["rmse"])


def test_many_pairs_of_one_user_rank_as_few_do():
    """A user with so many pairs that the row is sorted, against the same pairs one by one."""
    random = np.random.default_rng(2)
    scores = np.round(random.normal(size=(1, 200)), 1).astype(np.float32)
    test = {(0, movie): 3.0 for movie in random.permutation(200)[:90].tolist()}
    scores[0, 7] = np.nan
    ranks = score(TableScorer(scores), held_out_of({}, test, 1, 200), "tables").ranks
    for (_, movie), rank in zip(sorted(test), ranks, strict=True):
        one = score(TableScorer(scores), held_out_of({}, {(0, movie): 3.0}, 1, 200), "tables").ranks
        assert rank == one[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.tensorflow
def test_accuracy_is_that_of_tfrs_and_errors_are_those_of_keras():
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    random = np.random.default_rng(8)
    known, test = random_ratings(random, 12, 140)
    held_out = held_out_of(known, test, 12, 140)
    queries, vectors = (random.normal(size=(n, 5)).astype(np.float32) for n in (12, 140))
    stars = random.uniform(1, 5, (12, 140)).astype(np.float32)
    measured = _measure(TableScorer(queries @ vectors.T, stars), held_out)

    metric = tfrs.metrics.FactorizedTopK(
        tf.data.Dataset.from_tensor_slices(vectors).batch(50), ks=list(TOP_K)
    )
    owners = held_out.users[held_out.user_of_pair]
    metric.update_state(queries[owners], vectors[held_out.pairs.movies])
    assert [measured[ACCURACY.format(k)] for k in TOP_K] == pytest.approx([float(m) for m in metric.result()])

    for name, keras in (
        ("rmse", tf.keras.metrics.RootMeanSquaredError()),
        ("mae", tf.keras.metrics.MeanAbsoluteError()),
    ):
        keras.update_state(held_out.pairs.ratings, stars[owners, held_out.pairs.movies])
        assert measured[name] == pytest.approx(float(keras.result()), rel=1e-5)

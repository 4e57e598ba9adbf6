"""Variety and popularity, beside a loop and numpy."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.export.reranking import diversify, score_covariance, score_spread, standard_popularity

pytestmark = pytest.mark.tensorflow


def greedy(relevance, valid, vectors, diversity, k):
    """Maximal marginal relevance of one user, as Carbonell and Goldstein write it."""
    there = relevance[valid]
    share = (relevance - there.min()) / np.ptp(there) if np.ptp(there) else np.zeros_like(relevance)
    left, chosen = list(np.flatnonzero(valid)), []
    while left and len(chosen) < k:
        gains = [
            (1 - diversity) * share[one]
            - diversity * max((vectors[one] @ vectors[other] for other in chosen), default=0.0)
            for one in left
        ]
        chosen.append(left.pop(int(np.argmax(gains))))
    return chosen


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(0, 12), diversity=st.sampled_from([0.0, 0.2, 0.7, 1.0]))
def test_maximal_marginal_relevance_is_that_of_a_loop(seed, k, diversity):
    random = np.random.default_rng(seed)
    relevance = -np.sort(-random.normal(size=(3, 12)).astype(np.float32), axis=1)
    valid = np.arange(12) < np.array([[12], [5], [1]])
    vectors = random.normal(size=(3, 12, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    padded = np.where(valid, relevance, np.finfo(np.float32).min)
    found = diversify(
        tf.constant(padded), tf.constant(valid), tf.constant(vectors), tf.constant(diversity), k
    )
    assert found.shape == (3, k)
    for row in range(3):
        expected = greedy(relevance[row], valid[row], vectors[row], diversity, k)
        assert found[row, : len(expected)].numpy().tolist() == expected
        assert len(set(found[row].numpy().tolist())) == k


def test_the_spread_is_the_deviation_of_the_scores_of_rated_movies():
    random = np.random.default_rng(0)
    vectors, biases = (
        random.normal(size=(50, 3)).astype(np.float32),
        random.normal(size=50).astype(np.float32),
    )
    counts = random.integers(0, 3, 50)
    biases[np.flatnonzero(counts)[0]] = -np.inf  # cannot be recommended
    queries = random.normal(size=(4, 3)).astype(np.float32)
    scores = (queries @ vectors.T + biases)[:, (counts > 0) & np.isfinite(biases)]
    spread = score_spread(tf.constant(queries), tf.constant(score_covariance(vectors, biases, counts)))
    np.testing.assert_allclose(spread, scores.std(axis=1), rtol=1e-4)


def test_popularity_has_no_unit():
    counts = np.array([0, 1, 10, 100, 1000])
    popularity = standard_popularity(counts)
    np.testing.assert_allclose([popularity[1:].mean(), popularity[1:].std()], [0, 1], atol=1e-6)
    assert (np.diff(popularity) > 0).all()
    assert standard_popularity(np.array([0, 3, 3])).tolist() == [0, 0, 0]
    assert standard_popularity(np.zeros(2, np.int64)).tolist() == [0, 0]

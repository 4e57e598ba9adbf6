"""The search against numpy, on worlds that hypothesis makes up."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.export.manifest import LOWEST_SCORE
from components.export.reranking import Shift
from components.export.top_k import BiasedBruteForce

pytestmark = pytest.mark.tensorflow


@st.composite
def searches(draw):
    """Vectors, biases and queries of few distinct values, so that scores tie, and what is excluded."""
    movies, queries, dimension = draw(st.integers(1, 70)), draw(st.integers(0, 4)), draw(st.integers(1, 3))
    values = np.random.default_rng(draw(st.integers(0, 10**6)))
    excluded = (
        draw(st.lists(st.tuples(st.integers(0, max(queries - 1, 0)), st.integers(0, movies - 1))))
        if queries
        else []
    )
    return (
        values.integers(-1, 2, (movies, dimension)).astype(np.float32),
        values.integers(-1, 2, movies).astype(np.float32),
        values.integers(-1, 2, (queries, dimension)).astype(np.float32),
        draw(st.integers(-1, movies + 20)),
        excluded,
    )


@settings(max_examples=80, deadline=None)
@given(searches())
def test_finds_what_a_stable_sort_puts_first(search):
    vectors, biases, queries, k, excluded = search
    index = BiasedBruteForce().index_with_bias(vectors, biases)
    rows, movies = (np.array([pair[side] for pair in excluded], np.int64) for side in (0, 1))
    scores, found = index.best(
        tf.constant(queries), k, tf.constant(rows), tf.constant(movies.astype(np.int32))
    )

    expected = queries @ vectors.T + biases
    expected[rows, movies] = LOWEST_SCORE
    k = min(max(k, 0), len(vectors))
    order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
    values = np.take_along_axis(expected, order, axis=1)
    np.testing.assert_array_equal(scores, values)
    np.testing.assert_array_equal(found, np.where(values == LOWEST_SCORE, len(vectors), order))


@settings(max_examples=80, deadline=None)
@given(searches(), st.integers(0, 10**6))
def test_the_best_among_some_are_the_best_with_the_others_left_out(search, seed):
    vectors, biases, queries, k, excluded = search
    index = BiasedBruteForce().index_with_bias(vectors, biases)
    rows, movies = (np.array([pair[side] for pair in excluded], np.int64) for side in (0, 1))
    random = np.random.default_rng(seed)
    allowed = random.random(len(vectors)) < 0.5
    shift = Shift(
        tf.constant(random.integers(0, 3, len(queries)), tf.float32),
        tf.constant(random.integers(-1, 2, len(vectors)), tf.float32),
    )
    given = tf.constant(queries), k, tf.constant(rows), tf.constant(movies.astype(np.int32))
    some = index.best_among(*given, tf.constant(np.flatnonzero(allowed).astype(np.int32)), shift)
    for one, other in zip(some, index.best(*given, tf.constant(allowed), shift), strict=True):
        np.testing.assert_array_equal(one, other)

    expected = queries @ vectors.T + biases + np.outer(shift.spread, shift.units)
    expected[rows, movies] = expected[:, ~allowed] = LOWEST_SCORE
    best = -np.sort(-expected, axis=1)[:, : max(k, 0)]
    np.testing.assert_array_equal(some[0], best)


def test_answers_like_the_layer_of_tfrs():
    import tensorflow_recommenders as tfrs  # after `components`, which chooses the Keras that it needs

    random = np.random.default_rng(0)
    vectors, queries = (random.normal(size=(count, 4)).astype(np.float32) for count in (100, 3))
    biases = random.normal(size=100).astype(np.float32)
    theirs = tfrs.layers.factorized_top_k.BruteForce().index(np.column_stack([vectors, biases]))
    scores, found = theirs(np.column_stack([queries, np.ones(3, np.float32)]), k=10)
    best_scores, best = BiasedBruteForce().index_with_bias(vectors, biases)(tf.constant(queries), k=10)
    np.testing.assert_array_equal(found, best)
    np.testing.assert_allclose(scores, best_scores, rtol=1e-6)

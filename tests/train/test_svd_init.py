"""Initial vectors against a singular value decomposition, and where there is little to find."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from components.train.svd_init import singular_vectors, svd_vectors, user_movie_matrix
from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow


def _vectors(rated, dimension, seed=1):
    """The vectors that a matrix of zeros and ones [users, movies] gives."""
    users, movies = np.nonzero(rated)
    ratings = UserRatings.group(users, movies, np.zeros(len(users)), len(rated))
    ones, rows = np.ones(rated.shape[1], np.int64), np.arange(rated.shape[1], dtype=np.int32)
    catalogue = RatedCatalogue(rows, ones, ones, np.zeros_like(rows), 0.0, 1.0)
    return svd_vectors(ratings, catalogue, dimension, seed)


def test_dot_products_are_those_of_the_principal_directions():
    # Strong blocks, so that the directions wanted stand out from the rest.
    random = np.random.default_rng(3)
    block = np.arange(200)[:, np.newaxis] % 4 == np.arange(60) % 4
    rated = (random.random((200, 60)) < np.where(block, 0.8, 0.05)).astype(np.int64)
    vectors = _vectors(rated, 3).astype(np.float64)
    of_users, of_movies = rated.sum(axis=1, keepdims=True), rated.sum(axis=0)
    scaled = rated / np.sqrt(of_users + of_users.mean()) / np.sqrt(of_movies + of_movies.mean())
    _, strengths, directions = np.linalg.svd(scaled)
    exact = directions[1:4].T * strengths[1:4]
    similarity, expected = vectors @ vectors.T, exact @ exact.T
    assert np.corrcoef(similarity.ravel(), expected.ravel())[0, 1] > 0.97
    assert np.mean(np.sum(vectors**2, axis=1)) == pytest.approx(1.25, rel=0.15)


def test_movies_of_one_genre_are_close():
    rated = np.kron(np.eye(2, dtype=np.int64), np.ones((30, 8), np.int64))
    rated[::3] = 1  # some like both
    vectors = _vectors(rated, 4)
    similarity = vectors @ vectors.T
    assert similarity[:8, :8].min() > 0.3 > -0.3 > similarity[:8, 8:].max()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (7, 1), (3, 2)])
def test_little_data_leaves_small_random_vectors(shape):
    vectors = _vectors(np.ones(shape, np.int64), 8)
    assert vectors.shape == (shape[1], 8)
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors)) == vectors.size


def test_movies_of_a_few_users_do_not_take_the_directions_of_all_others():
    random = np.random.default_rng(3)
    block = np.arange(300)[:, np.newaxis] % 2 == np.arange(60) % 2
    rated = np.zeros((340, 100), np.int64)
    rated[:300, :60] = random.random((300, 60)) < np.where(block, 0.8, 0.1)
    rated[300 + np.arange(40), 60 + np.arange(40)] = 1  # one movie each that nobody else knows
    vectors = _vectors(rated, 4)
    lengths = np.linalg.norm(vectors, axis=1)
    assert lengths[:60].min() > 2 * lengths[60:].max()


def test_a_seed_repeats_it():
    rated = (np.random.default_rng(2).random((50, 20)) < 0.3).astype(np.int64)
    one, other = (_vectors(rated, 4, seed=9) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_singular_vectors_are_those_of_a_decomposition():
    random = np.random.default_rng(4)
    strengths = np.array([9.0, 5.0, 3.0, 2.0])
    left, right = (np.linalg.qr(random.normal(size=(rows, 4)))[0] for rows in (120, 30))
    matrix = (left * strengths) @ right.T + 0.001 * random.normal(size=(120, 30))
    matrix[7] = 0.0  # a user without ratings
    found = singular_vectors(csr_array(matrix.astype(np.float32)), 3, random)
    _, values, directions = np.linalg.svd(matrix)
    np.testing.assert_allclose(found.values, values[:3], rtol=1e-3)
    aligned = np.sum(found.right * directions[:3].T, axis=0)
    np.testing.assert_allclose(np.abs(aligned), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(matrix @ found.right, axis=0), found.values, rtol=1e-3)
    np.testing.assert_allclose(found.right.T @ found.right, np.eye(3), atol=1e-3)


@pytest.mark.parametrize("shape", [(2500, 30), (30, 2500)])
def test_nearly_all_directions_are_exact(shape):
    matrix = (np.random.default_rng(6).random(shape) < 0.2).astype(np.float32)
    found = singular_vectors(csr_array(matrix), 20, np.random.default_rng(1))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    np.testing.assert_allclose(found.values, values[:20], rtol=1e-4)
    expected = (left[:, :20] * values[:20]) @ right[:20]
    np.testing.assert_allclose(matrix @ found.right @ found.right.T, expected, atol=1e-3)


def test_directions_of_no_strength_are_finite():
    one_column = np.zeros((6, 5), np.float32)
    one_column[:3, 1] = 1.0
    found = singular_vectors(csr_array(one_column), 64, np.random.default_rng(1))
    assert found.values[0] == pytest.approx(3**0.5)
    assert all(np.isfinite(part).all() for part in found)
    np.testing.assert_allclose(one_column @ found.right @ found.right.T, one_column, atol=1e-5)


def test_the_matrix_counts_ratings_whatever_their_stars():
    # User 0 rated movies 0 and 2, user 1 movie 2, user 2 nothing.
    ratings = UserRatings.group([0, 0, 1], [0, 2, 2], [0.0, -1.0, 2.0], 3)
    matrix = user_movie_matrix(ratings, 4).toarray()
    expected = np.zeros((3, 4))
    # Their numbers of ratings plus the mean number, which is 1, and at least 1 for movies too.
    expected[0, 0], expected[0, 2], expected[1, 2] = (3 * 2) ** -0.5, (3 * 3) ** -0.5, (2 * 3) ** -0.5
    np.testing.assert_allclose(matrix, expected, rtol=1e-6)
    np.testing.assert_array_equal(ratings.ratings, [0.0, -1.0, 2.0])

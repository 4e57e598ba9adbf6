"""Initial movie vectors: the leading singular directions of the user-movie matrix."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]

# The mean squared length of the vectors.
_LENGTH = 1.25
# Ratings of random users that are read; more of them hardly turn the directions.
_RATINGS = 3_000_000
_POWER_ITERATIONS = 4
# Directions beside those that are wanted: with them the others are exact sooner.
_OVERSAMPLING = 16
# Vectors have small random components where the data has no direction left.
_NOISE = 0.05


def svd_vectors(ratings: UserRatings, catalogue: RatedCatalogue, dimension: int, seed: int) -> Array:
    """Returns vectors whose dot products say which movies are watched together: float32 [movies, dimension].

    These are the leading right singular vectors of the user-movie matrix, each times its singular value. An
    entry of the matrix is 1 over the roots of the user's and of the movie's number of ratings. The first
    direction, which is popularity, is left out. Both numbers are regularised by adding their mean: else the
    strongest directions are those of movies that a few users and nobody else have rated (Chaudhuri, Chung &
    Tsiatas 2012). A range finder with power iterations gets them (Halko, Martinsson & Tropp 2011). Started
    there, retrieval needs half of the steps.
    """
    random, movies = np.random.default_rng(seed), len(catalogue.known_counts)
    matrix = _scaled_matrix(ratings, catalogue, random)
    transposed = matrix.T.tocsr()
    basis = random.normal(size=(movies, min(dimension + 1 + _OVERSAMPLING, movies))).astype(np.float32)
    for _ in range(_POWER_ITERATIONS):
        basis = _orthonormal(transposed @ (matrix @ basis))
    projected = matrix @ basis
    squares, turned = np.linalg.eigh(projected.T @ projected)
    strongest = np.argsort(-squares)[1 : dimension + 1]
    found = basis @ turned[:, strongest] * np.sqrt(np.maximum(squares[strongest], 0.0))
    vectors = random.normal(scale=_NOISE, size=(movies, dimension)).astype(np.float32)
    length = np.mean(np.sum(np.square(found), axis=1))
    vectors[:, : found.shape[1]] += found * np.sqrt(_LENGTH / length) if length > 0 else 0.0
    return vectors


def _scaled_matrix(ratings: UserRatings, catalogue: RatedCatalogue, random: np.random.Generator) -> csr_array:
    """Returns random users' rows of the scaled matrix, with `_RATINGS` entries or all."""
    order = random.permutation(np.flatnonzero(ratings.counts))
    before = np.cumsum(ratings.counts[order]) - ratings.counts[order]
    matrix = catalogue.encode([ratings], order[before < _RATINGS]).csr(len(catalogue.known_counts))
    by_user = np.diff(matrix.indptr)
    by_movie = np.bincount(matrix.indices, minlength=matrix.shape[1])
    of_users, of_movies = ((counts + max(counts.mean(), 1.0)) ** -0.5 for counts in (by_user, by_movie))
    matrix.data = np.float32(np.repeat(of_users, by_user) * of_movies[matrix.indices])
    return matrix


def _orthonormal(basis: Array) -> Array:
    """Returns a basis of the same space, by way of the small matrix of dot products.

    A QR decomposition of the tall matrix takes seconds.
    """
    squares, turned = np.linalg.eigh(np.asarray(basis.T @ basis, np.float64))
    kept = squares > squares[-1] * 1e-10
    return np.asarray(basis @ (turned[:, kept] / np.sqrt(squares[kept])), np.float32)

"""Initial movie vectors: the leading singular directions of the user-movie matrix."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import UserRatings, chunks

Array = npt.NDArray[Any]

# The mean squared length of the vectors.
_LENGTH = 1.25
# Ratings of random users that are read; more of them hardly turn the directions.
_RATINGS = 3_000_000
_POWER_ITERATIONS = 4
# Directions beside those that are wanted: with them the others are exact sooner.
_OVERSAMPLING = 16
# A matrix with at most so many times the wanted directions on its shorter side is decomposed exactly: that
# takes a tenth of the time where nearly all directions are wanted, and as long at four times.
NEARLY_ALL = 2
# Rows that are multiplied at once, as a dense block.
_BLOCK = 1024
# Squared singular values below this share of the greatest are rounding errors.
_ROUNDING = 1e-6
# Vectors have small random components where the data has no direction left.
_NOISE = 0.05


def svd_vectors(ratings: UserRatings, catalogue: RatedCatalogue, dimension: int, seed: int) -> Array:
    """Returns vectors whose dot products say which movies are watched together: float32 [movies, dimension].

    These are the leading right singular vectors of the user-movie matrix, each times its singular value. The
    first direction, which is popularity, is left out. Started there, retrieval needs half of the steps.
    """
    random, movies = np.random.default_rng(seed), len(catalogue.known_counts)
    read = catalogue.encode([ratings], sample_users(ratings.counts, random))
    directions = singular_vectors(user_movie_matrix(read, movies), dimension + 1, random)
    found = directions.right[:, 1:] * directions.values[1:]
    vectors = random.normal(scale=_NOISE, size=(movies, dimension)).astype(np.float32)
    length = np.mean(np.sum(np.square(found), axis=1))
    vectors[:, : found.shape[1]] += found * np.sqrt(_LENGTH / length) if length > 0 else 0.0
    return vectors


def sample_users(counts: Array, random: np.random.Generator) -> Array:
    """Draws users who have `_RATINGS` ratings together, or all: int64 [n]. `counts`: ratings of each user."""
    order = random.permutation(np.flatnonzero(counts))
    before = np.cumsum(counts[order]) - counts[order]
    drawn: Array = order[before < _RATINGS]
    return drawn


class Directions(NamedTuple):
    """The leading right singular vectors of a matrix, the strongest first, at most one for each column."""

    values: Array  # float32 [n], the singular values
    right: Array  # float32 [columns, n]; the matrix times these is the left ones times the values


def singular_vectors(matrix: csr_array, number: int, random: np.random.Generator) -> Directions:
    """Finds the `number` leading directions of a sparse matrix, float32 [rows, columns].

    By a range finder with power iterations (Halko, Martinsson & Tropp 2011); exactly where nearly all of them
    are wanted.
    """
    if min(matrix.shape) <= NEARLY_ALL * number:
        return _by_shorter_side(matrix, number)
    transposed, columns = matrix.T.tocsr(), matrix.shape[1]
    basis = random.normal(size=(columns, min(number + _OVERSAMPLING, columns))).astype(np.float32)
    for _ in range(_POWER_ITERATIONS):
        basis = _orthonormal(transposed @ (matrix @ basis))
    projected = matrix @ basis
    squares, turned = np.linalg.eigh(projected.T @ projected)
    strongest = np.argsort(-squares)[:number]
    return Directions(np.sqrt(np.maximum(squares[strongest], 0.0)), basis @ turned[:, strongest])


def _by_shorter_side(matrix: csr_array, number: int) -> Directions:
    """Finds the `number` leading directions by the dot products of the shorter side's vectors."""
    wide = matrix.shape[0] < matrix.shape[1]
    tall = matrix.T.tocsr() if wide else matrix
    products = np.zeros((tall.shape[1], tall.shape[1]), np.float32)
    for part in chunks(tall.shape[0], _BLOCK):
        rows = tall[part].toarray()
        products += rows.T @ rows
    squares, turned = np.linalg.eigh(products)
    squares, short = squares[::-1][:number], np.ascontiguousarray(turned[:, ::-1][:, :number])
    values = np.sqrt(np.where(squares > _ROUNDING * squares[0], squares, 0.0))
    if not wide:
        return Directions(values, short)
    long = np.zeros((tall.shape[0], len(values)), np.float32)
    return Directions(values, np.divide(tall @ short, values, where=values > 0, out=long))


def user_movie_matrix(ratings: UserRatings, movies: int) -> csr_array:
    """Returns who rated what, [users, movies]: 1 over the roots of the user's and the movie's number.

    Both numbers are regularised by adding their mean: else the strongest directions are those of movies that
    a few users and nobody else have rated (Chaudhuri, Chung & Tsiatas 2012).
    """
    matrix = ratings.csr(movies)
    by_user, by_movie = ratings.counts, np.bincount(ratings.movies, minlength=movies)
    of_users, of_movies = ((counts + max(counts.mean(), 1.0)) ** -0.5 for counts in (by_user, by_movie))
    matrix.data = np.float32(np.repeat(of_users, by_user) * of_movies[ratings.movies])
    return matrix


def _orthonormal(basis: Array) -> Array:
    """Returns a basis of the same space, by way of the small matrix of dot products.

    A QR decomposition of the tall matrix takes seconds.
    """
    squares, turned = np.linalg.eigh(np.asarray(basis.T @ basis, np.float64))
    kept = squares > squares[-1] * 1e-10
    return np.asarray(basis @ (turned[:, kept] / np.sqrt(squares[kept])), np.float32)

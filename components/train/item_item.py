"""Item-item path: EASE's weights between movies in factored form, beside the towers in every score."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]


class ItemItem(NamedTuple):
    """Factors of the path's scores.

    The score of movie j is the sum of history_i . candidates_j over the n movies i of the history, over the
    root of n + 1, as in the query tower.
    """

    history: Array  # float32 [movies, r]
    candidates: Array  # float32 [movies, r]

    def of_length(self, squared: float) -> "ItemItem":
        """Returns factors of the same scores whose `candidates` have this mean squared length."""
        own = float(np.mean(np.sum(np.square(self.candidates), axis=1)))
        factor = np.float32((squared / own) ** 0.5 if own > 0 else 1.0)
        return ItemItem(self.history / factor, self.candidates * factor)

    def scores(self, histories: UserRatings) -> Array:
        """Returns float32 [n, movies], given n histories in rows of these tables."""
        rated = histories.seen(len(self.history))
        sums = rated @ self.history / np.sqrt(np.diff(rated.indptr) + 1.0, dtype=np.float32)[:, np.newaxis]
        product: Array = sums @ self.candidates.T
        return product


class Spectrum(NamedTuple):
    """Leading eigenvectors V of X'X, where X [users, movies] is positive where a user rated a movie, else 0.

    EASE (Steck 2019) gives movie j the score sum over the history of B_ij with B = I - P / diag(P) and
    P = (X'X + ridge I)^-1. Let s be the eigenvalues, and D = s / (s + ridge) for each. Then, for i other than
    j, B_ij = (V D V')_ij / (1 - (V D V')_jj): a product of two tables with a row for each movie. The diagonal
    does not matter, since movies of the history are no candidates. So any constant may be taken off D: with
    the mean of D of the directions that are left out, few directions are nearly all of B.
    """

    squares: Array  # float32 [r], the greatest eigenvalues, descending
    directions: Array  # float32 [movies, r], their eigenvectors
    diagonal: Array  # float [movies], of X'X

    def factors(self, ridge: float) -> ItemItem:
        """Returns B, off its diagonal, for one weight of the ridge."""
        shares, squares = self.squares / (self.squares + ridge), np.square(self.directions)
        # What the directions that were left out hold of each movie, as if all had the mean eigenvalue.
        left = np.maximum(self.diagonal - squares @ self.squares, 0.0)
        length = np.maximum(1.0 - np.sum(squares, axis=1), 1e-6)
        own = squares @ shares + length * left / (left + ridge * length)
        mean = left.sum() / length.sum()
        return ItemItem(
            history=self.directions * (shares - mean / (mean + ridge)).astype(np.float32),
            candidates=self.directions / (1.0 - own).astype(np.float32)[:, np.newaxis],
        )


class Blend(NamedTuple):
    """Weight of the path in the scores, and how much it regularises."""

    ridge: float
    weight: float  # of the path's scores where the towers' count 1

    def of(self, spectrum: Spectrum) -> ItemItem:
        """Returns the factors, times the weight."""
        history, candidates = spectrum.factors(self.ridge)
        return ItemItem(history, candidates * np.float32(self.weight))

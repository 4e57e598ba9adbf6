"""Random small worlds in memory, and a scorer that answers from tables."""

import numpy as np

from components.evaluate.held_out import HeldOut
from components.evaluate.ranking import Predictions
from components.vocabulary.interactions import UserRatings


class TableScorer:
    """Answers from `scores` and `stars`, [users, movies] by user index; either may be None."""

    def __init__(self, scores=None, stars=None):
        self._scores, self._stars = scores, stars

    def predict(self, batch):
        owners = batch.users[batch.pairs.owners]
        return Predictions(
            None if self._scores is None else self._scores[batch.users],
            None if self._stars is None else self._stars[owners, batch.pairs.movies],
        )


def grouped(pairs, users):
    """UserRatings of {(user, movie): stars}."""
    owners, movies = np.array(list(pairs), np.int64).reshape(-1, 2).T
    return UserRatings.group(owners, movies, list(pairs.values()), users)


def held_out_of(known, test, users, movies, scale=(1.0, 5.0)):
    """HeldOut of two dictionaries {(user, movie): stars}."""
    of_test = grouped(test, users)
    owners = np.flatnonzero(of_test.counts)
    return HeldOut(
        users=owners,
        user_ids=np.array([f"u{user}" for user in owners], object),
        pairs=of_test.select(owners),
        known=grouped(known, users),
        movie_ids=np.array([f"m{movie}" for movie in range(movies)], object),
        rating_scale=scale,
        population=len(owners),
    )


def random_ratings(random, users, movies, share=0.5):
    """Known and held-out ratings, {(user, movie): stars} each; at least one row is held out."""
    cells = [(user, movie) for user in range(users) for movie in range(movies) if random.random() < share]
    cells = cells or [(0, 0)]
    stars = {cell: float(random.integers(1, 6)) for cell in cells}
    held = {cell for cell in cells if random.random() < 0.4} or {cells[0]}
    known = {cell: value for cell, value in stars.items() if cell not in held}
    return known, {cell: stars[cell] for cell in sorted(held)}

"""Batches of whole users, bounded in users and in ratings."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.train.catalogue import EncodedRatings, Ragged

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class UserBatches:
    """Every user with ratings once an epoch, in an order drawn anew each epoch.

    Attributes:
      ratings: what is trained on.
      users: at most so many users a batch.
      size: at most so many ratings a batch; of a user with more, a random part is taken.
      seed: decides every order.
    """

    ratings: EncodedRatings
    users: int
    size: int
    seed: int

    def from_step(self, step: int) -> Iterator[Ragged]:
        """An endless run of epochs, beginning after `step` batches: where a resumed training goes on.

        A batch is movies int32 [t], ratings float32 [t] and row_splits int64 [n + 1].
        """
        number = 0
        while True:
            groups = self._groups(number)
            for users in groups[step:]:
                yield self._read(users, number)
            step = max(step - len(groups), 0)
            number += 1

    def _groups(self, number: int) -> list[Array]:
        """The users of each batch of an epoch."""
        counts = self.ratings.counts
        order = np.random.default_rng([self.seed, number]).permutation(np.flatnonzero(counts))
        sizes = np.minimum(counts[order], self.size)
        ends = np.cumsum(sizes)
        groups, start = [], 0
        while start < len(order):
            filled = ends[start] - sizes[start] + self.size
            stop = min(start + self.users, int(np.searchsorted(ends, filled, side="right")))
            groups.append(order[start:stop])
            start = stop
        return groups

    def _read(self, users: Array, number: int) -> Ragged:
        movies, ratings, row_splits = self.ratings.rows(users)
        if row_splits[-1] > self.size:  # a batch of one user
            random = np.random.default_rng([self.seed, number, int(users[0])])
            part = np.sort(random.choice(len(movies), self.size, replace=False))
            movies, ratings, row_splits = movies[part], ratings[part], np.array([0, self.size])
        return movies, ratings, row_splits

"""Training data: the movies that have parameters, batches of whole users, and shares for replicas."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.vocabulary.interactions import Interactions, UserRatings

Array = npt.NDArray[Any]
Ragged = tuple[Array, Array, Array]

# Ratings that are looked at in one piece, so that 100 million of them need no memory.
_PIECE = 1 << 24

# Years outside these are mistakes, and would make a table as long as the mistake is large.
_FIRST_YEAR, _YEARS = 1850, 300


@dataclass(frozen=True)
class Catalogue:
    """What the model takes from the data besides the ratings themselves.

    Only movies with known ratings have parameters; a catalogue is often mostly movies without any.

    Attributes:
      rows: int32 [M], the row of each movie in the model's tables; -1 for a movie without known ratings.
      training_counts, known_counts: int64 [rated movies], ratings of each in the training split, and in the
        training and validation splits together.
      years: int32 [rated movies], the year of each, counted from the first one before which there is none;
        0 where it is not known.
      mean: of the training ratings, in stars.
      scale: their standard deviation, in stars; 1 if all are equal. Inside the model a rating is
        (stars - mean) / scale, so that no setting depends on whether people give 1-5 or 1-100.
    """

    rows: Array
    training_counts: Array
    known_counts: Array
    years: Array
    mean: float
    scale: float

    @classmethod
    def of(cls, interactions: Interactions, years: Array) -> Self:
        """Takes what the model needs of `interactions`.

        Args:
          years: int32 [M], of each movie of the catalogue; 0 where it is not known.

        Raises:
          UserError: if there are no training ratings.
        """
        train, validation = interactions.split("train"), interactions.split("validation")
        if not len(train.movies):
            raise UserError("the interactions hold no training ratings; give `twotower ingest` more rows")
        training_counts = _counts(train.movies, interactions.movies)
        known_counts = training_counts + _counts(validation.movies, interactions.movies)
        rated = known_counts > 0
        rows = np.where(rated, np.cumsum(rated) - 1, -1).astype(np.int32)
        mean, deviation = _moments(train.ratings)
        return cls(
            rows=rows,
            training_counts=training_counts[rated],
            known_counts=known_counts[rated],
            years=_counted_from_one(years[rated]),
            mean=mean,
            scale=deviation or 1.0,
        )

    def bounds(self, rating_scale: tuple[float, float]) -> tuple[float, float]:
        """The least and the greatest rating in the model's units."""
        low, high = ((stars - self.mean) / self.scale for stars in rating_scale)
        return low, high


@dataclass(frozen=True)
class EncodedRatings:
    """Ratings by user as the model reads them; they stay on disk until they are asked for.

    Attributes:
      parts: over the same users; the ratings of all of them count.
    """

    catalogue: Catalogue
    parts: Sequence["UserRatings | OfSomeUsers"]

    @property
    def counts(self) -> Array:
        """How many ratings each user has, int64 [users]."""
        return np.asarray(sum(part.counts for part in self.parts))

    def rows(self, users: Array) -> Ragged:
        """The ratings of `users`, one after the other.

        Returns:
          movies int32 [t] (rows of the model's tables), ratings float32 [t] (centred and scaled) and
          row_splits int64 [n + 1].
        """
        movies, ratings, row_splits = _joined([part.rows(users) for part in self.parts])
        scaled = (ratings - np.float32(self.catalogue.mean)) / np.float32(self.catalogue.scale)
        return self.catalogue.rows[movies], scaled, row_splits


@dataclass(frozen=True)
class OfSomeUsers:
    """The ratings of some users, as if the others had none.

    Attributes:
      ratings: of everybody.
      chosen: bool [users].
    """

    ratings: UserRatings
    chosen: Array

    @property
    def counts(self) -> Array:
        """int64 [users]; 0 for users who were not chosen."""
        return np.where(self.chosen, self.ratings.counts, 0)

    def rows(self, users: Array) -> Ragged:
        """As `UserRatings.rows`."""
        known = np.maximum(users, 0)
        return self.ratings.rows(np.where((users >= 0) & self.chosen[known], users, -1))


def _joined(parts: Sequence[Ragged]) -> Ragged:
    """The rows of several ragged arrays, each row joined with its like."""
    if len(parts) == 1:
        return parts[0]
    owners = np.concatenate([np.repeat(np.arange(len(splits) - 1), np.diff(splits)) for *_, splits in parts])
    order = np.argsort(owners, kind="stable")
    movies, ratings = (np.concatenate(column)[order] for column in list(zip(*parts, strict=True))[:2])
    return movies, ratings, np.sum([splits for *_, splits in parts], axis=0)


def _counted_from_one(years: Array) -> Array:
    """Years as rows of a table as long as they span, and 0 for those not known; odd ones count as unknown."""
    known = (years >= _FIRST_YEAR) & (years < _FIRST_YEAR + _YEARS)
    first = int(years[known].min(initial=_FIRST_YEAR + _YEARS))
    return np.where(known, years - first + 1, 0).astype(np.int32)


def _counts(movies: Array, size: int) -> Array:
    pieces = range(0, len(movies), _PIECE)
    return sum(
        (np.bincount(movies[start : start + _PIECE], minlength=size) for start in pieces),
        start=np.zeros(size, np.int64),
    )


def _moments(ratings: Array) -> tuple[float, float]:
    """Mean and standard deviation."""
    pieces = [ratings[start : start + _PIECE] for start in range(0, len(ratings), _PIECE)]
    mean = sum(float(np.sum(piece, dtype=np.float64)) for piece in pieces) / len(ratings)
    squares = sum(float(np.sum(np.square(piece - mean, dtype=np.float64))) for piece in pieces)
    return mean, (squares / len(ratings)) ** 0.5


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


def deal(batch: Ragged, replicas: int) -> list[Ragged]:
    """Each replica's share of a batch: whole users, with about as many ratings for each replica.

    The users are dealt to and fro by falling number of ratings, as teams are chosen. Together the shares are
    the batch. Only a batch with fewer users than replicas deals some of them more than once, since the model
    has no loss for an empty share; each replica then hides other ratings of theirs.

    Args:
      batch: movies int32 [t], ratings float32 [t] and row_splits int64 [n + 1], n at least 1.
    """
    if replicas == 1:
        return [batch]
    order = np.argsort(-np.diff(batch[2]), kind="stable")
    users = np.resize(order, max(len(order), replicas))
    there_and_back = np.concatenate([np.arange(replicas), np.arange(replicas)[::-1]])
    seats = np.resize(there_and_back, len(users))
    return [_of_users(batch, np.sort(users[seats == replica])) for replica in range(replicas)]


def _of_users(batch: Ragged, users: Array) -> Ragged:
    movies, ratings, row_splits = batch
    lengths = np.diff(row_splits)[users]
    shares = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(shares[-1]) + np.repeat(row_splits[users] - shares[:-1], lengths)
    return movies[rows], ratings[rows], shares.astype(row_splits.dtype)

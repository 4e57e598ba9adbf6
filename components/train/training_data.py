"""Training data: the movies that have parameters, batches of whole users, and shares for replicas."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.vocabulary.interactions import Interactions, UserRatings, chunks

Array = npt.NDArray[Any]
# Input of a training step: `UserRatings.arrays` of the batch.
Batch = tuple[Array, Array, Array]

# Ratings that are counted in one piece, so that 100 million of them need little memory.
_PIECE = 1 << 24

# Years outside this range are mistakes, which would make the table of years too long.
_FIRST_YEAR, _YEARS = 1850, 300


@dataclass(frozen=True)
class RatedCatalogue:
    """Movies with known ratings, which alone have parameters, and the mean and scale of the ratings.

    Most movies of a catalogue often have no ratings.
    """

    rows: Array  # int32 [M], of each movie in the model's tables; -1 for a movie without known ratings
    training_counts: Array  # int64 [rated movies], ratings of each in the training split
    known_counts: Array  # int64 [rated movies], in the training and validation splits together
    years: Array  # int32 [rated movies], the year of each, the first one being 1; 0 where it is not known
    mean: float  # of the training ratings, in stars
    # Their standard deviation, in stars; 1 if all are equal. Inside the model a rating is (stars - mean) /
    # scale, so that no setting depends on whether people give 1-5 or 1-100.
    scale: float
    ratings_a_user: float = 0.0  # training ratings on average, of users with any

    @property
    def rated(self) -> int:
        """The number of movies with known ratings."""
        return len(self.known_counts)

    @classmethod
    def of(cls, interactions: Interactions, years: Array) -> Self:
        """Counts the ratings of `interactions`.

        `years` is int32 [M], of each movie of the catalogue; 0 where it is not known. Raises `UserError` if
        there are no training ratings.
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
            years=_number_years(years[rated]),
            mean=mean,
            scale=deviation or 1.0,
            ratings_a_user=len(train.movies) / np.count_nonzero(train.counts),
        )

    def counts_of_all(self) -> Array:
        """Returns the known ratings of each movie of the catalogue, int64 [M]."""
        return np.where(self.rows < 0, 0, self.known_counts[self.rows])

    def bounds(self, rating_scale: tuple[float, float]) -> tuple[float, float]:
        """Returns the least and the greatest rating in the model's units."""
        low, high = ((stars - self.mean) / self.scale for stars in rating_scale)
        return low, high

    def encode(self, parts: Sequence[UserRatings], users: Array) -> UserRatings:
        """Reads the ratings of `users` in all `parts` as the model takes them.

        The parts are over the same users. Movies become rows of the model's tables; ratings are centred and
        scaled.
        """
        read = UserRatings.join([part.select(users) for part in parts])
        scaled = (read.ratings - np.float32(self.mean)) / np.float32(self.scale)
        return UserRatings(self.rows[read.movies], scaled, read.offsets)


def _number_years(years: Array) -> Array:
    """Numbers the years from 1, in steps of one; 0 stands for years that are unknown or impossible."""
    known = (years >= _FIRST_YEAR) & (years < _FIRST_YEAR + _YEARS)
    first = int(years[known].min(initial=_FIRST_YEAR + _YEARS))
    return np.where(known, years - first + 1, 0).astype(np.int32)


def _counts(movies: Array, size: int) -> Array:
    pieces = (movies[piece] for piece in chunks(len(movies), _PIECE))
    return sum((np.bincount(piece, minlength=size) for piece in pieces), start=np.zeros(size, np.int64))


def _moments(ratings: Array) -> tuple[float, float]:
    """Returns mean and standard deviation."""
    pieces = [ratings[piece] for piece in chunks(len(ratings), _PIECE)]
    mean = sum(float(np.sum(piece, dtype=np.float64)) for piece in pieces) / len(ratings)
    squares = sum(float(np.sum(np.square(piece - mean, dtype=np.float64))) for piece in pieces)
    return mean, (squares / len(ratings)) ** 0.5


def digest(interactions: Interactions, years: Array) -> str:
    """Returns a fingerprint of the ratings and years that are trained on, whatever files they came from."""
    sha = hashlib.sha256(repr((interactions.rating_scale, interactions.movies)).encode())
    for name in ("train", "validation"):
        part = interactions.split(name)
        for array in (part.offsets, part.movies, part.ratings):
            sha.update(np.ascontiguousarray(array).data)
    sha.update(np.ascontiguousarray(years).data)
    return sha.hexdigest()


@dataclass(frozen=True)
class UserBatches:
    """Batches of whole users; an epoch has every user with ratings once, in a random order of its own."""

    catalogue: RatedCatalogue  # encodes the ratings
    parts: Sequence[UserRatings]  # ratings of the same users; those of all parts are trained on
    users: int  # at most so many users a batch
    size: int  # at most so many ratings a batch; of a user with more, a random part is taken
    seed: int  # decides every order

    @property
    def counts(self) -> Array:
        """Number of ratings of each user, int64 [users]."""
        return np.asarray(np.sum([part.counts for part in self.parts], axis=0))

    def from_step(self, step: int) -> Iterator[Batch]:
        """Yields batches without end, beginning after `step` batches, as a resumed training does.

        A batch is movies int32 [t], ratings float32 [t] and offsets int64 [n + 1].
        """
        number = 0
        while True:
            groups = self._groups(number)
            for users in groups[step:]:
                yield self._read(users, number)
            step = max(step - len(groups), 0)
            number += 1

    def _groups(self, number: int) -> list[Array]:
        """Returns the users of each batch of an epoch."""
        counts = self.counts
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

    def _read(self, users: Array, number: int) -> Batch:
        movies, ratings, offsets = self.catalogue.encode(self.parts, users).arrays
        if offsets[-1] > self.size:  # a batch of one user
            random = np.random.default_rng([self.seed, number, int(users[0])])
            part = np.sort(random.choice(len(movies), self.size, replace=False))
            movies, ratings, offsets = movies[part], ratings[part], np.array([0, self.size])
        return movies, ratings, offsets


def share_out(batch: Batch, replicas: int) -> list[Batch]:
    """Splits a batch into one share of whole users for each replica, with about as many ratings each.

    The users go to the replicas by falling number of ratings, in turns of alternating direction. Together the
    shares are the batch. Only where a batch has fewer users than replicas, some users are in several shares,
    since the model has no loss for an empty one; each replica then hides other ratings of theirs. `batch` has
    movies int32 [t], ratings float32 [t] and offsets int64 [n + 1], n at least 1.
    """
    if replicas == 1:
        return [batch]
    ratings = UserRatings(*batch)
    order = np.argsort(-ratings.counts, kind="stable")
    users = np.resize(order, max(len(order), replicas))
    there_and_back = np.concatenate([np.arange(replicas), np.arange(replicas)[::-1]])
    seats = np.resize(there_and_back, len(users))
    return [ratings.select(np.sort(users[seats == replica])).arrays for replica in range(replicas)]

"""The movies that a model has parameters for, and the scale of its ratings."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.vocabulary.interactions import Interactions, UserRatings

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Catalogue:
    """What the model takes from the data besides the ratings themselves.

    Only movies with known ratings have parameters; a catalogue is often mostly movies without any.

    Attributes:
      rows: int32 [M], the row of each movie in the model's tables; -1 for a movie without known ratings.
      counts: int64 [rated movies], training ratings of each.
      mean: of the training ratings, in stars.
      scale: their standard deviation, in stars; 1 if all are equal. Inside the model a rating is
        (stars - mean) / scale, so that no setting depends on whether people give 1-5 or 1-100.
    """

    rows: Array
    counts: Array
    mean: float
    scale: float

    @classmethod
    def of(cls, interactions: Interactions) -> Self:
        """Raises `UserError` if there are no training ratings."""
        train, validation = interactions.split("train"), interactions.split("validation")
        if not len(train.movies):
            raise UserError("the interactions hold no training ratings; give `twotower ingest` more rows")
        counts = np.bincount(train.movies, minlength=interactions.movies)
        rated = (counts + np.bincount(validation.movies, minlength=interactions.movies)) > 0
        rows = np.where(rated, np.cumsum(rated) - 1, -1).astype(np.int32)
        deviation = float(np.std(train.ratings, dtype=np.float64))
        return cls(rows, counts[rated], float(np.mean(train.ratings, dtype=np.float64)), deviation or 1.0)

    def encode(self, ratings: UserRatings) -> UserRatings:
        """The same ratings by row of the tables, centred and scaled."""
        scaled = (ratings.ratings - np.float32(self.mean)) / np.float32(self.scale)
        return UserRatings(np.asarray(ratings.offsets), self.rows[ratings.movies], scaled)

    def bounds(self, rating_scale: tuple[float, float]) -> tuple[float, float]:
        """The least and the greatest rating in the model's units."""
        low, high = ((stars - self.mean) / self.scale for stars in rating_scale)
        return low, high

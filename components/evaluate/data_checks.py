"""How the data at hand differ from those that the champion was trained on, and which it may have read."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import HeldOut
from components.vocabulary.data_summary import DataSummary, HashSample, id_hashes, row_hashes

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DataChange:
    """The known ratings at hand beside those of the champion.

    Attributes:
      rows_share: the number of ratings here / there.
      mean_shift: the absolute difference of the mean ratings, in stars.
      histogram_distance: the share of ratings that would have to be others for the two histograms to agree
        (total variation distance), 0 to 1.
      new_users, new_movies: the share of users, and of movies, with ratings here and none there, 0 to 1.
      scale: the width of the rating scale here, in stars.
    """

    rows_share: float
    mean_shift: float
    histogram_distance: float
    new_users: float
    new_movies: float
    scale: float

    @classmethod
    def between(cls, champion: DataSummary, here: DataSummary, rating_scale: tuple[float, float]) -> Self:
        """Compares two summaries."""
        return cls(
            rows_share=here.ratings / champion.ratings if champion.ratings else float("inf"),
            mean_shift=abs(here.rating_mean - champion.rating_mean),
            histogram_distance=_distance(champion.rating_histogram, here.rating_histogram),
            new_users=_new(champion.users, here.users),
            new_movies=_new(champion.movies, here.movies),
            scale=rating_scale[1] - rating_scale[0],
        )


@dataclass(frozen=True)
class Overlap:
    """Which held-out pairs a model was trained on, as far as the sample of its training rows tells.

    Attributes:
      told: how many pairs it can be told of.
      trained: on how many of those the model was trained.
      unread: bool [p], the pairs that it was certainly not trained on.
    """

    told: int
    trained: int
    unread: Array

    @classmethod
    def of(cls, trained: DataSummary, held_out: HeldOut) -> Self:
        """Looks for the held-out pairs in the sample of training rows."""
        users, movies = id_hashes(held_out.user_ids), id_hashes(held_out.movie_ids)
        rows = row_hashes(users[held_out.user_of_pair], movies[held_out.movies])
        told, held = trained.rows.covers(rows), trained.rows.holds(rows)
        return cls(int(np.count_nonzero(told)), int(np.count_nonzero(held)), told & ~held)

    @property
    def share(self) -> float:
        """The estimated share of the held-out pairs that the model was trained on, 0 to 1."""
        return self.trained / self.told if self.told else 0.0


def _distance(one: dict[str, int], other: dict[str, int]) -> float:
    sizes = max(sum(one.values()), 1), max(sum(other.values()), 1)
    levels = one.keys() | other.keys()
    return sum(abs(one.get(level, 0) / sizes[0] - other.get(level, 0) / sizes[1]) for level in levels) / 2


def _new(there: HashSample, here: HashSample) -> float:
    """The share of what is here and not there; of those that both samples tell of."""
    told = here.hashes[there.covers(here.hashes)]
    return float(np.mean(~there.holds(told))) if len(told) else 0.0

"""Parts of the test rows on which a model may be weak although it is good on the whole."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import HeldOut, Slice

Array = npt.NDArray[Any]

# The most rated movies that together hold this share of the known ratings are the head, the next the middle.
_HEAD, _MIDDLE = 0.5, 0.8


def slices(held_out: HeldOut, years: Array) -> list[Slice]:
    """Divides the pairs by activity of the user, by popularity of the movie, and by the movie's decade.

    New users have no known rating; of the others, light ones are the third with the fewest, heavy ones the
    third with the most. The head are the most rated movies that hold half of the known ratings, the middle
    those that hold the next 30%, the tail all others.

    Args:
      years: int32 [M], 0 where unknown.
    """
    return [Slice(name, pairs) for name, pairs in _all(held_out, years) if pairs.any()]


def _all(held_out: HeldOut, years: Array) -> Iterator[tuple[str, Array]]:
    known = held_out.known.counts[held_out.users]
    some = known[known > 0]
    low, high = np.quantile(some, [1 / 3, 2 / 3]) if len(some) else (0, 0)
    for name, users in (
        ("new_users", known == 0),
        ("light_users", (known > 0) & (known <= low)),
        ("heavy_users", (known > 0) & (known > high)),
    ):
        yield name, users[held_out.user_of_pair]
    before = _share_of_more_popular(held_out)[held_out.pairs.movies]
    yield "head_movies", before < _HEAD
    yield "middle_movies", (before >= _HEAD) & (before < _MIDDLE)
    yield "tail_movies", before >= _MIDDLE
    decades = years[held_out.pairs.movies] // 10 * 10
    for decade in np.unique(decades[decades > 0]):
        yield f"movies_of_the_{decade}s", decades == decade


def _share_of_more_popular(held_out: HeldOut) -> Array:
    """The share of the known ratings that fall on movies with more ratings, float64 [M]."""
    counts = np.bincount(held_out.known.movies, minlength=len(held_out.movie_ids))
    order = np.argsort(-counts, kind="stable")
    shares = np.empty(len(counts))
    shares[order] = (np.cumsum(counts[order]) - counts[order]) / max(counts.sum(), 1)
    return shares

"""Reasons of recommendations, and the words for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.recommend.titles import titled

# The part of the scale, from its top, whose ratings mean that somebody liked a movie: 4 and 5 of 1 to 5.
_LIKED = 0.25


@dataclass(frozen=True)
class Reasons:
    """Reasons of recommendations to one user."""

    # To each recommended movie up to three of the user's own, without which its score would fall most:
    # movie_id, title, year, rating (or count, of feedback without stars) and fall, the greatest first.
    movies: list[list[dict[str, Any]]]
    rated: int  # the user's ratings
    considered: int  # how many of them were left out in turn; at most 200

    @property
    def limits(self) -> str:
        """A sentence that says which ratings were considered; "" if all were."""
        if self.considered == self.rated:
            return ""
        return (
            f"Reasons were looked for among {self.considered:,} of the user's {self.rated:,} movies: "
            "those most like or unlike a recommended one."
        )


def describe(reasons: Sequence[dict[str, Any]], scale: tuple[float, float]) -> str:
    """Says what the user did with the movies of `reasons`: "liked Up (2009), and rated Cats (2019) 1★".

    `scale` is that of the ratings. Only a movie with a rating in its top quarter is said to be liked.
    """
    low, high = scale
    said: dict[str, list[str]] = {"liked": [], "rated": [], "watched": []}
    for movie in reasons:
        name = titled(movie["title"], movie["year"])
        if "rating" not in movie:
            said["watched"].append(name)
        elif movie["rating"] >= high - _LIKED * (high - low):
            said["liked"].append(name)
        else:
            said["rated"].append(f"{name} {movie['rating']:g}★")
    return ", and ".join(f"{verb} {_listed(names)}" for verb, names in said.items() if names)


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)

"""One user who shows what the recommender does, for the end of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.recommend.display import stars, table
from components.recommend.index import PublishedIndex
from components.recommend.titles import titled

_USERS_LOOKED_AT = 200


@dataclass(frozen=True)
class Showcase:
    """A user, what that user liked best, and what the index recommends.

    Attributes:
      user_id: the user.
      rated: how many movies the user rated.
      liked: the best rated ones, with movie_id, title, year and rating.
      recommended: movie_id, title, year, score and predicted rating, best first.
    """

    user_id: str
    rated: int
    liked: list[dict[str, Any]]
    recommended: list[dict[str, Any]]


def showcase(index: str | Path, k: int = 5) -> Showcase:
    """Picks a user of the index at `index` whose history is of a usual length and whose ratings differ most.

    Args:
      k: how many liked and how many recommended movies to show.

    Raises:
      UserError: if there is no whole index at `index`.
    """
    published = PublishedIndex.load(index)
    user_id, history = _typical_user(published)
    recommended = published.recommend([user_id], k).movies(0)
    return Showcase(user_id, len(history), history[:k], recommended)


def _typical_user(published: PublishedIndex) -> tuple[str, list[dict[str, Any]]]:
    user_ids = published.user_ids
    places = np.unique(np.linspace(0, len(user_ids) - 1, _USERS_LOOKED_AT).astype(int))
    histories = dict(zip((ids := [user_ids[i] for i in places]), published.histories(ids), strict=True))
    median = np.median([len(history) for history in histories.values()])
    usual = {user: history for user, history in histories.items() if median <= len(history) <= 2 * median}
    # A user who tells liked from disliked movies has a taste to be met.
    return max(usual.items(), key=lambda item: np.std([movie["rating"] for movie in item[1]]))


def render(shown: Showcase) -> Any:
    """The showcase as a `rich` renderable of at most 80 columns."""
    from rich.console import Group

    liked = [[titled(movie["title"], movie["year"]), stars(movie["rating"])] for movie in shown.liked]
    wanted = [[titled(movie["title"], movie["year"]), stars(movie["rating"])] for movie in shown.recommended]
    return Group(
        table(
            f"User {shown.user_id} rated {shown.rated} movies and liked best",
            ["movie", "rated"],
            liked,
            ["rated"],
        ),
        table("and should watch next", ["movie", "predicted"], wanted, ["predicted"]),
    )

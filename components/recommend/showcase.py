"""One user who shows what the recommender does, for the end of a run."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.recommend.display import stars
from components.recommend.index import PublishedIndex
from components.recommend.titles import printable, titled

_USERS_LOOKED_AT = 200
# Movies with the best scores, among which the predicted rating decides.
_POOL = 100


@dataclass(frozen=True)
class Showcase:
    """A user, what that user liked best, and what the index recommends.

    Attributes:
      user_id: the user.
      rated: how many movies the user rated.
      liked: the best rated ones, with movie_id, title, year and rating.
      recommended: movie_id, title, year, score and predicted rating: of the 100 movies that suit the user
        best, those with the highest predicted ratings.
    """

    user_id: str
    rated: int
    liked: list[dict[str, Any]]
    recommended: list[dict[str, Any]]


def showcase(index: str | Path, k: int = 5) -> Showcase:
    """Picks a user of the index at `index` whose ratings are of usual number, mean and spread.

    Args:
      k: how many liked and how many recommended movies to show.

    Raises:
      UserError: if there is no whole index at `index`.
    """
    published = PublishedIndex.load(index)
    user_id, history = _typical_user(published)
    recommended = published.recommend([user_id], k, order="rating", pool=_POOL).movies(0)
    return Showcase(user_id, len(history), history[:k], recommended)


def _typical_user(published: PublishedIndex) -> tuple[str, list[dict[str, Any]]]:
    user_ids = published.user_ids
    places = np.unique(np.linspace(0, len(user_ids) - 1, _USERS_LOOKED_AT).astype(int))
    histories = dict(zip((ids := [user_ids[i] for i in places]), published.histories(ids), strict=True))
    median = np.median([len(history) for history in histories.values()])
    usual = {user: history for user, history in histories.items() if median <= len(history) <= 2 * median}
    taste = {user: _taste(history) for user, history in usual.items()}
    typical = np.median(list(taste.values()), axis=0)
    # Somebody of extremes would be shown movies that nobody else would call recommendable.
    chosen = min(usual, key=lambda user: float(np.abs(taste[user] - typical).sum()))
    return chosen, usual[chosen]


def _taste(history: list[dict[str, Any]]) -> npt.NDArray[np.float64]:
    """Mean and standard deviation of the ratings."""
    ratings = [movie["rating"] for movie in history]
    return np.array([np.mean(ratings), np.std(ratings)])


def render(shown: Showcase) -> Any:
    """The showcase as a `rich` renderable of at most 80 columns: the history beside the recommendations."""
    from rich.table import Table
    from rich.text import Text

    title = Text(printable(f"User {shown.user_id} rated {shown.rated} movies"))
    result = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name in ("liked best", "should watch next"):
        result.add_column(name, no_wrap=True, overflow="ellipsis", max_width=32)
        result.add_column("stars", justify="right")
    for pair in zip_longest(shown.liked, shown.recommended):
        result.add_row(*(Text(printable(cell)) for movie in pair for cell in _cells(movie)))
    return result


def _cells(movie: dict[str, Any] | None) -> tuple[str, str]:
    return (titled(movie["title"], movie["year"]), stars(movie["rating"])) if movie else ("", "")

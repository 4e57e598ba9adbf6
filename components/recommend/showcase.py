"""Example user that a run shows at its end: what the user liked, beside what the index recommends."""

from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from components.display import printable, stars
from components.recommend.index import POOL, Order, PublishedIndex
from components.recommend.titles import titled

_SAMPLED_USERS = 200


@dataclass(frozen=True)
class Showcase:
    """A user with the movies that this user rated best and the movies that the index recommends."""

    user_id: str
    rated: int  # number of movies that the user rated
    liked: list[dict[str, Any]]  # the best rated ones, with movie_id, title, year and rating or count
    # Of the 100 movies with the best scores those with the highest predicted ratings, with their score too;
    # of an index without ratings, those with the best scores.
    recommended: list[dict[str, Any]]


def showcase(index: str | Path, k: int = 5) -> Showcase:
    """Picks a user of the index at `index` whose number, mean and spread of ratings are typical.

    `k` liked and `k` recommended movies are shown. Raises `UserError` if the index cannot be loaded.
    """
    published = PublishedIndex.open_directory(index)
    user_id, history = _typical_user(published)
    order: Order = "rating" if published.rates else "score"
    recommended = published.recommend([user_id], k, order=order, pool=POOL).movies(0)
    return Showcase(user_id, len(history), history[:k], recommended)


def _typical_user(published: PublishedIndex) -> tuple[str, list[dict[str, Any]]]:
    user_ids = published.user_ids
    positions = np.unique(np.linspace(0, len(user_ids) - 1, _SAMPLED_USERS).astype(int))
    histories = dict(zip((ids := [user_ids[i] for i in positions]), published.histories(ids), strict=True))
    median = np.median([len(history) for history in histories.values()])
    candidates = {
        user: history for user, history in histories.items() if median <= len(history) <= 2 * median
    }
    figure = "rating" if published.rates else "count"
    ratings = {user: [movie[figure] for movie in history] for user, history in candidates.items()}
    moments = {user: np.array([np.mean(given), np.std(given)]) for user, given in ratings.items()}
    typical = np.median(list(moments.values()), axis=0)
    # Recommendations for a user with extreme ratings would not look plausible to anybody else.
    chosen = min(candidates, key=lambda user: float(np.abs(moments[user] - typical).sum()))
    return chosen, candidates[chosen]


def render(shown: Showcase) -> Any:
    """Formats the showcase as a `rich` table of at most 80 columns: history beside recommendations."""
    from rich.table import Table
    from rich.text import Text

    rated = not shown.liked or "rating" in shown.liked[0]
    done, figures = ("rated", ("rating", "rating")) if rated else ("watched", ("count", ""))
    title = Text(printable(f"User {shown.user_id} {done} {shown.rated} movies"))
    result = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for name, figure in zip(("liked best", "should watch next"), figures, strict=True):
        result.add_column(name, no_wrap=True, overflow="ellipsis", max_width=32)
        if figure:
            result.add_column("stars" if rated else figure, justify="right")
    for pair in zip_longest(shown.liked, shown.recommended):
        cells = (cell for movie, figure in zip(pair, figures, strict=True) for cell in _cells(movie, figure))
        result.add_row(*(Text(printable(cell)) for cell in cells))
    return result


def _cells(movie: dict[str, Any] | None, figure: str) -> tuple[str, ...]:
    shown = [stars(movie[figure]) if movie else ""] if figure else []
    return titled(movie["title"], movie["year"]) if movie else "", *shown

"""HTML page on which a person tries the recommender: no scripts, all state is in the address."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from components.display import printable
from components.ingest.implicit import weight_of
from components.recommend.reasons import Reasons, describe
from components.recommend.titles import titled
from components.serve.served_index import Served, ServedIndex

_RECOMMENDED = 20
_RATINGS_SHOWN = 100
_FOUND = 20
# Each word is looked for in every title.
_FIND_CHARACTERS = 100
_PICKS = 50
_STEPS = 10


@dataclass(frozen=True)
class Question:
    """Query of the address."""

    user: str  # a user's id; "" for none
    find: str  # words of a title; "" for none
    picks: dict[str, float]  # movie id -> stars, given by a visitor who is not a known user

    @classmethod
    def of(cls, query: Iterable[tuple[str, str]]) -> "Question":
        """Parses the query of an address: `user`, `find`, and any number of `pick=STARS:MOVIE`."""
        user, find, picks = "", "", dict[str, float]()
        for name, value in query:
            if name == "user":
                user = value.strip()
            elif name == "find":
                find = value.strip()[:_FIND_CHARACTERS]
            elif name == "pick" and len(picks) < _PICKS:
                stars, _, movie_id = value.partition(":")
                if stars.isdecimal() and len(stars) <= 3:
                    picks[movie_id] = float(stars)
        return cls(user, find, picks)

    def with_pick(self, movie_id: str, stars: float) -> str:
        """Returns the address in which a movie has `stars`; 0 removes the movie."""
        picks = {**self.picks, movie_id: stars}
        pairs = [("pick", f"{given:.0f}:{movie}") for movie, given in picks.items() if given]
        return "/?" + urlencode([("find", self.find), *pairs])


def page(served: Served, question: Question) -> str:
    """Renders the page that answers `question`, as HTML."""
    index = served.index
    known = index.movies_by_id(list(question.picks))
    picks = {
        movie_id: stars
        for movie_id, stars in question.picks.items()
        if movie_id in known and index.on_scale(stars)
    }
    return _template().render(
        served=served,
        question=question,
        rates=index.rates,
        stars=_stars(index),
        user=_of_user(index, question.user) if question.user else None,
        found=index.find_movies(question.find, _FOUND) if question.find else [],
        picked=[{**known[movie_id], "rating": stars} for movie_id, stars in picks.items()],
        for_picks=_for_picks(index, _as_ratings(index, picks)) if picks else None,
    )


def _of_user(index: ServedIndex, user_id: str) -> dict[str, Any]:
    history = index.histories([user_id])[0]
    movies = index.recommend([user_id], _RECOMMENDED).movies(0)
    recommended = _explained(index, movies, lambda ids: index.explain(user_id, ids))
    return {"rated": len(history), "history": history[:_RATINGS_SHOWN], "recommended": recommended}


def _for_picks(index: ServedIndex, ratings: dict[str, float]) -> dict[str, Any]:
    movies = index.recommend_from_history(ratings, _RECOMMENDED)
    return _explained(index, movies, lambda ids: index.explain_from_history(ratings, ids))


def _explained(
    index: ServedIndex, movies: list[dict[str, Any]], explain: Callable[[list[str]], Reasons]
) -> dict[str, Any]:
    """Adds to each movie the words for its reasons; an index of an earlier release gives none."""
    if not index.explains:
        return {"movies": movies, "limits": ""}
    reasons = explain([movie["movie_id"] for movie in movies])
    scale = index.manifest.rating_scale
    pairs = zip(movies, reasons.movies, strict=True)
    return {
        "movies": [{**movie, "why": describe(why, scale)} for movie, why in pairs],
        "limits": reasons.limits,
    }


def _as_ratings(index: ServedIndex, picks: dict[str, float]) -> dict[str, float]:
    """Returns the ratings that a visitor's picks mean: of feedback without stars they are counts."""
    return picks if index.rates else {movie: weight_of(count) for movie, count in picks.items()}


def _shown(movie: dict[str, Any]) -> str:
    """Formats the figure of a movie: its rating or, without stars, how often it was seen or its score."""
    if "rating" in movie:
        return f"{movie['rating']:.1f}"
    return f"{movie['count']:g}" if "count" in movie else f"{movie['score']:.2f}"


def _stars(index: ServedIndex) -> list[int]:
    """Returns some ten whole numbers on the scale of the ratings; numbers of times where there is none."""
    if not index.rates:
        return [1, 2, 5, 10]
    low, high = (round(end) for end in index.manifest.rating_scale)
    return list(range(max(1, low), high + 1, 1 + (high - low) // _STEPS))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("components.serve", ""), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["titled"] = lambda movie: printable(titled(movie["title"], movie["year"]))
    environment.filters["shown"] = _shown
    return environment.get_template("page.html")

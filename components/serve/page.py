"""HTML page on which a person tries the recommender: no scripts, all state is in the address."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cache, partial
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from components.display import printable
from components.errors import UserError
from components.ingest.implicit import weight_of
from components.recommend.reasons import Reasons, describe
from components.recommend.titles import titled
from components.serve.served_index import Served, ServedIndex
from components.vocabulary.conditions import GENRE, YEAR, Rules

_RECOMMENDED = 20
_RATINGS_SHOWN = 100
_FOUND = 20
# Each word is looked for in every title.
_FIND_CHARACTERS = 100
_PICKS = 50
_STEPS = 10


# Fields of the address that narrow the recommendations: a year, a year, a genre, a condition, 0 to 1.
_NARROW = ("from", "to", "genre", "where", "diversity")
# The most movies of a filter for picks, which is looked up; the most popular ones of a larger catalogue.
_MOST_LEFT = 50_000


@dataclass(frozen=True)
class Question:
    """Query of the address."""

    user: str  # a user's id; "" for none
    find: str  # words of a title; "" for none
    picks: dict[str, float]  # movie id -> stars, given by a visitor who is not a known user
    narrow: dict[str, str] = field(default_factory=dict)  # those of `_NARROW` that are filled in

    @classmethod
    def of(cls, query: Iterable[tuple[str, str]]) -> "Question":
        """Parses the query of an address: `user`, `find`, `_NARROW`, and any number of `pick=STARS:MOVIE`."""
        user, find, picks, narrow = "", "", dict[str, float](), dict[str, str]()
        for name, value in query:
            if name == "user":
                user = value.strip()
            elif name == "find":
                find = value.strip()[:_FIND_CHARACTERS]
            elif name in _NARROW and value.strip():
                narrow[name] = value.strip()
            elif name == "pick" and len(picks) < _PICKS:
                stars, _, movie_id = value.partition(":")
                if stars.isdecimal() and len(stars) <= 3:
                    picks[movie_id] = float(stars)
        return cls(user, find, picks, narrow)

    def with_pick(self, movie_id: str, stars: float) -> str:
        """Returns the address in which a movie has `stars`; 0 removes the movie."""
        picks = {**self.picks, movie_id: stars}
        pairs = [("pick", f"{given:.0f}:{movie}") for movie, given in picks.items() if given]
        fields = {"user": self.user, "find": self.find, **self.narrow}
        return "/?" + urlencode([*((name, value) for name, value in fields.items() if value), *pairs])

    def rules(self) -> Rules:
        """Returns the filter and the variety. Raises `UserError` if a field cannot be read."""
        forms = {"from": "year>={}", "to": "year<={}", "genre": 'genre="{}"', "where": "{}"}
        conditions = [form.format(self.narrow[name]) for name, form in forms.items() if name in self.narrow]
        variety = self.narrow.get("diversity", "0")
        try:
            return Rules(conditions, diversity=float(variety))
        except ValueError as error:
            raise UserError(f"variety {variety}: give a number, 0 to 1") from error


def page(served: Served, question: Question) -> str:
    """Renders the page that answers `question`, as HTML."""
    index = served.index
    known = index.movies_by_id(list(question.picks))
    picks = {
        movie_id: stars
        for movie_id, stars in question.picks.items()
        if movie_id in known and index.on_scale(stars)
    }
    rules, notes = _rules(index, question)
    return _template().render(
        served=served,
        question=question,
        rates=index.rates,
        stars=_stars(index),
        user=_of_user(index, question.user, rules) if question.user else None,
        found=index.find_movies(question.find, _FOUND) if question.find else [],
        picked=[{**known[movie_id], "rating": stars} for movie_id, stars in picks.items()],
        for_picks=_for_picks(index, _as_ratings(index, picks), rules) if picks and rules else None,
        notes=notes,
        genres=_genres(index),
        columns=[name for name in index.manifest.attributes if name not in (YEAR, GENRE)],
    )


def _rules(index: ServedIndex, question: Question) -> tuple[Rules | None, list[str]]:
    """Returns the rules of the question, None if they cannot be followed, and what is to be said of them."""
    try:
        rules = question.rules()
        index.check_rules(rules)
    except UserError as error:
        return None, [_without_flag(str(error))]
    return rules, [_without_flag(line) for line in index.warnings(rules)]


def _without_flag(line: str) -> str:
    return line.removeprefix("--where ").removeprefix("--")


def _genres(index: ServedIndex) -> list[str]:
    """Returns the genres of the catalogue, those of most movies first."""
    if GENRE not in index.manifest.attributes:
        return []
    counts = index.attributes[GENRE]
    return sorted(counts, key=lambda genre: -counts[genre])


def _of_user(index: ServedIndex, user_id: str, rules: Rules | None) -> dict[str, Any]:
    history = index.histories([user_id])[0]
    found = {"rated": len(history), "history": history[:_RATINGS_SHOWN]}
    if rules is None:
        return {**found, "recommended": None}
    answer = index.recommend([user_id], _RECOMMENDED, rules=rules)
    left = answer.left if rules.where else None
    recommended = _explained(index, answer.movies(0), partial(index.explain, user_id), left)
    return {**found, "recommended": recommended}


def _for_picks(index: ServedIndex, ratings: dict[str, float], rules: Rules) -> dict[str, Any]:
    """Recommends for picks. The signature for a history takes no filter, so that is applied to its answer."""
    wanted, left = _RECOMMENDED, None
    if rules.where:
        wanted = min(index.manifest.movies, _MOST_LEFT)
        everybody = index.recommend([""], wanted, include_rated=True, rules=replace(rules, diversity=0.0))
        left = everybody.left
    movies = index.recommend_from_history(ratings, wanted)
    if rules.where:
        allowed = set(everybody.movie_id[0])
        movies = [movie for movie in movies if movie["movie_id"] in allowed]
    explain = partial(index.explain_from_history, ratings)
    return _explained(index, movies[:_RECOMMENDED], explain, left)


def _explained(
    index: ServedIndex,
    movies: list[dict[str, Any]],
    explain: Callable[[list[str]], Reasons],
    left: int | None,
) -> dict[str, Any]:
    """Adds to each movie the words for its reasons; an index of an earlier release gives none."""
    found = {"movies": movies, "left": left, "limits": ""}
    if not index.explains:
        return found
    reasons = explain([movie["movie_id"] for movie in movies])
    said = [describe(why, index.manifest.rating_scale) for why in reasons.movies]
    explained = [{**movie, "why": why} for movie, why in zip(movies, said, strict=True)]
    return {**found, "movies": explained, "limits": reasons.limits}


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

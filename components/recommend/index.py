"""Python interface of a published index."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.export.arrays import Fetch
from components.export.manifest import (
    BRUTE_FORCE,
    MANIFEST_FILE,
    MOST_EXPLAINED,
    check_rules,
    load_index,
    read_manifest,
)
from components.export.mapped_index import MappedIndex
from components.ingest.settings import STARS
from components.recommend.reasons import Reasons
from components.recommend.titles import Titles
from components.vocabulary.conditions import NO_RULES, TEXTS, Rules
from components.vocabulary.interactions import chunks


def movies_of(answer: Mapping[str, npt.NDArray[Any]], row: int, *figures: str) -> list[dict[str, Any]]:
    """Returns the movies in one row of an answer without the padding, each with its `figures`."""
    found = records({name: answer[name][row] for name in ("movie_id", "title", "year", *figures)})
    return [movie for movie in found if movie["movie_id"]]


def records(columns: dict[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    """Turns columns of one length into a list of rows."""
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def batches(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Yields parts of `size` values; one empty part if there are none, so that the answer has its columns."""
    for part in chunks(max(len(values), 1), size):
        yield values[part]


def joined(answers: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Concatenates answers that have the same columns."""
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def decoded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Decodes an array of bytes into `str` objects; returns other arrays unchanged."""
    if array.dtype != object:
        return array
    flat = [value.decode("utf-8") for value in array.ravel()]
    return np.array(flat, dtype=object).reshape(array.shape)


Known = Literal["all", "train"]
Order = Literal["score", "rating"]

# Movies with the best scores, which the order "rating" puts into that of the predicted ratings.
POOL = 100

# Users to a request: it needs memory for a score of each user and each movie.
_BATCH = 256
_PAIRS_BATCH = 16_384

# Signatures that search by ScaNN where the index does.
_SEARCHED = ("recommend", "serving_default", "rank")

Strings = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Recommendations:
    """The k best movies for each of n users, best first.

    Rows with fewer than k movies are padded: movie_id and title "", year 0, rating 0.0 and the least finite
    float32 as the score. An index of feedback without stars gives no ratings.
    """

    movie_id: Strings  # str objects [n, k]
    title: Strings  # str objects [n, k]
    year: npt.NDArray[np.int32]  # int32 [n, k]; 0 = unknown
    score: npt.NDArray[np.float32]  # float32 [n, k], comparable for one user only
    rating: npt.NDArray[np.float32] | None  # float32 [n, k], predicted, in stars
    known_user: npt.NDArray[np.bool_]  # bool [n]; an unknown user gets the most popular movies
    left: int | None = None  # movies of the catalogue that the filter leaves; None if it was not asked for

    def movies(self, row: int) -> list[dict[str, Any]]:
        """Returns the movies for one user without the padding: movie_id, title, year, score, rating."""
        return movies_of(vars(self), row, "score", *(["rating"] if self.rating is not None else []))


class PublishedIndex:
    """The signatures of an exported index as methods with Python strings and NumPy arrays.

    The mapped arrays of the index answer what they can, its SavedModel the rest.
    """

    def __init__(self, mapped: MappedIndex, load_model: Callable[[], Any], exact: bool) -> None:
        """Puts the two parts together.

        Args:
          mapped: the arrays.
          load_model: loads the SavedModel, once it is needed.
          exact: the arrays also answer where the SavedModel would search by ScaNN, which is approximate, and
            faster among a million movies.
        """
        self.manifest, self.mapped = mapped.manifest, mapped
        # Whether it predicts ratings; of feedback without stars there are none.
        self.rates = self.manifest.feedback == STARS
        self._load_model = load_model
        self._by_model = () if exact or self.manifest.search == BRUTE_FORCE else _SEARCHED

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Loads the index at `directory`. Raises `UserError` as `load_index` does."""
        manifest, loaded = load_index(directory)
        return cls(MappedIndex(manifest, Path(directory).joinpath), lambda: loaded, exact=False)

    @classmethod
    def open(cls, fetch: Fetch, whole: Callable[[], Path]) -> Self:
        """Opens an index for a few questions: what its arrays can answer takes no TensorFlow.

        Args:
          fetch: returns the local path of a file of the index.
          whole: returns the local directory of the whole index; called if the SavedModel is needed.

        Raises `UserError` if there is no index; the methods do if a file that they need is damaged.
        """
        mapped = MappedIndex(read_manifest(fetch(MANIFEST_FILE).parent), fetch)
        return cls(mapped, lambda: load_index(whole())[1], exact=True)

    @classmethod
    def open_directory(cls, directory: str | Path) -> Self:
        """Does `open` for the index at `directory`."""
        return cls.open(Path(directory).joinpath, lambda: Path(directory))

    def recommend(
        self,
        user_ids: Sequence[str],
        k: int,
        known: Known = "all",
        *,
        include_rated: bool = False,
        exclude: Sequence[str] = (),
        only: Sequence[str] = (),
        order: Order = "score",
        pool: int = POOL,
        rules: Rules = NO_RULES,
    ) -> Recommendations:
        """Finds the k best movies, at most the whole catalogue, that each user has not rated.

        Args:
          known: the ratings of each user that are read and excluded: "all", or "train" for those of training
            and validation.
          include_rated: also recommend what the user has rated.
          exclude: ids of movies never to recommend.
          only: ids of the movies to choose from; empty for all.
          order: "rating" orders the `pool` movies with the best scores by predicted rating.
          rules: filter by attributes, boosts, variety, and discount of popular movies.

        Raises `UserError` if the order is by rating and the index predicts none, or as `check_rules` does.
        """
        if order == "rating":
            self.require_ratings("--order rating")
        signature, inputs = "recommend", dict[str, Any](k=k, ratings=known)
        if rules.any or include_rated or exclude or only or order != "score":
            signature = "recommend_filtered"
            inputs |= {"include_rated": include_rated, "exclude": exclude, "only": only}
            inputs |= {"order": order, "pool": pool}
        if rules.any:
            self.check_rules(rules)
            signature = "recommend_where"
            inputs |= {**vars(rules), "pool": rules.pool(k, pool)}
        answer = joined([self._ask(signature, user_id=some, **inputs) for some in batches(user_ids, _BATCH)])
        left = int(answer.pop("left")[0]) if rules.any and len(user_ids) else None
        found: dict[str, Any] = {field.name: answer.get(field.name) for field in fields(Recommendations)}
        return Recommendations(**{**found, "left": left, "rating": found["rating"] if self.rates else None})

    def check_rules(self, rules: Rules) -> None:
        """Raises `UserError` if the index cannot follow `rules`: a column is not there, or it is too old."""
        check_rules(self.manifest, rules)

    @cached_property
    def attributes(self) -> dict[str, dict[str, int]]:
        """The values of each column that conditions may name, with the number of movies of each."""
        found: dict[str, dict[str, int]] = {name: {} for name in self.manifest.attributes}
        if found:
            answer = self._ask("attributes")
            counts = np.diff(answer["row_splits"]).tolist()
            for column, value, count in zip(answer["column"], answer["value"], counts, strict=True):
                found[column][value] = count
        return found

    def count_left(self, rules: Rules) -> int:
        """Counts the movies that the filter leaves. Raises `UserError` as `check_rules` does."""
        left = self.recommend([""], 0, rules=rules).left
        return len(self.movie_ids) if left is None else left

    def warnings(self, rules: Rules) -> list[str]:
        """Returns a line for each text in a condition that no movie has."""
        if not (rules.where or rules.boost):
            return []
        kinds = self.manifest.attributes
        return rules.warnings({name: of for name, of in self.attributes.items() if kinds[name] == TEXTS})

    def ranking(
        self,
        user_ids: Sequence[str],
        k: int,
        known: Known = "all",
        rules: Rules = NO_RULES,
        order: Order = "score",
    ) -> dict[str, npt.NDArray[Any]]:
        """Does `recommend` in one request, for bulk work: row, score, rating if it rates, known_user.

        A row is a position in `movie_ids`; their number stands for no movie. `order` is for `rules` only.
        """
        if rules.any or "rank" not in self.manifest.signatures:
            found = self.recommend(user_ids, k, known, order=order, rules=rules)
            rows = [self._row_of.get(movie_id, len(self._row_of)) for movie_id in found.movie_id.ravel()]
            figures = {name: getattr(found, name) for name in (*self._figures, "known_user")}
            return {"row": np.array(rows, np.int32).reshape(found.movie_id.shape), **figures}
        answer = self._ask("rank", user_id=user_ids, k=k, ratings=known)
        return {name: answer[name] for name in ("row", *self._figures, "known_user")}

    def recommend_from_history(self, history: Mapping[str, float], k: int) -> list[dict[str, Any]]:
        """Finds the k best movies for ratings, movie id -> stars; unknown movies are left out.

        Of feedback without stars, the values are weights. Returns: movie_id, title, year, score and, if the
        index rates, predicted rating, the best first.
        """
        answer = self._ask(
            "recommend_from_history",
            movie_id=list(history),
            rating=list(history.values()),
            row_splits=[0, len(history)],
            k=k,
        )
        return movies_of(answer, 0, *self._figures)

    @property
    def explains(self) -> bool:
        """True if it gives reasons; an index of an earlier release does not."""
        return "explain" in self.manifest.signatures

    def explain(self, user_id: str, movie_ids: Sequence[str], known: Known = "all") -> Reasons:
        """Finds the reasons for which `movie_ids` are recommended to a user.

        Raises `UserError` if the index is of an earlier release, which gives none.
        """
        return self._explain("explain", movie_ids, user_id=user_id, ratings=known)

    def explain_from_history(self, history: Mapping[str, float], movie_ids: Sequence[str]) -> Reasons:
        """Does `explain` for ratings as `recommend_from_history` takes them."""
        given = {"movie_id": list(history), "rating": list(history.values())}
        return self._explain("explain_from_history", movie_ids, **given)

    def _explain(self, signature: str, movie_ids: Sequence[str], **inputs: Any) -> Reasons:
        if not self.explains:
            raise UserError(
                "the index is of an earlier release and gives no reasons; export it with `twotower export`"
            )
        parts = batches(movie_ids, MOST_EXPLAINED)
        answer = joined([self._ask(signature, recommended=some, **inputs) for some in parts])
        reasons = [movies_of(answer, row, "rating", "fall") for row in range(len(movie_ids))]
        if not self.rates:
            reasons = [[_counted(movie) for movie in movies] for movies in reasons]
        rated, considered = (int(answer[name].max(initial=0)) for name in ("rated", "considered"))
        return Reasons(reasons, rated, considered)

    def rate(
        self, user_ids: Sequence[str], movie_ids: Sequence[str], known: Known = "all"
    ) -> npt.NDArray[np.float32]:
        """Predicts ratings in stars, float32 [n], for pairs of a user and a movie.

        A rating that the user gave to the same movie is not read. Put the pairs of a user next to each other.
        Raises `UserError` if the index predicts none.
        """
        self.require_ratings("rate")
        pairs = zip(batches(user_ids, _PAIRS_BATCH), batches(movie_ids, _PAIRS_BATCH), strict=True)
        answers = [
            self._ask("rate", user_id=users, movie_id=movies, ratings=known) for users, movies in pairs
        ]
        stars: npt.NDArray[np.float32] = joined(answers)["rating"]
        return stars

    def history(self, user_id: str) -> list[dict[str, Any]]:
        """Returns the ratings of the user: movie_id, title, year, rating and held_out, the best rated first.

        Of feedback without stars, each has the count of events in place of a rating.
        Raises `UserError` if the user is unknown.
        """
        ratings = self.histories([user_id])[0]
        if not ratings:
            some = ", ".join(self.user_ids[:3])
            raise UserError(
                f'no ratings of a user "{user_id}" are known; known users are, for example, {some}'
            )
        return ratings

    def histories(self, user_ids: Sequence[str]) -> list[list[dict[str, Any]]]:
        """Does `history` for several users; empty for an unknown one."""
        answer = self._ask("history", user_id=user_ids)
        splits = answer["row_splits"]
        rows = records({name: answer[name] for name in ("movie_id", "title", "year", "rating", "held_out")})
        users = [rows[start:end] for start, end in itertools.pairwise(splits)]
        users = [sorted(user, key=lambda movie: -movie["rating"]) for user in users]
        return users if self.rates else [[_counted(movie) for movie in user] for user in users]

    def similar(self, movie_id: str, k: int) -> list[dict[str, Any]]:
        """Finds the k most similar movies: movie_id, title, year, similarity; none for an unknown id."""
        answer = self._ask("similar", movie_id=[movie_id], k=k)
        return movies_of(answer, 0, "similarity")

    def find_movie(self, text: str) -> dict[str, Any]:
        """Finds a movie by id or title: movie_id, title, year. Raises `UserError` as `Titles.find` does."""
        return self._movie(self.titles.find(text))

    @cached_property
    def user_ids(self) -> list[str]:
        """All known users; those with training ratings come first."""
        return list(self._ask("users")["user_id"])

    @property
    def _figures(self) -> tuple[str, ...]:
        return ("score", "rating") if self.rates else ("score",)

    def require_ratings(self, what: str) -> None:
        """Raises `UserError` if the index predicts no ratings, which `what` asks for."""
        if not self.rates:
            raise UserError(
                f"{what}: the index learned from feedback without stars (--feedback implicit) and predicts "
                "no ratings; ask it to recommend, by score"
            )

    @property
    def movie_ids(self) -> list[str]:
        """All movies of the catalogue."""
        return self.catalogue["movie_id"]

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {movie_id: row for row, movie_id in enumerate(self.movie_ids)}

    @cached_property
    def catalogue(self) -> dict[str, list[Any]]:
        """The columns movie_id, title and year of all movies; year 0 = unknown."""
        answer = self._ask("catalogue")
        return {name: answer[name].tolist() for name in ("movie_id", "title", "year")}

    def _movie(self, row: int) -> dict[str, Any]:
        return {name: values[row] for name, values in self.catalogue.items()}

    @cached_property
    def titles(self) -> Titles:
        """Search for movies by id or title."""
        return Titles(*self.catalogue.values())

    @cached_property
    def _loaded(self) -> Any:
        # Kept, since the signatures hold the variables of the loaded object only weakly.
        return self._load_model()

    @property
    def _signatures(self) -> Any:
        return self._loaded.signatures

    def _ask(self, signature: str, **inputs: Any) -> dict[str, npt.NDArray[Any]]:
        """Calls a signature; texts are `str` objects."""
        answer = None if signature in self._by_model else self.mapped.answer(signature, inputs)
        return self._ask_model(signature, inputs) if answer is None else answer

    def _ask_model(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
        given = self.mapped.complete(signature, inputs)
        import tensorflow as tf

        function = self._signatures[signature]
        specs = function.structured_input_signature[1]
        outputs = function(**{name: tf.constant(value, specs[name].dtype) for name, value in given.items()})
        answer = {name: decoded(value.numpy()) for name, value in outputs.items()}
        if "known_user" in answer and given.keys() != inputs.keys():
            # The SavedModel takes a user for unknown who has no rating among those that are read.
            answer["known_user"] = self.mapped.users(inputs["user_id"]) >= 0
        return answer


def _counted(movie: dict[str, Any]) -> dict[str, Any]:
    """Returns a movie of a history with the count of events that its weight was made of."""
    from components.ingest.implicit import count_of

    events = count_of(movie["rating"])
    counted = {"count": round(events, 3 - len(f"{events:.0f}")) if events < 100 else round(events)}
    return {name: value for name, value in movie.items() if name != "rating"} | counted

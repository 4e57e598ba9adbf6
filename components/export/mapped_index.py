"""Answers of an index from its mapped arrays, without its model: those that stored profiles suffice for."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from components.errors import UserError
from components.export.arrays import GIVEN, Array, ArrayFiles, Fetch, PackedRatings, StoredHistory
from components.export.manifest import (
    ALL,
    BY_RATING,
    BY_SCORE,
    DEFAULT_K,
    INSIDE,
    LOWEST_SCORE,
    IndexManifest,
    read_manifest,
)

# Movies to a block in the search for the best ones.
_BLOCK = 16

# For fewer queries a product for each is faster than one for all, which copies the table.
_FEWEST_QUERIES = 8

Answer = dict[str, Array]


class Ranked(NamedTuple):
    """The k best movies of n users, best first, ties by row; M and the lowest score where there are fewer."""

    row: Array  # int32 [n, k]
    score: Array  # float32 [n, k]
    rating: Array  # float32 [n, k], in stars; 0 for no movie


class MappedIndex:
    """The signatures of an index that NumPy can answer, with the answers of its SavedModel.

    Users and movies are rows: int64, -1 for an unknown user, M for no movie. The search is exact, also where
    that of the index is approximate. Methods may be called by several threads at once.
    """

    def __init__(self, manifest: IndexManifest, fetch: Fetch) -> None:
        """Args: `fetch`: returns the local path of a file of the index; called for the arrays needed."""
        self.manifest = manifest
        self._arrays = ArrayFiles(manifest.arrays, fetch)

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """Opens the index at `directory`. Raises `UserError` if there is none."""
        return cls(read_manifest(directory), lambda name: Path(directory, name))

    @property
    def has_movies(self) -> bool:
        """True unless an earlier release wrote the index, without arrays."""
        return len(self._arrays) > 0

    @property
    def has_users(self) -> bool:
        """True if the index holds users and their ratings."""
        return "user_id.ends" in self._arrays

    @property
    def has_profiles(self) -> bool:
        """True if the model's encoding of each user is stored, from which `rank` and `rate` answer."""
        return "profiles" in self._arrays

    @cached_property
    def user_ids(self) -> list[str]:
        """The ids of all users that the index holds, by row."""
        return self._arrays.texts("user_id").tolist()

    def users(self, user_ids: Sequence[str | bytes]) -> Array:
        """Returns the rows of users, int64 [n]; -1 for an unknown one."""
        return self._arrays.texts("user_id").find(user_ids, self._arrays["user_id.order"])

    def movies(self, movie_ids: Sequence[str]) -> Array:
        """Returns the rows of movies, int64 [n]; M for an unknown one."""
        rows, nothing = self._row_of, self.manifest.movies
        return np.array([rows.get(movie_id, nothing) for movie_id in movie_ids], np.int64)

    def describe(self, rows: Array) -> Answer:
        """Returns movie_id, title (str objects) and year (int32) of movies, of the shape of `rows`."""
        names = {name: self._arrays.texts(name).take(rows) for name in ("movie_id", "title")}
        return {**names, "year": np.append(self._arrays["year"], np.int32(0))[rows]}

    def read(self, users: Array, everything: bool = True) -> StoredHistory:
        """Reads the ratings of users, all or those of training and validation."""
        history: StoredHistory = self._histories.read(users, everything)
        return history

    def count_ratings(self, users: Array) -> Array:
        """Counts the ratings that `read` returns of each user, int64 [n], without reading them."""
        offsets = self._histories.offsets
        return np.where(users >= 0, offsets[users + 1] - offsets[users], 0)

    def rank(self, users: Array, k: int, allowed: Array | None = None) -> Ranked:
        """Finds the k best movies that each user has not rated, by stored profiles.

        `allowed`, bool [M], are the movies to choose from; None for all.
        """
        query, factors = self._profile(users)
        scores = self._scores(query)
        for place, user in enumerate(users.tolist()):
            if user >= 0:
                scores[place, self._histories.movies_of(user)] = LOWEST_SCORE
        if allowed is not None:
            scores[:, ~allowed] = LOWEST_SCORE
        rows, found = best(scores, k)
        return Ranked(rows, found, self._stars(factors, rows))

    def rate(self, users: Array, movies: Array) -> Array | None:
        """Predicts the ratings of pairs of a user and a movie, float32 [p].

        None if the user has rated the movie of a pair, or the movie is unknown: that takes the model.
        """
        distinct, owners = np.unique(users, return_inverse=True)
        seen = self.read(distinct)
        rated = seen.owners * self.manifest.movies + seen.movies
        if (
            np.isin(owners * self.manifest.movies + movies, rated).any()
            or (movies >= self.manifest.movies).any()
        ):
            return None
        return self._stars(self._profile(users)[1], movies[:, np.newaxis])[:, 0]

    def similar(self, movies: Array, k: int) -> tuple[Array, Array]:
        """Finds the k rated movies with the greatest cosine similarity: rows int32 [n, k], float32 [n, k].

        Finds none for an unknown movie, M, or one without known ratings.
        """
        nothing, rated = self.manifest.movies, self._arrays["rated"]
        row, vectors = np.minimum(movies, nothing - 1), self._arrays["candidates"][:-1]
        cosines = (vectors[:, row] / self._lengths[row]).T @ vectors / self._lengths
        cosines[:, ~rated] = LOWEST_SCORE
        cosines[np.arange(len(row)), row] = LOWEST_SCORE
        cosines[(movies >= nothing) | ~rated[row]] = LOWEST_SCORE
        rows, found = best(cosines.astype(np.float32, copy=False), k)
        return rows, np.where(rows < nothing, found, np.float32(0.0))

    def complete(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the inputs of a signature, with the users' ratings if the SavedModel holds none.

        Raises `UserError` if the index holds none either, and `inputs` do not bring them.
        """
        signatures = self.manifest.signatures
        brought = signature in signatures and signatures[signature].inputs.keys() <= inputs.keys()
        if brought or self.manifest.histories == INSIDE:
            return dict(inputs)
        if not self.has_users:
            raise UserError(
                "the index holds no users and ratings (--histories none); give the ratings themselves "
                "(`twotower recommend --history FILE`), or name an index that holds them"
            )
        # As bytes: TensorFlow makes no difference between a text and its bytes.
        given = [inputs["user_id"]] if isinstance(inputs["user_id"], str | bytes) else inputs["user_id"]
        named = (user if isinstance(user, bytes) else user.encode() for user in given)
        users = self.users(list(dict.fromkeys(named)))
        return {**inputs, **self.read(users, inputs.get("ratings", ALL) == ALL).inputs()}

    def answer(self, signature: str, inputs: Mapping[str, Any]) -> Answer | None:
        """Answers a signature of the SavedModel; None for what takes the model. Texts are str objects."""
        method = _ANSWERS.get(signature)
        brought = GIVEN[0] in inputs  # ratings that only the model can read
        return None if method is None or brought or not self.has_movies else method(self, **inputs)

    def _recommend(self, user_id: Sequence[str], k: int = DEFAULT_K, ratings: str = ALL) -> Answer | None:
        ranked = self._rank(user_id, k, ratings)
        return ranked and {**self.describe(ranked.pop("row")), **ranked}

    def _rank(self, user_id: Sequence[str], k: int, ratings: str) -> Answer | None:
        if ratings != ALL or not self.has_profiles:
            return None
        users = self.users(user_id)
        return {**self.rank(users, k)._asdict(), "known_user": users >= 0}

    def _recommend_filtered(
        self, user_id: Sequence[str], k: int, ratings: str, include_rated: bool, exclude: Sequence[str],
        only: Sequence[str], order: str, pool: int,
    ) -> Answer | None:  # fmt: skip
        if ratings != ALL or include_rated or order not in (BY_SCORE, BY_RATING) or not self.has_profiles:
            return None
        users, (chosen, excluded) = self.users(user_id), (self.movies(only), self.movies(exclude))
        movies = np.arange(self.manifest.movies)
        allowed = ~np.isin(movies, excluded) & (np.isin(movies, chosen) | (len(only) == 0))
        ranked = self.rank(users, max(k, pool) if order == BY_RATING else k, allowed)
        if order == BY_RATING:
            stars = np.where(ranked.score > LOWEST_SCORE, ranked.rating, LOWEST_SCORE)
            places = np.argsort(-stars, axis=1, kind="stable")[:, : max(k, 0)]
            ranked = Ranked(*(np.take_along_axis(values, places, axis=1) for values in ranked))
        unknown = sum(int(np.count_nonzero(rows == len(movies))) for rows in (chosen, excluded))
        figures = {"score": ranked.score, "rating": ranked.rating, "known_user": users >= 0}
        return {**self.describe(ranked.row), **figures, "ignored": np.full(len(users), unknown, np.int32)}

    def _rate(self, user_id: Sequence[str], movie_id: Sequence[str], ratings: str) -> Answer | None:
        if ratings != ALL or not self.has_profiles:
            return None
        stars = self.rate(self.users(user_id), self.movies(movie_id))
        return None if stars is None else {"rating": stars}

    def _similar(self, movie_id: Sequence[str], k: int) -> Answer:
        rows, similarity = self.similar(movies := self.movies(movie_id), k)
        known = movies < self.manifest.movies
        return {**self.describe(rows), "similarity": similarity, "known_movie": known}

    def _history(self, user_id: Sequence[str]) -> Answer | None:
        if not self.has_users:
            return None
        users = self.users(user_id)
        history = self.read(users)
        return {
            **self.describe(history.movies),
            "rating": history.ratings,
            "held_out": history.held_out,
            "row_splits": history.row_splits,
            "known_user": users >= 0,
        }

    def _catalogue(self) -> Answer:
        return self.describe(np.arange(self.manifest.movies))

    def _users(self) -> Answer | None:
        return {"user_id": np.array(self.user_ids, object)} if self.has_users else None

    @cached_property
    def _histories(self) -> PackedRatings:
        histories: PackedRatings = self._arrays.part(PackedRatings, "histories")
        return histories

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {movie_id: row for row, movie_id in enumerate(self._arrays.texts("movie_id").tolist())}

    @cached_property
    def _lengths(self) -> Array:
        """The lengths of the candidates' vectors, float32 [M]."""
        lengths: Array = np.linalg.norm(self._arrays["candidates"][:-1], axis=0)
        return np.maximum(lengths, np.finfo(np.float32).tiny)

    def _scores(self, queries: Array) -> Array:
        """Returns the scores of all movies, float32 [n, M], for `queries`, float32 [n, d]."""
        table = self._arrays["candidates"]
        with_bias = np.ones((len(queries), len(table)), np.float32)
        with_bias[:, :-1] = queries
        if len(queries) >= _FEWEST_QUERIES:
            return np.asarray(with_bias @ table)
        scores = np.empty((len(queries), table.shape[1]), np.float32)
        for query, row in zip(with_bias, scores, strict=True):
            np.matmul(query, table, out=row)
        return scores

    def _profile(self, users: Array) -> tuple[Array, Array]:
        """Returns the queries, float32 [n, d], and the user factors, float32 [n, K]."""
        profiles = self._arrays["profiles"]
        found = profiles[users]  # -1, an unknown user, is the last row
        width = len(self._arrays["candidates"]) - 1
        return found[:, :width], found[:, width:]

    def _stars(self, factors: Array, movies: Array) -> Array:
        """Predicts the ratings of `movies`, [n, k], by user factors, float32 [n, K]: float32 [n, k]."""
        rows = np.minimum(movies, self.manifest.movies - 1)
        table = self._arrays["stars"][rows]
        stars = (table[..., :-1] @ factors[..., np.newaxis])[..., 0] + table[..., -1]
        stars = np.clip(stars, *self._arrays["stars.bounds"])
        return np.where(movies < self.manifest.movies, stars, np.float32(0.0))


_ANSWERS: dict[str, Callable[..., Answer | None]] = {
    "recommend": MappedIndex._recommend,
    "serving_default": MappedIndex._recommend,
    "rank": MappedIndex._rank,
    "recommend_filtered": MappedIndex._recommend_filtered,
    "rate": MappedIndex._rate,
    "similar": MappedIndex._similar,
    "history": MappedIndex._history,
    "catalogue": MappedIndex._catalogue,
    "users": MappedIndex._users,
}


def best(scores: Array, k: int) -> tuple[Array, Array]:
    """Finds the k greatest of `scores`, float32 [n, M], in each row, ties by position.

    Returns their positions, int32 [n, k], and scores; M and `LOWEST_SCORE` for those of `LOWEST_SCORE`. `k`
    is clamped to 0..M.
    """
    users, movies = scores.shape
    k = min(max(k, 0), movies)
    rows, values = np.full((users, k), movies, np.int32), np.full((users, k), LOWEST_SCORE, np.float32)
    blocks = movies // _BLOCK
    # The k-th greatest maximum of a block is at most the k-th greatest score.
    bound = np.full(users, LOWEST_SCORE, np.float32)
    if 0 < k <= blocks:
        maxima = scores[:, : blocks * _BLOCK].reshape(users, _BLOCK, blocks).max(axis=1)
        bound = np.partition(maxima, blocks - k, axis=1)[:, blocks - k]
    for user in range(users if k else 0):
        row = scores[user]
        left = np.flatnonzero(row >= bound[user])
        left = left[np.argsort(-row[left], kind="stable")[:k]]
        left = left[row[left] > LOWEST_SCORE]
        rows[user, : len(left)], values[user, : len(left)] = left, row[left]
    return rows, values

"""A model as a scorer, whatever catalogue it was trained with."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from components.evaluate.held_out import Batch, History
from components.evaluate.ranking import Columns
from components.evaluate.scoring import Predictions

Array = npt.NDArray[Any]


class ScoringModel(Protocol):
    """What is read of a model: the signatures of the scoring SavedModel, and nothing of its code."""

    @property
    def movie_ids(self) -> Array:
        """Strings [M'], the model's own catalogue."""

    @property
    def vectors(self) -> Array:
        """float32 [M', d]."""

    @property
    def biases(self) -> Array:
        """float32 [M']."""

    def query(self, user_ids: Array, history: tuple[Array, Array, Array]) -> Array:
        """Query vectors, float32 [n, d]."""

    def rate(
        self, user_ids: Array, history: tuple[Array, Array, Array], pair_row: Array, pair_movie: Array
    ) -> Array:
        """Ratings in stars, float32 [p]."""


class ModelScorer:
    """Scores this data's catalogue with a model that may know another one; movies are matched by id.

    A movie that the model does not know scores -inf, so a pair with it is a miss, and is rated as whatever
    the model answers for an unknown movie. A movie that only the model knows is no candidate.
    """

    def __init__(self, model: ScoringModel, movie_ids: Array) -> None:
        """Prepares `model` for the catalogue `movie_ids`, strings [M]."""
        row_of = {str(movie): row for row, movie in enumerate(model.movie_ids)}
        self._model = model
        self._rows = np.array([row_of.get(str(movie), -1) for movie in movie_ids], np.int32)
        known = self._rows >= 0
        # The bias is one component more of a movie's vector, met by a 1 in the query.
        vectors = np.zeros((len(movie_ids), model.vectors.shape[1] + 1), np.float32)
        vectors[:, -1] = -np.inf
        vectors[known, :-1] = model.vectors[self._rows[known]]
        vectors[known, -1] = model.biases[self._rows[known]]
        self._columns, representatives = Columns.alike(vectors)
        self._vectors = vectors[representatives]

    @property
    def unknown_movies(self) -> int:
        """How many movies of the catalogue the model does not know."""
        return int(np.count_nonzero(self._rows < 0))

    def predict(self, batch: Batch) -> Predictions:
        movies, ratings, row_splits = batch.history
        history = History(self._rows[movies], ratings, row_splits)
        queries = self._model.query(batch.user_ids, history)
        with np.errstate(invalid="ignore", over="ignore"):  # the gate finds what is not finite
            scores = np.column_stack([queries, np.ones_like(queries[:, :1])]) @ self._vectors.T
        stars = self._model.rate(batch.user_ids, history, batch.pair_rows, self._rows[batch.movies])
        return Predictions(scores, stars, self._columns)

"""A Model directory as a scorer; reads only the signatures of its SavedModel, so any age of code will do."""

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]

SAVED_MODEL = "saved_model"


class ScoringModel:
    """The scoring SavedModel of a Model directory.

    Attributes:
      movie_ids: str [M], the model's catalogue.
      vectors: float32 [M, d] and biases: float32 [M]. The retrieval score of movie m for a query is
        query . vectors[m] + biases[m].
    """

    def __init__(self, signatures: Any) -> None:
        self._signatures = signatures
        candidates = signatures["candidates"]()
        self.movie_ids: Array = np.char.decode(candidates["movie_id"].numpy().astype(bytes), "utf-8")
        self.vectors: Array = candidates["vector"].numpy()
        self.biases: Array = candidates["bias"].numpy()

    @classmethod
    def load(cls, model_dir: str | Path) -> Self:
        """Loads the Model directory `model_dir`.

        Raises:
          UserError: if it holds no SavedModel with the signatures query, candidates and rate.
        """
        import tensorflow as tf

        directory = Path(model_dir) / SAVED_MODEL
        if not (directory / "saved_model.pb").is_file():
            raise UserError(
                f"{model_dir} holds no model: {directory} is absent; make one with `twotower train`"
            )
        try:
            signatures = tf.saved_model.load(str(directory)).signatures
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{directory} cannot be loaded: {error}; make it anew with `twotower train`"
            ) from error
        missing = {"query", "candidates", "rate"} - set(signatures)
        if missing:
            raise UserError(
                f"{directory} lacks the signature {sorted(missing)[0]}; make it anew with `twotower train`"
            )
        return cls(signatures)

    def query(self, user_ids: Any, history: UserRatings) -> Array:
        """Query vectors, float32 [n, d].

        Args:
          user_ids: strings [n].
          history: of n users, over rows of `movie_ids` (other movies are ignored), in stars.
        """
        answer: Array = self._signatures["query"](**_inputs(user_ids, history))["query"].numpy()
        return answer

    def rate(self, user_ids: Any, history: UserRatings, pair_row: Array, pair_movie: Array) -> Array:
        """Stars, float32 [p], for pairs of a row of the batch and a row of `movie_ids`.

        A pair's own rating, if it is in the history, is not read for it.
        """
        import tensorflow as tf

        pairs = {
            "pair_row": tf.constant(np.asarray(pair_row, np.int32)),
            "pair_movie": tf.constant(np.asarray(pair_movie, np.int32)),
        }
        answer: Array = self._signatures["rate"](**_inputs(user_ids, history), **pairs)["rating"].numpy()
        return answer


def _inputs(user_ids: Any, history: UserRatings) -> dict[str, Any]:
    import tensorflow as tf

    return {
        "user_id": tf.constant([str(user) for user in user_ids], tf.string),
        "history_movie": tf.constant(np.asarray(history.movies, np.int32)),
        "history_rating": tf.constant(np.asarray(history.ratings, np.float32)),
        "history_row_splits": tf.constant(np.asarray(history.offsets, np.int64)),
    }

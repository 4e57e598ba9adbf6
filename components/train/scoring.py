"""Scoring contract: the signatures of every model's SavedModel, its writer, and its reader.

The reader uses the signatures alone, never the model's code, so that a model of any age can be scored.
"""

from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.errors import UserError
from components.saved_models import SAVED_MODEL, check_operations
from components.vocabulary.interactions import UserRatings, user_chunks

Array = npt.NDArray[Any]

HISTORY_INPUTS = [
    tf.TensorSpec([None], tf.string, "user_id"),
    tf.TensorSpec([None], tf.int32, "history_movie"),
    tf.TensorSpec([None], tf.float32, "history_rating"),
    tf.TensorSpec([None], tf.int64, "history_row_splits"),
]
PAIR_INPUTS = [tf.TensorSpec([None], tf.int32, "pair_row"), tf.TensorSpec([None], tf.int32, "pair_movie")]
# "" and 0 where not known; genres are separated by "|".
FEATURE_INPUTS = [
    tf.TensorSpec([None], tf.string, "title"),
    tf.TensorSpec([None], tf.int32, "year"),
    tf.TensorSpec([None], tf.string, "genres"),
]

# Signatures of every scoring SavedModel, and those that a model may have: two that make serving faster, and
# one that places movies without ratings.
SIGNATURES = ("query", "candidates", "rate")
OPTIONAL_SIGNATURES = ("profile", "rating_candidates", "candidate_from_features")

# Ratings that a model is to read at once, at most: a sampled rating head needs 4 KB for each.
RATINGS_AT_ONCE = 1 << 16

Outputs = dict[str, tf.Tensor]


def signatures(module: tf.Module) -> dict[str, Any]:
    """Returns the concrete functions of the methods `SIGNATURES`, and of `OPTIONAL_SIGNATURES` if there."""
    optional = [name for name in OPTIONAL_SIGNATURES if hasattr(module, name)]
    return {name: getattr(module, name).get_concrete_function() for name in (*SIGNATURES, *optional)}


def save(module: tf.Module, directory: Path) -> None:
    """Writes a module with the methods of `signatures` as a SavedModel.

    It holds the signatures and what they read, and not the module, whose methods would be traced once more.
    """
    read, functions = tf.Module(), signatures(module)
    read.variables_read = [variable for function in functions.values() for variable in function.variables]
    owned = [value for part in (module, *module.submodules) for value in vars(part).values()]
    read.tables = [value for value in owned if isinstance(value, tf.lookup.StaticHashTable)]
    tf.saved_model.save(read, str(directory), signatures=functions)
    assets = directory / "assets"
    if assets.is_dir() and not any(assets.iterdir()):
        assets.rmdir()  # object stores know no empty directories


class ScoringModel:
    """The scoring SavedModel of a Model directory.

    The retrieval score of movie m, of the catalogue `movie_ids`, str [M], for a query is
    query . vectors[m] + biases[m]; vectors are float32 [M, d], biases float32 [M].
    """

    def __init__(self, signatures: Any) -> None:
        self._signatures = signatures
        candidates = signatures["candidates"]()
        self.movie_ids: Array = np.char.decode(candidates["movie_id"].numpy().astype(bytes), "utf-8")
        self.vectors: Array = candidates["vector"].numpy()
        self.biases: Array = candidates["bias"].numpy()

    @classmethod
    def load(cls, model_dir: str | Path) -> Self:
        """Loads a Model.

        Raises `UserError` if it has no SavedModel with query, candidates and rate, or `check_operations`
        refuses that.
        """
        directory = Path(model_dir) / SAVED_MODEL
        check_operations(directory)
        try:
            signatures = tf.saved_model.load(str(directory)).signatures
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"{directory} cannot be loaded: {error}; make it anew with `twotower train`"
            ) from error
        missing = set(SIGNATURES) - set(signatures)
        if missing:
            raise UserError(
                f"{directory} lacks the signature {sorted(missing)[0]}; make it anew with `twotower train`"
            )
        return cls(signatures)

    def signature(self, name: str) -> Any:
        """Returns the signature `name`; None if the model lacks it."""
        return self._signatures.get(name)

    def star_table(self) -> tuple[Array, Array] | None:
        """Returns the outputs of `rating_candidates`: vectors and biases, float32 [M, K + 1], and bounds [2].

        None if the model lacks that signature.
        """
        signature = self.signature("rating_candidates")
        if signature is None:
            return None
        table = {name: values.numpy() for name, values in signature().items()}
        return np.column_stack([table["vector"], table["bias"]]), table["bounds"]

    def taste(self, user_ids: Any, history: UserRatings) -> Array:
        """Returns the user factors of the signature `profile`, float32 [n, K], as `query` its queries."""
        answer: Array = self._signatures["profile"](**_inputs(user_ids, history))["taste"].numpy()
        return answer

    def query(self, user_ids: Any, history: UserRatings) -> Array:
        """Returns query vectors, float32 [n, d].

        `user_ids` are strings [n]; `history` is over rows of `movie_ids` (other movies are ignored), in
        stars.
        """
        answer: Array = self._signatures["query"](**_inputs(user_ids, history))["query"].numpy()
        return answer

    def rate(self, user_ids: Any, history: UserRatings, pair_row: Any, pair_movie: Any) -> Array:
        """Returns stars, float32 [p], for pairs of a row of the batch and a row of `movie_ids`.

        A pair's own rating, if it is in the history, is not read for it.
        """
        pair_row, pair_movie = np.asarray(pair_row), np.asarray(pair_movie)
        answer = np.empty(len(pair_row), np.float32)
        for users in user_chunks(history.counts, history.users, RATINGS_AT_ONCE):
            inside = np.flatnonzero((pair_row >= users.start) & (pair_row < users.stop))
            pairs = {
                "pair_row": tf.constant(np.asarray(pair_row[inside] - users.start, np.int32)),
                "pair_movie": tf.constant(np.asarray(pair_movie[inside], np.int32)),
            }
            inputs = _inputs(user_ids[users], history[users])
            answer[inside] = self._signatures["rate"](**inputs, **pairs)["rating"].numpy()
        return answer


def _inputs(user_ids: Any, history: UserRatings) -> dict[str, Any]:
    return {
        "user_id": tf.constant([str(user) for user in user_ids], tf.string),
        "history_movie": tf.constant(np.asarray(history.movies, np.int32)),
        "history_rating": tf.constant(np.asarray(history.ratings, np.float32)),
        "history_row_splits": tf.constant(np.asarray(history.offsets, np.int64)),
    }

"""The preset `notebook`: the model that this project started from, for comparison.

A user's and a movie's vector are looked up by id; the retrieval loss is the softmax over the batch, summed,
and the rating a network on both vectors (the TFRS tutorial "Multi-task recommenders").
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.train.scoring import HISTORY_INPUTS, PAIR_INPUTS, Outputs
from components.train.settings import NotebookSettings
from components.vocabulary.interactions import UserRatings

Array = npt.NDArray[Any]
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


class NotebookModel(tfrs.Model):  # type: ignore[misc]
    """Embeddings by id; the last row of each table stands for an unknown user or movie."""

    def __init__(self, users: int, movies: int, scale: float, settings: NotebookSettings) -> None:
        """Args: `scale`: stars per unit of the logged `rating_loss`, the ratings' standard deviation."""
        super().__init__()
        self._settings, self._variance = settings, scale**2
        self.users = tf.keras.layers.Embedding(users + 1, settings.dimension)
        self.movies = tf.keras.layers.Embedding(movies + 1, settings.dimension)
        self.rating_network = tf.keras.Sequential(
            [
                tf.keras.layers.Dense(settings.hidden_units, "relu"),
                tf.keras.layers.Dense(settings.second_hidden_units, "relu"),
                tf.keras.layers.Dense(1),
            ]
        )
        # In a function of its own, since TFRS needs AutoGraph and the training step does without.
        self._retrieval = tf.function(tfrs.tasks.Retrieval())
        self._rating = tfrs.tasks.Ranking(loss=tf.keras.losses.MeanSquaredError())
        self._retrieval_mean = tf.keras.metrics.Mean("retrieval_loss")
        self._rating_mean = tf.keras.metrics.Mean("rating_loss")

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Returns the weighted losses, float32 []. `inputs`: users int32 [t], movies int32 [t], stars [t]."""
        users, movies, stars = inputs
        queries, candidates = self.users(users), self.movies(movies)
        retrieval = self._retrieval(queries, candidates, compute_metrics=False)
        rating = self._rating(labels=stars[:, tf.newaxis], predictions=self.stars(queries, candidates))
        self._retrieval_mean.update_state(retrieval / tf.cast(tf.size(users), tf.float32))
        self._rating_mean.update_state(rating / self._variance)
        return self._settings.retrieval_weight * retrieval + self._settings.rating_weight * rating

    def scores(self, users: tf.Tensor) -> tf.Tensor:
        """Returns the retrieval score of every movie, float32 [n, movies]. `users`: int32 [n]."""
        return tf.matmul(self.users(users), self.movies.embeddings[:-1], transpose_b=True)

    def ratings(self, users: tf.Tensor, movies: tf.Tensor) -> tf.Tensor:
        """Returns stars for pairs of a user and a movie, float32 [t]."""
        return self.stars(self.users(users), self.movies(movies))[:, 0]

    def stars(self, queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Returns stars for pairs of vectors, float32 [t, 1]."""
        return self.rating_network(tf.concat([queries, candidates], axis=1))


class RowBatches:
    """Batches of ratings in a random order, drawn anew each epoch."""

    def __init__(self, ratings: UserRatings, size: int, seed: int) -> None:
        self._ratings, self._size, self._seed = ratings, size, seed
        self._users = ratings.owners

    def steps(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._users) // self._size)

    def from_step(self, step: int) -> Iterator[tuple[Array, Array, Array]]:
        """Yields batches without end, beginning after `step` batches: users, movies, ratings, each [t]."""
        epoch, first = divmod(step, self.steps())
        while True:
            order = np.random.default_rng([self._seed, epoch]).permutation(len(self._users))
            for start in range(first * self._size, len(order), self._size):
                rows = order[start : start + self._size]
                yield self._users[rows], self._ratings.movies[rows], self._ratings.ratings[rows]
            epoch, first = epoch + 1, 0


class NotebookScoring(tf.Module):  # type: ignore[misc]
    """Signatures of the notebook's model, which reads no history: a user is known by id, or not at all."""

    def __init__(
        self, model: NotebookModel, user_ids: Any, movie_ids: Any, rating_scale: tuple[float, float]
    ) -> None:
        super().__init__(name="scoring")
        self._users, self._movies, self._stars = _call(model.users), _call(model.movies), model.stars
        self._bounds, self._unknown = rating_scale, len(movie_ids)
        self._movie_ids = tf.Variable(list(map(str, movie_ids)), trainable=False, name="movie_ids")
        keys = tf.constant(list(map(str, user_ids)))
        entries = tf.lookup.KeyValueTensorInitializer(keys, tf.range(len(user_ids)))
        self._user_rows = tf.lookup.StaticHashTable(entries, default_value=len(user_ids))

    @tf.function(input_signature=HISTORY_INPUTS, autograph=False)  # type: ignore[untyped-decorator]
    def query(
        self,
        user_id: tf.Tensor,
        history_movie: tf.Tensor,
        history_rating: tf.Tensor,
        history_row_splits: tf.Tensor,
    ) -> Outputs:
        """Query vectors [n, dimension]; for an unknown id that of unknown users, which is never trained."""
        return {"query": self._users(self._user_rows.lookup(user_id))}

    @tf.function(input_signature=[], autograph=False)  # type: ignore[untyped-decorator]
    def candidates(self) -> Outputs:
        """Every movie's id, vector [M, dimension] and bias [M], which is 0."""
        vectors = self._movies(tf.range(self._unknown))
        return {"movie_id": self._movie_ids.read_value(), "vector": vectors, "bias": tf.zeros(self._unknown)}

    @tf.function(input_signature=[*HISTORY_INPUTS, *PAIR_INPUTS], autograph=False)  # type: ignore[untyped-decorator]
    def rate(
        self,
        user_id: tf.Tensor,
        history_movie: tf.Tensor,
        history_rating: tf.Tensor,
        history_row_splits: tf.Tensor,
        pair_row: tf.Tensor,
        pair_movie: tf.Tensor,
    ) -> Outputs:
        """Stars for each pair [p]."""
        users = tf.gather(self._user_rows.lookup(user_id), pair_row)
        movies = tf.where((pair_movie >= 0) & (pair_movie < self._unknown), pair_movie, self._unknown)
        stars = self._stars(self._users(users), self._movies(movies))
        return {"rating": tf.clip_by_value(stars[:, 0], *self._bounds)}


def _call(layer: Any) -> Any:
    """Returns `layer` as a plain function, so that it is not saved once more as a Keras layer."""
    return lambda inputs: layer(inputs)

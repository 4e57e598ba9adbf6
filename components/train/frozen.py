"""What a trained model knows of each movie, worked out once for the SavedModel."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import tensorflow as tf

from components.train.catalogue import Catalogue
from components.train.history import History
from components.train.model import TwoTower
from components.train.rating_head import Movies
from components.train.towers import QueryTower, mean, pooled


def candidates(model: TwoTower, catalogue: Catalogue) -> tuple[Any, Any]:
    """Vectors float32 [M, dimension + 1] and biases float32 [M] of the whole catalogue, for ranking.

    The last component is the learned deviation from popularity; a query's is 1, or 0 where nothing is known
    of the user. Movies without ratings have the least deviation and nothing else.
    """
    known = model.table()
    deviation, table = (known.biases - known.popularity).numpy(), known.vectors.numpy()
    rated = catalogue.rows >= 0
    vectors = np.zeros((len(rated), table.shape[1] + 1), np.float32)
    vectors[rated, :-1] = table
    vectors[rated, -1] = deviation
    vectors[~rated, -1] = min(0.0, float(deviation.min()))
    biases = np.zeros(len(rated), np.float32)
    biases[rated] = known.popularity.numpy()
    return vectors, biases


def rating_candidates(model: TwoTower, catalogue: Catalogue) -> tuple[Any, Any]:
    """Vectors float32 [M, K] and biases float32 [M] of the whole catalogue, for stars.

    What `RatingHead.predict` gives for a pair that is not visible, and `predict_unknown`.
    """
    head, rated = model.rating_head, catalogue.rows >= 0
    table = head.table(model.table().vectors)
    vectors = np.zeros((len(rated), table.features.shape[1]), np.float32)
    vectors[rated] = table.noise * table.features
    vectors[~rated, -1] = head.user_deviation
    biases = np.full(len(rated), np.mean(table.biases), np.float32)
    biases[rated] = table.biases
    return catalogue.scale * vectors, catalogue.mean + catalogue.scale * biases


@dataclass(frozen=True)
class FrozenTowers:
    """The query towers of all members, with the tables that they read side by side: one sum serves all.

    Attributes:
      vectors, opinions: float32 [rated movies + 1, members * dimension]; the last row is zeros.
    """

    towers: list[QueryTower]
    vectors: tf.Variable
    opinions: tf.Variable

    @classmethod
    def of(cls, model: TwoTower) -> Self:
        tables = [tower.table().vectors for tower in model.candidates]
        opinions = [tower.opinions for tower in model.queries]
        return cls(
            towers=list(model.queries),
            vectors=frozen(tf.concat(tables, axis=1), "rated_vectors"),
            opinions=frozen(tf.concat(opinions, axis=1), "opinions"),
        )

    def query(self, read: History) -> tf.Tensor:
        """The mean of the members' queries, float32 [n, dimension]."""
        return self.finish(pooled(read, self.vectors, self.opinions), read.counts)

    def finish(self, sums: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
        """The same of the sums [n, members * dimension] over `counts` [n] ratings of each user."""
        parts = tf.split(sums, len(self.towers), axis=1)
        return mean(tower.finish(part, counts) for tower, part in zip(self.towers, parts, strict=True))


def frozen(table: tf.Tensor, name: str) -> tf.Variable:
    """A table [movies, ...] with one row more, of zeros."""
    padded = tf.pad(table, [[0, 1], *([0, 0] for _ in table.shape[1:])])
    return tf.Variable(padded, trainable=False, name=name)


def frozen_movies(table: Movies) -> Movies:
    """The rating head's tables, each `frozen`."""
    noise = tf.Variable(table.noise, trainable=False, name="noise")
    parts = {name: part for name, part in table._asdict().items() if name != "noise"}
    return Movies(**{name: frozen(part, name) for name, part in parts.items()}, noise=noise)

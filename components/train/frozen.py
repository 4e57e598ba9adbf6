"""What a trained model knows of each movie, worked out once for the SavedModel."""

from typing import Any

import numpy as np
import tensorflow as tf

from components.train.catalogue import Catalogue
from components.train.model import TwoTower
from components.train.rating_head import Movies


def candidates(model: TwoTower, catalogue: Catalogue) -> tuple[Any, Any]:
    """Vectors float32 [M, dimension + 1] and biases float32 [M] of the whole catalogue, for ranking.

    The last component is the learned deviation from popularity; a query's is 1, or 0 where nothing is known
    of the user. Movies without ratings have the least deviation and nothing else.
    """
    deviation, table = model.candidates.deviation.numpy(), model.candidates.table().vectors.numpy()
    rated = catalogue.rows >= 0
    vectors = np.zeros((len(rated), table.shape[1] + 1), np.float32)
    vectors[rated, :-1] = table
    vectors[rated, -1] = deviation
    vectors[~rated, -1] = min(0.0, float(deviation.min()))
    biases = np.zeros(len(rated), np.float32)
    biases[rated] = model.candidates.popularity.numpy()
    return vectors, biases


def rating_candidates(model: TwoTower, catalogue: Catalogue) -> tuple[Any, Any]:
    """Vectors float32 [M, K] and biases float32 [M] of the whole catalogue, for stars.

    What `RatingHead.predict` gives for a pair that is not visible, and `predict_unknown`.
    """
    head, rated = model.rating_head, catalogue.rows >= 0
    table = head.table(model.candidates.table().vectors)
    vectors = np.zeros((len(rated), table.features.shape[1]), np.float32)
    vectors[rated] = table.noise * table.features
    vectors[~rated, -1] = head.user_deviation
    biases = np.full(len(rated), np.mean(table.biases), np.float32)
    biases[rated] = table.biases
    return catalogue.scale * vectors, catalogue.mean + catalogue.scale * biases


def frozen(table: tf.Tensor, name: str) -> tf.Variable:
    """A table [movies, ...] with one row more, of zeros."""
    padded = tf.pad(table, [[0, 1], *([0, 0] for _ in table.shape[1:])])
    return tf.Variable(padded, trainable=False, name=name)


def frozen_movies(table: Movies) -> Movies:
    """The rating head's tables, each `frozen`."""
    noise = tf.Variable(table.noise, trainable=False, name="noise")
    parts = {name: part for name, part in table._asdict().items() if name != "noise"}
    return Movies(**{name: frozen(part, name) for name, part in parts.items()}, noise=noise)

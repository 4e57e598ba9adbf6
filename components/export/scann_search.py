"""Approximate search for the best-scored movies, by ScaNN."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from components.errors import UserError
from components.export.brute_force import LOWEST_SCORE, BiasedBruteForce

# With fewer movies there is nothing to partition.
FEWEST_MOVIES = 1_000

# Candidates that are scored exactly, for each that is wanted.
_REORDERED = 5
# A request for a greater share of the catalogue than this is searched exactly, being hardly faster otherwise.
_FEW = 0.02


Scores = tuple[tf.Tensor, tf.Tensor]


class ScannSearch(tf.Module):  # type: ignore[misc]
    """ScaNN (Guo et al. 2020) over vectors with a bias, and exact search where ScaNN is no use.

    ScaNN knows no exclusions, so that it is asked for as many movies more as the longest list excludes. What
    is restricted to some movies, wants a large part of the catalogue, or finds too few movies in the leaves
    that are searched, is left to exact search. The scores are exact, since the best candidates are scored
    anew; only which movies are found is not certain.
    """

    def __init__(self, exact: BiasedBruteForce, vectors: np.ndarray, biases: np.ndarray) -> None:
        """Partitions M candidates: `vectors` float32 [M, d], `biases` float32 [M], as in `exact`."""
        super().__init__(name="scann_search")
        self._best_exactly: Callable[..., Scores] = exact.best
        self._count = len(vectors)
        self.leaves = round(math.sqrt(self._count))
        candidates = np.column_stack([vectors, biases]).astype(np.float32)
        # What makes the searcher is kept, and not the searcher: it is a resource of this process.
        self._state = _ops().builder(candidates, 10, "dot_product").tree(
            num_leaves=self.leaves, num_leaves_to_search=self.leaves, training_iterations=12
        ).score_ah(dimensions_per_block=2).reorder(_REORDERED * 10).build().serialize_to_module()  # fmt: skip
        self._searched = tf.Variable(self.leaves, trainable=False, name="leaves_searched")

    def search_leaves(self, share: float) -> None:
        """Looks into this share of the leaves from now on; the more, the surer and slower."""
        self._searched.assign(max(1, round(share * self.leaves)))

    def best(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded_rows: tf.Tensor,
        excluded: tf.Tensor,
        allowed: tf.Tensor | None = None,
    ) -> Scores:
        """As `BiasedBruteForce.best`, but that some of the best candidates may be missing."""

        def exactly() -> Scores:
            return self._best_exactly(queries, k, excluded_rows, excluded, allowed)

        if allowed is not None:
            return exactly()
        longest = tf.reduce_max(tf.math.bincount(tf.cast(excluded_rows, tf.int32), minlength=1))
        wanted = tf.maximum(k, 0) + longest
        few = (tf.shape(queries)[0] > 0) & (k > 0) & (wanted <= int(_FEW * self._count))

        def approximately() -> Scores:
            scores, found = self._search(queries, wanted)
            keys = tf.sort(excluded_rows * self._count + tf.cast(excluded, tf.int64))
            out_of_question = _contains(keys, self._keys(found))
            scores = tf.where(out_of_question, LOWEST_SCORE, scores)
            # Where the leaves hold too little, ScaNN fills up with NaN.
            lacking = tf.reduce_any(tf.math.is_nan(scores)) | (tf.shape(scores)[1] < wanted)
            answer: Scores = tf.cond(lacking, exactly, lambda: _top_k(scores, found, k, self._count))
            return answer

        answer: Scores = tf.cond(few, approximately, exactly)
        return answer

    def _search(self, queries: tf.Tensor, count: tf.Tensor) -> Scores:
        searcher = _ops().searcher_from_module(self._state)
        with_bias = tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0)
        found = searcher.search_batched(with_bias, count, _REORDERED * count, self._searched)
        # ScaNN's operations do not tell TensorFlow the rank of what they give.
        return tf.ensure_shape(found.distances, [None, None]), tf.ensure_shape(found.indices, [None, None])

    def _keys(self, found: tf.Tensor) -> tf.Tensor:
        rows = tf.range(tf.shape(found, tf.int64)[0])[:, tf.newaxis]
        return rows * self._count + tf.cast(found, tf.int64)


def require_scann() -> None:
    """Raises `UserError` unless ScaNN can be used."""
    try:
        _ops()
    except (ImportError, OSError) as error:
        raise UserError(
            "ScaNN is not installed, or does not fit this TensorFlow; `pip install 'twotower[scann]'`, "
            "or take an index of the kind brute-force"
        ) from error


def _ops() -> Any:
    return importlib.import_module("scann.scann_ops.py.scann_ops")


def _contains(keys: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Which of `wanted`, int64 of any shape, are among `keys`, ascending."""
    padded, flat = tf.concat([keys, [tf.int64.max]], axis=0), tf.reshape(wanted, [-1])
    there = tf.equal(tf.gather(padded, tf.searchsorted(padded, flat)), flat)
    return tf.reshape(there, tf.shape(wanted))


def _top_k(scores: tf.Tensor, found: tf.Tensor, k: tf.Tensor, nothing: int) -> Scores:
    values, places = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
    candidates = tf.gather(found, places, batch_dims=1)
    return values, tf.where(values > LOWEST_SCORE, candidates, nothing)

"""Top-k search over candidate vectors: exact, or approximate by ScaNN."""

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.errors import UserError

# What an excluded movie scores, and what pads an answer that runs short. Finite, so that JSON can carry it.
LOWEST_SCORE = float(np.finfo(np.float32).min)

# Movies to a block: the best k movies lie in the k blocks with the best leaders, so that a maximum is all
# that most of the catalogue costs. Of 4 to 64, 16 was the fastest at 17,770 movies: half the time or less.
_BLOCK = 16


class BiasedBruteForce(tfrs.layers.factorized_top_k.TopK):  # type: ignore[misc]
    """Exact search, for scores with a bias and with movies excluded for each query.

    The bias is one component more of a movie's vector, met by a 1 in the query. The table has a row for each
    component, where TFRS's own layer has one for each movie: one query's product then takes a third less
    time. TFRS's exclusions look k + (the longest list) movies up and compare strings; here each excluded
    score is overwritten.
    """

    def __init__(self, k: int = 10) -> None:
        """Args: `k`: how many movies a call gives that does not say."""
        super().__init__(k=k)

    def index_with_bias(self, vectors: np.ndarray, biases: np.ndarray) -> "BiasedBruteForce":
        """Indexes M candidates: `vectors` float32 [M, d], `biases` float32 [M]."""
        return self.index(np.column_stack([vectors, biases]))

    def index(self, candidates: np.ndarray, identifiers: None = None) -> "BiasedBruteForce":
        """Indexes M candidates, float32 [M, d + 1], vector and bias; each is known by its position."""
        self._count = len(candidates)
        components = np.pad(candidates, ((0, -self._count % _BLOCK), (0, 0))).astype(np.float32)
        components[self._count :, -1] = LOWEST_SCORE
        self._components = tf.Variable(components.T, trainable=False, name="components")
        return self

    def call(self, queries: tf.Tensor, k: int | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        """`best` with nothing excluded."""
        nothing = tf.zeros([0], tf.int64)
        return self.best(queries, self._k if k is None else k, nothing, tf.cast(nothing, tf.int32))

    def is_exact(self) -> bool:
        """True."""
        return True

    def best(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded_rows: tf.Tensor,
        excluded: tf.Tensor,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The k best candidates of each query, best first, ties by position.

        Args:
          queries: float32 [n, d].
          k: int32 scalar; clamped to 0..M.
          excluded_rows: int64 [e], the query for which `excluded` is out of the question.
          excluded: int32 [e], candidates, each in 0..M-1.
          allowed: bool [M], the candidates that are in question for any query; None for all.

        Returns:
          Scores float32 [n, k] and candidates int32 [n, k]; where fewer than k candidates are left,
          `LOWEST_SCORE` and M.
        """
        scores = tf.matmul(tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0), self._components)
        pairs = tf.stack([excluded_rows, tf.cast(excluded, tf.int64)], axis=1)
        lowest = tf.fill(tf.shape(excluded), LOWEST_SCORE)
        # In place, where `tf.tensor_scatter_nd_update` copies; beside the least float any score is nothing.
        scores = tf.raw_ops.ScatterNdNonAliasingAdd(input=scores, indices=pairs, updates=lowest)
        if allowed is not None:
            padding = scores.shape[1] - self._count
            scores = tf.where(tf.pad(allowed, [[0, padding]]), scores, LOWEST_SCORE)
        values, candidates = _top_k_by_blocks(scores, tf.clip_by_value(k, 0, self._count))
        # What was excluded twice is at minus infinity.
        return tf.maximum(values, LOWEST_SCORE), tf.where(values > LOWEST_SCORE, candidates, self._count)


def _top_k_by_blocks(scores: tf.Tensor, k: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`tf.math.top_k` of [n, whole blocks], with the same answer, ties included.

    A block left out has a leader that k leaders precede, by score or, in a tie, by position, since `top_k`
    keeps the first of equals; its other members come after their leader. So none of it is among the best k.
    """
    rows, blocks = tf.shape(scores)[0], scores.shape[1] // _BLOCK
    by_block = tf.reshape(scores, [rows, blocks, _BLOCK])
    leaders = tf.reduce_max(by_block, axis=2)
    chosen = tf.sort(tf.math.top_k(leaders, tf.minimum(k, blocks), sorted=False).indices, axis=1)
    members = tf.reshape(tf.gather(by_block, chosen, batch_dims=1), [rows, tf.shape(chosen)[1] * _BLOCK])
    values, places = tf.math.top_k(members, k)
    return values, tf.gather(chosen, places // _BLOCK, batch_dims=1) * _BLOCK + places % _BLOCK


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

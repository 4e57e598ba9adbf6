"""Top-k search over candidate vectors: exact, or approximate by ScaNN."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.export.manifest import LOWEST_SCORE, scann_ops

# Movies to a block. The best k movies lie in the k blocks with the greatest maxima, so most blocks cost one
# maximum only. Of the sizes 4 to 64, 16 was the fastest with 17,770 movies: half the time or less.
_BLOCK = 16

# Scores float32 [n, k] of n queries, and candidates int32 [n, k].
Scores = tuple[tf.Tensor, tf.Tensor]


class BiasedBruteForce(tfrs.layers.factorized_top_k.TopK):  # type: ignore[misc]
    """Exact search, for scores with a bias and with movies excluded for each query.

    The bias is an additional component of a movie's vector, multiplied by a 1 in the query. The table has a
    row for each component, where the layer of TFRS has a row for each movie: the product with one query takes
    a third less time. TFRS excludes movies by searching for k + (the longest list) of them and comparing
    strings; this layer overwrites the excluded scores.
    """

    def __init__(self, k: int = 10) -> None:
        """Args: `k`: the default number of movies of a call."""
        super().__init__(k=k)

    def index_with_bias(self, vectors: np.ndarray, biases: np.ndarray) -> "BiasedBruteForce":
        """Indexes M candidates: `vectors` float32 [M, d], `biases` float32 [M]."""
        return self.index(np.column_stack([vectors, biases]))

    def index(self, candidates: np.ndarray, identifiers: None = None) -> "BiasedBruteForce":
        """Indexes M candidates, float32 [M, d + 1], vector and bias, identified by their positions."""
        self._count = len(candidates)
        components = np.pad(candidates, ((0, -self._count % _BLOCK), (0, 0))).astype(np.float32)
        components[self._count :, -1] = LOWEST_SCORE
        self._components = tf.Variable(components.T, trainable=False, name="components")
        return self

    def call(self, queries: tf.Tensor, k: int | None = None) -> Scores:
        """Calls `best` with nothing excluded."""
        nothing = tf.zeros([0], tf.int64)
        return self.best(queries, self._k if k is None else k, nothing, tf.cast(nothing, tf.int32))

    def is_exact(self) -> bool:
        """Returns True."""
        return True

    def score(self, queries: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """Returns scores float32 [n, m] of queries float32 [n, d] and candidates int32 [m]."""
        return tf.matmul(_with_one(queries), tf.gather(self._components, candidates, axis=1))

    def best(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded_rows: tf.Tensor,
        excluded: tf.Tensor,
        allowed: tf.Tensor | None = None,
    ) -> Scores:
        """Finds the k best candidates of each query, best first, ties by position.

        Args:
          queries: float32 [n, d].
          k: int32 scalar; clamped to 0..M.
          excluded_rows: int64 [e], the query that each of `excluded` is excluded for.
          excluded: int32 [e], candidates, each in 0..M-1.
          allowed: bool [M], the candidates to choose from; None for all.

        Returns:
          Scores float32 [n, k] and candidates int32 [n, k]; where fewer than k candidates are left,
          `LOWEST_SCORE` and M.
        """
        scores = tf.matmul(_with_one(queries), self._components)
        pairs = tf.stack([excluded_rows, tf.cast(excluded, tf.int64)], axis=1)
        lowest = tf.fill(tf.shape(excluded), LOWEST_SCORE)
        # In place, where `tf.tensor_scatter_nd_update` copies. Adding the least float to a score gives it.
        scores = tf.raw_ops.ScatterNdNonAliasingAdd(input=scores, indices=pairs, updates=lowest)
        if allowed is not None:
            padding = scores.shape[1] - self._count
            scores = tf.where(tf.pad(allowed, [[0, padding]]), scores, LOWEST_SCORE)
        values, candidates = _top_k_by_blocks(scores, tf.clip_by_value(k, 0, self._count))
        # A candidate that was excluded twice has minus infinity.
        return tf.maximum(values, LOWEST_SCORE), tf.where(values > LOWEST_SCORE, candidates, self._count)


def _with_one(queries: tf.Tensor) -> tf.Tensor:
    """Adds to each query the component 1, which meets the bias."""
    return tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0)


def _top_k_by_blocks(scores: tf.Tensor, k: tf.Tensor) -> Scores:
    """Computes `tf.math.top_k` of [n, whole blocks] faster, with the same result, ties included.

    The maximum of a block that is left out comes after k maxima of other blocks, by score or, in a tie, by
    position, since `top_k` keeps the first of equals. So no member of that block is among the best k.
    """
    rows, blocks = tf.shape(scores)[0], scores.shape[1] // _BLOCK
    by_block = tf.reshape(scores, [rows, blocks, _BLOCK])
    maxima = tf.reduce_max(by_block, axis=2)
    chosen = tf.sort(tf.math.top_k(maxima, tf.minimum(k, blocks), sorted=False).indices, axis=1)
    members = tf.reshape(tf.gather(by_block, chosen, batch_dims=1), [rows, tf.shape(chosen)[1] * _BLOCK])
    values, positions = tf.math.top_k(members, k)
    return values, tf.gather(chosen, positions // _BLOCK, batch_dims=1) * _BLOCK + positions % _BLOCK


# With fewer movies a partition is not worthwhile.
FEWEST_MOVIES = 1_000

# Candidates that are scored exactly, for each requested one.
_REORDERED = 5
# Above this share of the catalogue ScaNN is hardly faster: such a request is searched exactly.
_FEW = 0.02


class ScannSearch(tf.Module):  # type: ignore[misc]
    """ScaNN (Guo et al. 2020) over vectors with a bias, and exact search where ScaNN does not help.

    ScaNN has no exclusions: it is asked for as many additional movies as the longest list excludes. A request
    that is restricted to some movies, wants a large part of the catalogue, or finds too few movies in the
    searched leaves is answered by exact search. The scores are exact, since the best candidates are scored
    again; only the set of movies is approximate.
    """

    def __init__(self, exact: BiasedBruteForce, vectors: np.ndarray, biases: np.ndarray) -> None:
        """Partitions M candidates: `vectors` float32 [M, d], `biases` float32 [M], as in `exact`."""
        super().__init__(name="scann_search")
        self._best_exactly: Callable[..., Scores] = exact.best
        self._count = len(vectors)
        self.leaves = round(math.sqrt(self._count))
        candidates = np.column_stack([vectors, biases]).astype(np.float32)
        # The searcher is a resource of this process: only the state that it is made from can be saved.
        self._state = scann_ops().builder(candidates, 10, "dot_product").tree(
            num_leaves=self.leaves, num_leaves_to_search=self.leaves, training_iterations=12
        ).score_ah(dimensions_per_block=2).reorder(_REORDERED * 10).build().serialize_to_module()  # fmt: skip
        self._searched = tf.Variable(self.leaves, trainable=False, name="leaves_searched")

    def search_leaves(self, share: float) -> None:
        """Sets the share of the leaves to search; more leaves find more movies and take more time."""
        self._searched.assign(max(1, round(share * self.leaves)))

    def best(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded_rows: tf.Tensor,
        excluded: tf.Tensor,
        allowed: tf.Tensor | None = None,
    ) -> Scores:
        """As `BiasedBruteForce.best`, but some of the best candidates may be missing."""

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
            rows = tf.range(tf.shape(found, tf.int64)[0])[:, tf.newaxis]
            is_excluded = _contains(keys, rows * self._count + tf.cast(found, tf.int64))
            scores = tf.where(is_excluded, LOWEST_SCORE, scores)
            # Where the leaves hold too few candidates, ScaNN pads with NaN.
            lacking = tf.reduce_any(tf.math.is_nan(scores)) | (tf.shape(scores)[1] < wanted)
            answer: Scores = tf.cond(lacking, exactly, lambda: _top_k(scores, found, k, self._count))
            return answer

        answer: Scores = tf.cond(few, approximately, exactly)
        return answer

    def _search(self, queries: tf.Tensor, count: tf.Tensor) -> Scores:
        searcher = scann_ops().searcher_from_module(self._state)
        found = searcher.search_batched(_with_one(queries), count, _REORDERED * count, self._searched)
        # The operations of ScaNN do not declare the ranks of their outputs.
        return tf.ensure_shape(found.distances, [None, None]), tf.ensure_shape(found.indices, [None, None])


def _contains(keys: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Marks those of `wanted`, int64 of any shape, that are among `keys`, ascending."""
    padded, flat = tf.concat([keys, [tf.int64.max]], axis=0), tf.reshape(wanted, [-1])
    found = tf.equal(tf.gather(padded, tf.searchsorted(padded, flat)), flat)
    return tf.reshape(found, tf.shape(wanted))


def _top_k(scores: tf.Tensor, found: tf.Tensor, k: tf.Tensor, nothing: int) -> Scores:
    values, positions = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
    candidates = tf.gather(found, positions, batch_dims=1)
    return values, tf.where(values > LOWEST_SCORE, candidates, nothing)

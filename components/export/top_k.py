"""Top-k search over candidate vectors: exact, or approximate by ScaNN."""

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.export.manifest import LOWEST_SCORE, scann_ops
from components.export.reranking import Shift

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
        shift: Shift | None = None,
    ) -> Scores:
        """Finds the k best candidates of each query, best first, ties by position.

        Args:
          queries: float32 [n, d].
          k: int32 scalar; clamped to 0..M.
          excluded_rows: int64 [e], the query that each of `excluded` is excluded for.
          excluded: int32 [e], candidates, each in 0..M-1.
          allowed: bool [M], the candidates to choose from; None for all.
          shift: is added to the scores; None for nothing.

        Returns:
          Scores float32 [n, k] and candidates int32 [n, k]; where fewer than k candidates are left,
          `LOWEST_SCORE` and M.
        """
        scores = tf.matmul(_with_one(queries), self._components)
        padding = scores.shape[1] - self._count
        if shift is not None:
            scores += tf.pad(shift.all(), [[0, 0], [0, padding]])
        scores = _exclude(scores, excluded_rows, excluded)
        if allowed is not None:
            scores = tf.where(tf.pad(allowed, [[0, padding]]), scores, LOWEST_SCORE)
        values, candidates = _top_k_by_blocks(scores, tf.clip_by_value(k, 0, self._count))
        # A candidate that was excluded twice has minus infinity.
        return tf.maximum(values, LOWEST_SCORE), tf.where(values > LOWEST_SCORE, candidates, self._count)

    def best_among(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded_rows: tf.Tensor,
        excluded: tf.Tensor,
        candidates: tf.Tensor,
        shift: Shift | None = None,
    ) -> Scores:
        """Does `best` with only `candidates`, int32 [m] ascending, allowed, and scores no others."""
        scores = self.score(queries, candidates)
        if shift is not None:
            scores += shift.select(candidates)
        places = tf.searchsorted(candidates, excluded)
        there = tf.equal(tf.gather(tf.concat([candidates, [self._count]], axis=0), places), excluded)
        scores = _exclude(scores, tf.boolean_mask(excluded_rows, there), tf.boolean_mask(places, there))
        wanted = tf.clip_by_value(k, 0, self._count)
        values, found = tf.math.top_k(scores, tf.minimum(wanted, tf.shape(scores)[1]))
        rows = tf.where(values > LOWEST_SCORE, tf.gather(candidates, found), self._count)
        lacking = [[0, 0], [0, wanted - tf.shape(values)[1]]]
        values = tf.pad(tf.maximum(values, LOWEST_SCORE), lacking, constant_values=LOWEST_SCORE)
        return values, tf.pad(rows, lacking, constant_values=self._count)


def _exclude(scores: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Lowers the scores in the cells of `rows` (int64 [e]) and `columns` (int32 [e]), maybe in place."""
    pairs = tf.stack([rows, tf.cast(columns, tf.int64)], axis=1)
    lowest = tf.fill(tf.shape(columns), LOWEST_SCORE)
    # In place, where `tf.tensor_scatter_nd_update` copies. Adding the least float to a score gives it.
    return tf.raw_ops.ScatterNdNonAliasingAdd(input=scores, indices=pairs, updates=lowest)


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

# Above this share of the catalogue ScaNN is hardly faster: such a request is searched exactly.
_FEW = 0.02
# If a filter leaves fewer movies, exact search of these is fast enough.
_MOST_EXACT = 50_000
# With a filter: candidates for each requested movie, if all of them were left, and leaves for each searched
# without one.
_SLACK, _MORE_LEAVES = 2, 2


class ScannSearch(tf.Module):  # type: ignore[misc]
    """ScaNN (Guo et al. 2020) over vectors with a bias, and exact search where ScaNN does not help.

    ScaNN has no exclusions: it is asked for as many additional movies as the longest list excludes, and with
    a filter for so many that enough are left. A request that is restricted to few movies, wants a large part
    of the catalogue, shifts the scores, or finds too few movies in the searched leaves is answered by exact
    search. The scores are exact, since the best candidates are scored again; only the set of movies is
    approximate.
    """

    def __init__(self, exact: BiasedBruteForce, vectors: np.ndarray, biases: np.ndarray) -> None:
        """Partitions M candidates: `vectors` float32 [M, d], `biases` float32 [M], as in `exact`."""
        super().__init__(name="scann_search")
        self._best_exactly: Callable[..., Scores] = exact.best
        self._best_among: Callable[..., Scores] = exact.best_among
        self._count = len(vectors)
        self.leaves = round(math.sqrt(self._count))
        candidates = np.column_stack([vectors, biases]).astype(np.float32)
        # The searcher is a resource of this process: only the state that it is made from can be saved.
        # Its numbers of neighbours, leaves and reordered candidates are given anew with each search.
        self._state = scann_ops().builder(candidates, 10, "dot_product").tree(
            num_leaves=self.leaves, num_leaves_to_search=self.leaves, training_iterations=12
        ).score_ah(dimensions_per_block=2).reorder(100).build().serialize_to_module()  # fmt: skip
        self._searched = tf.Variable(self.leaves, trainable=False, name="leaves_searched")
        self._reordered = tf.Variable(1, trainable=False, name="reordered")

    def search(self, share: float, reordered: int) -> None:
        """Sets how much is searched; more finds more movies and takes more time.

        Args:
          share: of the leaves, above 0 and at most 1.
          reordered: candidates that are scored exactly, for each requested one.
        """
        self._searched.assign(max(1, round(share * self.leaves)))
        self._reordered.assign(reordered)

    def best(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded_rows: tf.Tensor,
        excluded: tf.Tensor,
        allowed: tf.Tensor | None = None,
        shift: Shift | None = None,
    ) -> Scores:
        """As `BiasedBruteForce.best`, but some of the best candidates may be missing."""
        given = (queries, k, excluded_rows, excluded)
        if allowed is None:
            return self._best_of_many(*given, None, shift)
        left = tf.reshape(tf.where(allowed), [-1])
        answer: Scores = tf.cond(
            tf.size(left) < _MOST_EXACT,
            lambda: self._best_among(*given, tf.cast(left, tf.int32), shift),
            lambda: self._best_of_many(*given, allowed, shift),
        )
        return answer

    def _best_of_many(
        self,
        queries: tf.Tensor,
        k: tf.Tensor,
        excluded_rows: tf.Tensor,
        excluded: tf.Tensor,
        allowed: tf.Tensor | None,
        shift: Shift | None,
    ) -> Scores:
        def exactly() -> Scores:
            return self._best_exactly(queries, k, excluded_rows, excluded, allowed, shift)

        longest = tf.reduce_max(tf.math.bincount(tf.cast(excluded_rows, tf.int32), minlength=1))
        leaves, candidates = self._searched.read_value(), tf.maximum(k, 0)
        if allowed is not None:
            leaves = tf.minimum(_MORE_LEAVES * leaves, self.leaves)
            share = tf.reduce_mean(tf.cast(allowed, tf.float32))
            candidates = tf.cast(_SLACK * tf.cast(candidates, tf.float32) / share, tf.int32)
        wanted = candidates + longest
        few = (tf.shape(queries)[0] > 0) & (k > 0) & (wanted <= int(_FEW * self._count))
        if shift is not None:
            few &= tf.reduce_all(shift.units == 0)

        def approximately() -> Scores:
            scores, found = self._search(queries, wanted, leaves)
            keys = tf.sort(excluded_rows * self._count + tf.cast(excluded, tf.int64))
            rows = tf.range(tf.shape(found, tf.int64)[0])[:, tf.newaxis]
            is_excluded = _contains(keys, rows * self._count + tf.cast(found, tf.int64))
            # Where the leaves hold too few candidates, ScaNN pads with NaN.
            is_padding = tf.math.is_nan(scores)
            scores = tf.where(is_excluded, LOWEST_SCORE, scores)
            if allowed is None:
                lacking = tf.reduce_any(is_padding) | (tf.shape(scores)[1] < wanted)
            else:
                within = tf.clip_by_value(found, 0, self._count - 1)
                scores = tf.where(~is_padding & tf.gather(allowed, within), scores, LOWEST_SCORE)
                lacking = tf.reduce_any(tf.reduce_sum(tf.cast(scores > LOWEST_SCORE, tf.int32), axis=1) < k)
            answer: Scores = tf.cond(lacking, exactly, lambda: _top_k(scores, found, k, self._count))
            return answer

        answer: Scores = tf.cond(few, approximately, exactly)
        return answer

    def _search(self, queries: tf.Tensor, count: tf.Tensor, leaves: tf.Tensor) -> Scores:
        searcher = scann_ops().searcher_from_module(self._state)
        found = searcher.search_batched(_with_one(queries), count, self._reordered * count, leaves)
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

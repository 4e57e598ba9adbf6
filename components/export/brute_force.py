"""Exact search for the best-scored movies."""

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

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

"""The multi-task model: query tower, candidate tower and rating head, with the losses."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.train.chunks import RAGGED, ChunkedRatings, chunk_ratings
from components.train.rating_head import RatingHead
from components.train.settings import IN_BATCH, NO_HEAD, REGRESSION, TOP_K, Settings
from components.train.tables import ALL_ROWS, RowSubset, subset_of
from components.train.towers import Candidates, CandidateTower, QueryTower, look_up, mean, pool_for
from components.train.training_data import RatedCatalogue

# Ragged ratings: movies int32 [t], ratings float32 [t] (centred and scaled), row_splits int64 [n + 1].
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Distances between the seeds of two replicas' draws, and of two towers of an ensemble: no seeds that people
# give lie so far apart.
_BETWEEN_REPLICAS = 1_000_003
_BETWEEN_TOWERS = 15_485_863


class TwoTower(tfrs.Model):  # type: ignore[misc]
    """Two towers and a rating head that learn by masked prediction.

    Each step hides a random part of every user's ratings. The query tower reads the rest and must find the
    hidden movies; the rating head reads the rest and must predict every rating, each without itself.

    There may be an ensemble: several pairs of query and candidate tower. They start from
    the same vectors, and each hides other ratings; the rating head reads what the first one reads. The
    ensemble's query is the mean of its queries, and its vectors are the mean of its vectors. The noise of
    each pair is averaged out (Breiman 1996, bagging), and since all have a common start, one pair's query
    fits another's vectors, so the means can be taken apart (Wortsman et al. 2022, model soups).
    """

    def __init__(self, catalogue: RatedCatalogue, settings: Settings, vectors: Any, seed: int) -> None:
        """Args: `vectors`: initial vectors of the movies, float32 [rated movies, dimension]."""
        super().__init__()
        self._settings, self._seed = settings, seed
        self._ratings = float(catalogue.training_counts.sum())
        movies, dimension = vectors.shape
        counts, years = catalogue.training_counts, catalogue.years
        width, dropout, pairs = settings.hidden_units, settings.dropout, range(settings.ensemble_size)
        self.candidates = [CandidateTower(vectors, counts, years) for _ in pairs]
        sampled = settings.retrieval_loss == IN_BATCH  # a step then knows the movies of its batch only
        pool = look_up if sampled else pool_for(movies, catalogue.ratings_a_user)
        self.queries = [QueryTower(movies, dimension, width, dropout, pool) for _ in pairs]
        # A sampled rating head is no part of this model.
        learned = settings.rating_head == REGRESSION
        self.rating_head = RatingHead(movies, dimension, settings.rating_weights) if learned else None
        self._retrieval = retrieval_task(settings)
        # Of feedback without stars, which alone has no rating head, the ratings are weights.
        weighs = settings.rating_head == NO_HEAD
        self._weights = (catalogue.mean, catalogue.scale) if weighs else None
        # Keras refuses to take a mean where there may be replicas, since it cannot know of what.
        errors = tf.keras.losses.MeanSquaredError(tf.keras.losses.Reduction.SUM)
        self._rating = tfrs.tasks.Ranking(loss=errors)
        self._retrieval_mean = tf.keras.metrics.Mean("retrieval_loss")
        if not weighs:
            self._rating_mean = tf.keras.metrics.Mean("rating_loss")

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """Returns a replica's part of the weighted losses and the regularisation, float32 []."""
        settings = self._settings
        subset, movies = self._subset(inputs[0])
        whole = chunk_ratings(movies, *inputs[1:])
        tables = [tower.table(subset) for tower in self.candidates]
        seeds = [self._step_seed() + _BETWEEN_TOWERS * number for number in range(settings.ensemble_size)]
        batches = [self._hide(whole, seed) for seed in seeds]
        dropout_seeds = [seed + 1 if training else None for seed in seeds]
        queries = [
            tower(batch, table.vectors, seed, subset)
            for tower, table, batch, seed in zip(self.queries, tables, batches, dropout_seeds, strict=True)
        ]
        weights = None if self._weights is None else self._weights[0] + self._weights[1] * whole.ratings
        retrieval = mean(
            self._retrieval(table, query, batch, weights)
            for table, query, batch in zip(tables, queries, batches, strict=True)
        )
        self._retrieval_mean.update_state(retrieval)
        loss = settings.retrieval_weight * retrieval
        if self.rating_head is not None:
            rating = self._rating_loss(self.rating_head, batches[0], Candidates.mean(tables).vectors, subset)
            loss += settings.rating_weight * rating
        # The gradients of all replicas are added up; so the regularisation, the same in all, counts once.
        return (loss + self._regularisation(subset)) / tf.distribute.get_strategy().num_replicas_in_sync

    def _rating_loss(
        self, head: RatingHead, batch: ChunkedRatings, vectors: tf.Tensor, subset: RowSubset
    ) -> tf.Tensor:
        """Returns the negative evidence lower bound per rating, in units of squared error, float32 []."""
        movies = head.table(vectors, subset).gather(batch.movies)
        posterior = head.posterior(batch, movies)
        labels = batch.chunks.collect(batch.ratings)
        squares = self._rating(
            labels=labels[:, tf.newaxis],
            predictions=batch.chunks.collect(head.predict(posterior, batch, movies))[:, tf.newaxis],
        )
        error = squares / tf.cast(tf.size(labels), tf.float32)
        self._rating_mean.update_state(error)
        error += tf.reduce_mean(batch.chunks.collect(head.predictive_variance(posterior, batch, movies)))
        divergence = self._settings.kl_weight * head.kl_divergence(subset) / self._ratings
        return error + 2.0 * tf.stop_gradient(error) * divergence

    def _subset(self, movies: tf.Tensor) -> tuple[RowSubset, tf.Tensor]:
        """Returns the movies that a step computes with, and the places of `movies` among them.

        Losses over the whole catalogue need all of them; the sampled softmax only those of the batch.
        """
        if self._settings.retrieval_loss != IN_BATCH:
            return ALL_ROWS, movies
        counts = tf.exp(self.candidates[0].popularity)
        return subset_of(movies, counts / tf.reduce_sum(counts))

    @property
    def towers(self) -> list[tuple[QueryTower, CandidateTower]]:
        """The pairs of the ensemble."""
        return list(zip(self.queries, self.candidates, strict=True))

    @property
    def tower_variables(self) -> list[tf.Variable]:
        """The towers' trainable variables; the others are the rating head's."""
        towers: list[tf.keras.layers.Layer] = [*self.candidates, *self.queries]
        return [variable for tower in towers for variable in tower.trainable_variables]

    def table(self, subset: RowSubset = ALL_ROWS) -> Candidates:
        """Returns the mean of the candidate towers' outputs for the movies `subset`."""
        return Candidates.mean([tower.table(subset) for tower in self.candidates])

    def query(self, history: ChunkedRatings) -> tf.Tensor:
        """Returns the mean of the query towers' outputs for each user, float32 [n, dimension]."""
        return mean(queries(history, candidates.table().vectors) for queries, candidates in self.towers)

    @tf.function(input_signature=[RAGGED], autograph=False)  # type: ignore[untyped-decorator]
    def scores(self, history: Batch) -> tf.Tensor:
        """Returns the retrieval score of every movie in the tables, float32 [n, movies]."""
        return self.table().scores(self.query(chunk_ratings(*history)))

    @tf.function(input_signature=[RAGGED, RAGGED], autograph=False)  # type: ignore[untyped-decorator]
    def ratings(self, history: Batch, asked: Batch) -> tf.Tensor:
        """Returns predictions for the pairs `asked`, none of which is in `history`: float32 [t], scaled."""
        subset, movies = subset_of(tf.concat([history[0], asked[0]], axis=0))
        of_history, of_asked = tf.split(movies, [tf.size(history[0]), tf.size(asked[0])])
        known, pairs = chunk_ratings(of_history, *history[1:]), chunk_ratings(of_asked, *asked[1:])
        pairs = pairs.with_visible(tf.zeros_like(pairs.visible))
        head = self.rating_head
        assert head is not None  # a sampled head predicts without this model
        table = head.table(self.table(subset).vectors, subset)
        posterior = head.posterior(known, table.gather(known.movies))
        return pairs.chunks.collect(head.predict(posterior, pairs, table.gather(pairs.movies)))

    def _step_seed(self) -> tf.Tensor:
        """Returns int32 [2], of seed, step and replica alone: a resumed training repeats its draws."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = self._seed + _BETWEEN_REPLICAS * replica
        return tf.stack([2 * tf.cast(self.optimizer.iterations, tf.int32), seed])

    def _hide(self, batch: ChunkedRatings, seed: tf.Tensor) -> ChunkedRatings:
        """Hides a random share of the ratings."""
        draw = tf.random.stateless_uniform(tf.shape(batch.movies), seed)
        return batch.with_visible(tf.cast(draw >= self._settings.mask_rate, tf.float32))

    def _regularisation(self, subset: RowSubset) -> tf.Tensor:
        """Returns the Gaussian priors of the tables: a sum over movies, divided by the number of ratings."""
        settings = self._settings
        tables = [
            table
            for queries, candidates in self.towers
            for table in (subset.of(candidates.embeddings), subset.of(queries.rating_embeddings))
        ]
        years = [tf.reduce_sum(tf.square(tower.year_embeddings)) for tower in self.candidates]
        squares = tf.add_n([subset.sum(tf.square(table)) for table in tables] + years)
        weight = settings.retrieval_weight * settings.retrieval_l2
        return weight * (squares / settings.ensemble_size) / self._ratings


def retrieval_task(settings: Settings) -> tfrs.tasks.Task:
    """Returns the loss that `settings` name."""
    if settings.retrieval_loss == IN_BATCH:
        return InBatchRetrieval(settings.in_batch_pairs)
    if settings.retrieval_loss == TOP_K:
        return TopKRetrieval(settings.top_k, settings.temperature)
    return FullSoftmaxRetrieval()


# Weight of each rating in the retrieval loss, [c, L]; None where all weigh the same.
Weights = Any

# Takes a candidate out of a softmax. Not infinity: its gradient would be NaN.
_EXCLUDED = -1e9


class FullSoftmaxRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of the hidden movies among all movies that are not visible to the user's query.

    All hidden movies of a user share one query, hence one row of scores and one normaliser:
    loss = sum over users of (h_u logsumexp(scores_u) - sum of the scores of the h_u hidden movies), over the
    number of hidden movies. It is the exact softmax that sampled ones approximate, at a fraction of the cost
    of one row per rating (Liang et al. 2018).
    """

    def call(
        self, candidates: Candidates, queries: tf.Tensor, history: ChunkedRatings, weights: Weights = None
    ) -> tf.Tensor:
        """Returns the loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        scores, hidden = candidates.scores(queries), history.chunks.present - history.visible
        hidden = history.matrix(hidden if weights is None else hidden * weights, scores.shape[1])
        read = history.matrix(history.visible, scores.shape[1])
        normalisers = tf.reduce_logsumexp(scores + _EXCLUDED * read, axis=1)
        counts = tf.reduce_sum(hidden, axis=1)
        total = tf.reduce_sum(counts * normalisers) - tf.reduce_sum(hidden * scores)
        return tf.math.divide_no_nan(total, tf.reduce_sum(counts))


class TopKRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Distance of each hidden movie below the k best movies that are not visible to the user's query.

    Top-k accuracy asks whether a movie is above the threshold, the k-th best score. So does this loss: it is
    a hinge on the distance below it, softened by a temperature T: T log(1 + exp((threshold - score) / T)).
    A softmax, in contrast, goes on raising a movie that is among the best already, at the cost of others.
    The threshold has a gradient as well: that of the soft threshold, which keeps the sum of the sigmoids of
    (score - threshold) / T. So movies near it fall as others rise (Berrada et al. 2018; Patel et al. 2022).
    """

    def __init__(self, k: int, temperature: float) -> None:
        """Args: `k`: at most the number of movies. `temperature`: in units of scores, above 0."""
        super().__init__()
        self._k, self._temperature = k, temperature

    def call(
        self, candidates: Candidates, queries: tf.Tensor, history: ChunkedRatings, weights: Weights = None
    ) -> tf.Tensor:
        """Returns the loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        scores, hidden = candidates.scores(queries), _hidden(history)
        others = tf.tensor_scatter_nd_add(scores, _cells(history), _EXCLUDED * history.visible)
        thresholds = tf.gather(_threshold(others, self._k, self._temperature), hidden[:, 0])
        below = (thresholds - tf.gather_nd(scores, hidden)) / self._temperature
        if weights is not None:
            of_hidden = _of_hidden(history, weights)
            total = self._temperature * tf.reduce_sum(of_hidden * tf.nn.softplus(below))
            return tf.math.divide_no_nan(total, tf.reduce_sum(of_hidden))
        total = self._temperature * tf.reduce_sum(tf.nn.softplus(below))
        return tf.math.divide_no_nan(total, tf.cast(tf.size(below), tf.float32))


def _threshold(scores: tf.Tensor, k: int, temperature: float) -> tf.Tensor:
    """Returns the k-th best of each row, [n, movies] -> [n], with the gradient of the soft threshold."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def kth(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        best = tf.math.top_k(values, k)[0][:, -1]

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            inside = tf.sigmoid((values - best[:, tf.newaxis]) / temperature)
            slopes = inside * (1.0 - inside)
            return slopes * (upstream / tf.reduce_sum(slopes, axis=1))[:, tf.newaxis]

        return best, gradient

    return kth(scores)


def _cells(history: ChunkedRatings) -> tf.Tensor:
    """Returns the places of the ratings in a [n, movies] matrix, int32 [c, L, 2]."""
    rows = tf.broadcast_to(history.chunks.row[:, tf.newaxis], tf.shape(history.movies))
    return tf.stack([rows, history.movies], axis=-1)


def _hidden(history: ChunkedRatings) -> tf.Tensor:
    """Returns user and movie of each hidden rating, int32 [h, 2]."""
    return _of_hidden(history, _cells(history))


def _of_hidden(history: ChunkedRatings, values: tf.Tensor) -> tf.Tensor:
    """Returns the values [c, L, ...] of the hidden ratings, [h, ...]."""
    return tf.boolean_mask(values, (history.chunks.present > 0) & (history.visible == 0))


class InBatchRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of each hidden movie among the hidden movies of the whole batch.

    Scores are corrected for how often each movie is drawn (Yi et al. 2019), which takes the bias away, and
    the same movie hidden twice is removed from the negatives: `tfrs.tasks.Retrieval` of the same pairs. But
    there is one row of scores for each user and one column for each movie, in place of one for every pair.
    For catalogues too large for a full softmax.
    """

    def __init__(self, pairs: int) -> None:
        """Args: `pairs`: at most so many hidden movies of a batch are used, to bound the score matrix."""
        super().__init__()
        self._pairs = pairs

    def call(
        self, candidates: Candidates, queries: tf.Tensor, history: ChunkedRatings, weights: Weights = None
    ) -> tf.Tensor:
        """Returns the loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        hidden = _hidden(history)
        # Evenly spaced over the batch, so that every user keeps a share.
        stride = tf.maximum(1, -(-tf.shape(hidden)[0] // self._pairs))
        users, rows = tf.unique(hidden[::stride, 0])
        movies, columns, times = tf.unique_with_counts(hidden[::stride, 1])
        drawn = tf.gather(candidates.vectors, movies)
        scores = tf.matmul(tf.gather(queries, users), drawn, transpose_b=True)
        own = tf.gather_nd(scores, tf.stack([rows, columns], axis=1))
        highest = tf.stop_gradient(tf.reduce_max(scores, axis=1))
        times = tf.cast(times, tf.float32)
        sums = tf.linalg.matvec(tf.exp(scores - highest[:, tf.newaxis]), times)
        highest = tf.gather(highest, rows)
        of_others = (tf.gather(times, columns) - 1.0) * tf.exp(own - highest)
        losses = tf.math.log(tf.gather(sums, rows) - of_others) + highest - own
        of_pairs = tf.ones_like(own) if weights is None else _of_hidden(history, weights)[::stride]
        return tf.math.divide_no_nan(tf.reduce_sum(of_pairs * losses), tf.reduce_sum(of_pairs))

"""The multi-task model: query tower, candidate tower and rating head, with the retrieval losses."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.train.rating_head import RatingHead
from components.train.replicas import of_all_replicas, replica_number
from components.train.settings import IN_BATCH, TOP_K, Settings
from components.train.towers import (
    ALL,
    Candidates,
    CandidateTower,
    History,
    Part,
    QueryTower,
    history,
    mean,
    part_of,
)
from components.train.training_data import Catalogue

# Takes a candidate out of a softmax. Not infinity: its gradient would be NaN.
_EXCLUDED = -1e9


class FullSoftmaxRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of the hidden movies among all movies that the user's query has not read.

    All hidden movies of a user share one query, hence one row of scores and one normaliser:
    loss = sum over users of (h_u logsumexp(scores_u) - sum of the scores of the h_u hidden movies), over the
    number of hidden movies. It is the exact softmax that sampled ones approximate, at a fraction of the cost
    of one row per rating (Liang et al. 2018).
    """

    def call(self, candidates: Candidates, queries: tf.Tensor, history: History) -> tf.Tensor:
        """The loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        scores = candidates.scores(queries)
        hidden = history.matrix(history.chunks.present - history.visible, scores.shape[1])
        read = history.matrix(history.visible, scores.shape[1])
        normalisers = tf.reduce_logsumexp(scores + _EXCLUDED * read, axis=1)
        counts = tf.reduce_sum(hidden, axis=1)
        total = tf.reduce_sum(counts * normalisers) - tf.reduce_sum(hidden * scores)
        return tf.math.divide_no_nan(total, tf.reduce_sum(counts))


class TopKRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """How far each hidden movie is below the k best movies that the user's query has not read.

    Top-k accuracy asks whether a movie is above the threshold, the k-th best score. So does this loss: it is
    a hinge on how far the movie is below, softened by a temperature T:
    T log(1 + exp((threshold - score) / T)).
    A softmax goes on raising a movie that has long been among the best, at the cost of those that are not.
    The threshold is learned as well. It moves as the soft one does, which keeps the sum of the sigmoids of
    (score - threshold) / T: movies near it give way to those that rise (Berrada et al. 2018; Patel et al.
    2022).
    """

    def __init__(self, k: int, temperature: float, **options: Any) -> None:
        """Args: `k`: at most the number of movies. `temperature`: in units of scores, above 0."""
        super().__init__(**options)
        self._k, self._temperature = k, temperature

    def call(self, candidates: Candidates, queries: tf.Tensor, history: History) -> tf.Tensor:
        """The loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        scores, hidden = candidates.scores(queries), _hidden(history)
        unread = tf.tensor_scatter_nd_add(scores, _cells(history), _EXCLUDED * history.visible)
        thresholds = tf.gather(_threshold(unread, self._k, self._temperature), hidden[:, 0])
        below = (thresholds - tf.gather_nd(scores, hidden)) / self._temperature
        total = self._temperature * tf.reduce_sum(tf.nn.softplus(below))
        return tf.math.divide_no_nan(total, tf.cast(tf.size(below), tf.float32))


def _threshold(scores: tf.Tensor, k: int, temperature: float) -> tf.Tensor:
    """The k-th best of each row, [n, movies] -> [n], with the gradient of the soft threshold."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def kth(values: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        best = tf.math.top_k(values, k)[0][:, -1]

        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            inside = tf.sigmoid((values - best[:, tf.newaxis]) / temperature)
            slopes = inside * (1.0 - inside)
            return slopes * (upstream / tf.reduce_sum(slopes, axis=1))[:, tf.newaxis]

        return best, gradient

    return kth(scores)


def _cells(history: History) -> tf.Tensor:
    """The places of the ratings in a [n, movies] matrix, int32 [c, L, 2]."""
    rows = tf.broadcast_to(history.chunks.row[:, tf.newaxis], tf.shape(history.movies))
    return tf.stack([rows, history.movies], axis=-1)


def _hidden(history: History) -> tf.Tensor:
    """User and movie of each hidden rating, int32 [h, 2]."""
    return tf.boolean_mask(_cells(history), (history.chunks.present > 0) & (history.visible == 0))


class InBatchRetrieval(tf.keras.layers.Layer, tfrs.tasks.Task):  # type: ignore[misc]
    """Cross-entropy of each hidden movie among the hidden movies of the whole batch.

    `tfrs.tasks.Retrieval`, with its scores corrected for how often each movie is drawn (Yi et al. 2019) and
    the same movie hidden twice removed from the negatives. For catalogues too large for a full softmax.
    """

    def __init__(self, pairs: int, **options: Any) -> None:
        """Args: `pairs`: at most so many hidden movies of a batch are used, to bound the score matrix."""
        super().__init__(**options)
        self._pairs = pairs
        # In a function of its own, since TFRS needs AutoGraph and the training step does without.
        self._task = tf.function(tfrs.tasks.Retrieval(remove_accidental_hits=True))

    def call(self, candidates: Candidates, queries: tf.Tensor, history: History) -> tf.Tensor:
        """The loss per hidden movie, float32 []; 0 if none is hidden. `queries`: [n, dimension]."""
        hidden = _hidden(history)
        # Evenly spaced over the batch, so that every user keeps a share.
        stride = tf.maximum(1, -(-tf.shape(hidden)[0] // self._pairs))
        users, movies = hidden[::stride, 0], hidden[::stride, 1]
        pairs = tf.cast(tf.size(movies), tf.float32)
        # TFRS cannot take an empty batch.
        return tf.cond(
            pairs > 0,
            lambda: self._mean_loss(candidates, tf.gather(queries, users), movies, pairs),
            lambda: 0.0,
        )

    def _mean_loss(
        self, candidates: Candidates, queries: tf.Tensor, movies: tf.Tensor, pairs: tf.Tensor
    ) -> tf.Tensor:
        popularity = tf.exp(candidates.popularity)
        bias = tf.gather(candidates.biases, movies)
        # The bias goes in as one more dimension, whose query is 1.
        with_bias = tf.concat([tf.gather(candidates.vectors, movies), bias[:, tf.newaxis]], axis=1)
        total = self._task(
            tf.pad(queries, [[0, 0], [0, 1]], constant_values=1.0),
            with_bias,
            candidate_sampling_probability=tf.gather(popularity / tf.reduce_sum(popularity), movies),
            candidate_ids=movies,
            compute_metrics=False,
        )
        return total / pairs


def retrieval_task(settings: Settings) -> tfrs.tasks.Task:
    """The loss that `settings` name."""
    if settings.retrieval_loss == IN_BATCH:
        return InBatchRetrieval(settings.in_batch_pairs)
    if settings.retrieval_loss == TOP_K:
        return TopKRetrieval(settings.top_k, settings.temperature)
    return FullSoftmaxRetrieval()


Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]

# Between the seeds of two replicas' draws: no seeds that people give lie so far apart. And between those of
# two pairs of towers.
_BETWEEN_REPLICAS = 1_000_003
_BETWEEN_MEMBERS = 15_485_863


class TwoTower(tfrs.Model):  # type: ignore[misc]
    """Learns to recommend and to rate by masked prediction.

    Each step hides a random part of every user's ratings. The query tower reads the rest and must find the
    hidden movies; the rating head reads the rest and must predict every rating, each without itself.

    Where ratings are few there are several pairs of query and candidate tower, the members. They start from
    the same vectors, and each hides other ratings; the rating head reads what the first one reads. Asked,
    they answer with the mean of their queries and the mean of their vectors. What each member has learned by
    chance is averaged out (Breiman 1996, bagging), and since they have a start in common, so do their
    vectors' directions: the means meet as the members do (Wortsman et al. 2022, model soups).
    """

    def __init__(self, catalogue: Catalogue, settings: Settings, vectors: Any, seed: int) -> None:
        """Args: `vectors`: where the movies' vectors start, float32 [rated movies, dimension]."""
        super().__init__()
        self._settings, self._seed = settings, seed
        self._ratings = float(catalogue.training_counts.sum())
        movies, dimension = vectors.shape
        width, dropout = settings.hidden, settings.dropout
        self.candidates = [CandidateTower(catalogue, vectors) for _ in range(settings.members)]
        self.queries = [QueryTower(movies, dimension, width, dropout) for _ in range(settings.members)]
        self.rating_head = RatingHead(movies, dimension, settings.rating_weights)
        self._retrieval = retrieval_task(settings)
        # Keras refuses to take a mean where there may be replicas, since it cannot know of what.
        errors = tf.keras.losses.MeanSquaredError(tf.keras.losses.Reduction.SUM)
        self._rating = tfrs.tasks.Ranking(loss=errors)
        self._retrieval_mean = tf.keras.metrics.Mean("retrieval_loss")
        self._rating_mean = tf.keras.metrics.Mean("rating_loss")
        # The towers' layers draw their weights at the first call: now, and not in a replica's thread, where
        # Keras draws without the seed.
        self.query(history([0], [0.0], [0, 1]))

    def compute_loss(self, inputs: Batch, training: bool = False) -> tf.Tensor:
        """The weighted sum of both losses and the regularisation, float32 []; of it a replica's part.

        Args:
          inputs: movies int32 [t], ratings float32 [t] (centred and scaled), row_splits int64 [n + 1].
        """
        settings, head = self._settings, self.rating_head
        part, movies = self._part(inputs[0])
        whole, tables = history(movies, *inputs[1:]), [tower.table(part) for tower in self.candidates]
        seeds = [self._step_seed() + _BETWEEN_MEMBERS * number for number in range(settings.members)]
        batches = [self._hide(whole, seed) for seed in seeds]
        dropped = [seed + 1 if training else None for seed in seeds]
        queries = [
            tower(batch, table.vectors, seed, part)
            for tower, table, batch, seed in zip(self.queries, tables, batches, dropped, strict=True)
        ]
        retrieval = mean(map(self._retrieval, tables, queries, batches))
        batch = batches[0]
        movies = head.table(Candidates.mean(tables).vectors, part).gather(batch.movies)
        known = head.read(batch, movies)
        labels = batch.chunks.collect(batch.ratings)
        squares = self._rating(
            labels=labels[:, tf.newaxis],
            predictions=batch.chunks.collect(head.predict(known, batch, movies))[:, tf.newaxis],
        )
        rating = squares / tf.cast(tf.size(labels), tf.float32)
        self._retrieval_mean.update_state(retrieval)
        self._rating_mean.update_state(rating)
        # The evidence lower bound's other terms, in units of squared error.
        rating += tf.reduce_mean(batch.chunks.collect(head.unsure(known, batch, movies)))
        divergence = settings.divergence_weight * head.divergence(part) / self._ratings
        rating += 2.0 * tf.stop_gradient(rating) * divergence
        loss = settings.retrieval_weight * retrieval + settings.rating_weight * rating
        return of_all_replicas(loss + self._regularisation(part))

    def _part(self, movies: tf.Tensor) -> tuple[Part, tf.Tensor]:
        """The movies that a step computes with, and the places of `movies` among them.

        Losses over the whole catalogue need all of them; the sampled softmax only those of the batch.
        """
        if self._settings.retrieval_loss != IN_BATCH:
            return ALL, movies
        counts = tf.exp(self.candidates[0].popularity)
        return part_of(movies, counts / tf.reduce_sum(counts))

    @property
    def tower_variables(self) -> list[tf.Variable]:
        """What the towers learn; the rest is the rating head's."""
        towers: list[tf.keras.layers.Layer] = [*self.candidates, *self.queries]
        return [variable for tower in towers for variable in tower.trainable_variables]

    def table(self, part: Part = ALL) -> Candidates:
        """What the candidate towers make of the movies on average."""
        return Candidates.mean([tower.table(part) for tower in self.candidates])

    def query(self, read: History) -> tf.Tensor:
        """What the query towers make of each user on average, float32 [n, dimension]."""
        pairs = zip(self.queries, self.candidates, strict=True)
        return mean(queries(read, candidates.table().vectors) for queries, candidates in pairs)

    def count(self, counts: Any) -> None:
        """Takes the movies' popularity from `counts`, int64 [movies], the ratings of each."""
        for tower in self.candidates:
            tower.count(counts)

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def scores(self, read: Batch) -> tf.Tensor:
        """Retrieval scores of every movie in the tables, float32 [n, movies]; `read` as in `compute_loss`."""
        return self.table().scores(self.query(history(*read)))

    @tf.function(reduce_retracing=True, autograph=False)  # type: ignore[untyped-decorator]
    def ratings(self, read: Batch, asked: Batch) -> tf.Tensor:
        """Predictions for the pairs `asked`, none of which is in `read`: float32 [t], centred and scaled."""
        part, movies = part_of(tf.concat([read[0], asked[0]], axis=0))
        of_read, of_asked = tf.split(movies, [tf.size(read[0]), tf.size(asked[0])])
        known, pairs = history(of_read, *read[1:]), history(of_asked, *asked[1:])
        pairs = pairs.with_visible(tf.zeros_like(pairs.visible))
        head = self.rating_head
        table = head.table(self.table(part).vectors, part)
        query = head.read(known, table.gather(known.movies))
        return pairs.chunks.collect(head.predict(query, pairs, table.gather(pairs.movies)))

    def _step_seed(self) -> tf.Tensor:
        """int32 [2]. Draws depend on seed, step and replica alone, so a resumed training repeats them."""
        seed = self._seed + _BETWEEN_REPLICAS * replica_number()
        return tf.stack([2 * tf.cast(self.optimizer.iterations, tf.int32), seed])

    def _hide(self, batch: History, seed: tf.Tensor) -> History:
        """Hides a random share of the ratings."""
        draw = tf.random.stateless_uniform(tf.shape(batch.movies), seed)
        return batch.with_visible(tf.cast(draw >= self._settings.masked, tf.float32))

    def _regularisation(self, part: Part) -> tf.Tensor:
        """Gaussian priors on the tables: a sum over movies, so it weighs less the more ratings there are."""
        settings = self._settings
        tables = [
            table
            for candidates, queries in zip(self.candidates, self.queries, strict=True)
            for table in (part.of(candidates.embeddings), part.of(queries.opinions))
        ]
        years = [tf.reduce_sum(tf.square(tower.year_embeddings)) for tower in self.candidates]
        squares = tf.add_n([part.sum(tf.square(table)) for table in tables] + years) / settings.members
        return settings.retrieval_weight * settings.retrieval_l2 * squares / self._ratings

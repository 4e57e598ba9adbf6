"""The model: two towers, a rating head on what the towers know, and the sum of both losses."""

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.train.catalogue import Catalogue
from components.train.history import History, history
from components.train.losses import retrieval_task
from components.train.part import ALL, Part, part_of
from components.train.rating_head import RatingHead
from components.train.replicas import of_all_replicas, replica_number
from components.train.settings import IN_BATCH, Settings
from components.train.towers import Candidates, CandidateTower, QueryTower, mean

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

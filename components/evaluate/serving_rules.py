"""Measures rules of serving on the held-out rows, for a report: their cost in accuracy beside variety."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from components.display import figure, table
from components.evaluate.diversity import Diversity
from components.evaluate.held_out import HeldOut
from components.evaluate.ranking import LENGTH
from components.metrics import ACCURACY_UNSEEN, TOP_100_UNSEEN, at_k, label
from components.progress import Progress
from components.vocabulary.attributes import Attributes
from components.vocabulary.conditions import NO_RULES, Rules
from components.vocabulary.interactions import UserRatings, chunks

if TYPE_CHECKING:
    from rich.table import Table

    from components.train.scoring import ScoringModel

Array = npt.NDArray[Any]

# Variety is chosen from so many movies at least, as the index does.
_POOL = 100
_USERS_AT_ONCE = 256


@dataclass(frozen=True)
class RulesReport:
    """Metrics of lists with and without rules, of a sample of users with held-out rows."""

    users: int
    rows: int  # the held-out rows of these users
    movies: int  # of the catalogue
    left: int  # those that the filter leaves
    rows_left: int  # the rows of these
    without: dict[str, float]  # metric -> value
    ruled: dict[str, float]  # the same with the rules


def rules_table(report: RulesReport) -> "Table":
    """Returns the metrics with and without rules of serving."""
    heading = (
        f"Rules of serving, in lists of {report.users:,} users: {report.left:,} of {report.movies:,} movies "
        f"are left, and {report.rows_left:,} of {report.rows:,} held-out rows are of these"
    )
    columns = ("without", "with rules")
    rows = [
        (label(name), *(figure(values.get(name)) for values in (report.without, report.ruled)))
        for name in report.without
    ]
    return table(heading, ("metric", *columns), rows, numbers=columns)


class _Ranker:
    """Finds the best unseen movies of users by the functions of which an index is made."""

    def __init__(
        self, scoring: "ScoringModel", held_out: HeldOut, attributes: Attributes, rules: Rules
    ) -> None:
        import tensorflow as tf

        from components.export.attributes import AttributeTable
        from components.export.manifest import LOWEST_SCORE
        from components.export.reranking import reorder, score_covariance, standard_popularity
        from components.export.top_k import BiasedBruteForce

        self._scoring, self._rules = scoring, rules
        row_of = {str(movie): row for row, movie in enumerate(scoring.movie_ids)}
        self._rows = np.array([row_of.get(str(movie), -1) for movie in held_out.movie_ids], np.int32)
        known = self._rows >= 0
        self._vectors = np.where(known[:, np.newaxis], scoring.vectors[self._rows], np.float32(0))
        biases = np.where(known, scoring.biases[self._rows], np.float32(LOWEST_SCORE))
        counts = np.bincount(held_out.known.movies, minlength=len(known))
        lengths = np.maximum(np.linalg.norm(self._vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        self._unit_vectors = tf.constant(self._vectors / lengths)
        self._covariance = tf.constant(score_covariance(self._vectors, biases, counts * known))
        self._reorder = tf.function(reorder, reduce_retracing=True, autograph=False)
        self._search = BiasedBruteForce().index_with_bias(self._vectors, biases)
        table = AttributeTable(attributes)
        self.allowed: Array = table.fulfilled(tf.constant(list(rules.where), tf.string)).numpy()
        boosted = table.boosted(tf.constant(list(rules.boost), tf.string))
        self._units = boosted - rules.popularity_discount * standard_popularity(counts)

    def best(self, user_ids: Array, history: UserRatings, k: int) -> Array:
        """The k best movies of n users, int32 [n, k], -1 for none."""
        import tensorflow as tf

        from components.export.manifest import LOWEST_SCORE
        from components.export.reranking import Shift, score_spread

        read = replace(history, movies=self._rows[history.movies])
        queries = tf.constant(self._scoring.query(user_ids, read))
        shift = Shift(score_spread(queries, self._covariance), self._units)
        excluded = tf.constant(history.owners, tf.int64), tf.constant(history.movies, tf.int32)
        pool = tf.constant(self._rules.pool(k, _POOL) if self._rules.diversity else k)
        scores, movies = self._search.best(queries, pool, *excluded, self.allowed, shift)
        vectors = tf.gather(self._unit_vectors, tf.minimum(movies, len(self._rows) - 1))
        count = tf.minimum(k, tf.shape(scores)[1])
        diversity = tf.constant(self._rules.diversity, tf.float32)
        positions = self._reorder(scores, scores > LOWEST_SCORE, vectors, diversity, count)
        found: Array = tf.gather(movies, positions, batch_dims=1).numpy()
        return np.where(found < len(self._rows), found, -1)


def measure_rules(
    scoring: "ScoringModel", held_out: HeldOut, attributes: Attributes, rules: Rules
) -> RulesReport:
    """Compares the lists of a model with and without `rules`, for the users whose lists are measured.

    `attributes` are those of the catalogue of `held_out`.
    """
    users = held_out.users[held_out.listed]
    pairs, history = held_out.pairs.select(held_out.listed), held_out.known.select(users)
    movies = len(held_out.movie_ids)
    diversity = Diversity(held_out.known, movies)
    lengths = {ACCURACY_UNSEEN.format(LENGTH): LENGTH, at_k(TOP_100_UNSEEN, held_out.k): held_out.k}
    measured = []
    with Progress("rules of serving", total=2 * len(users), unit="users") as progress:
        for given in (NO_RULES, rules):
            ranker = _Ranker(scoring, held_out, attributes, given)
            lists: dict[int, list[Array]] = {k: [] for k in {LENGTH, *lengths.values()}}
            for part in chunks(len(users), _USERS_AT_ONCE):
                for k, of_length in lists.items():
                    of_length.append(ranker.best(held_out.user_ids[held_out.listed][part], history[part], k))
                progress.advance(len(users[part]))
            whole = {k: np.concatenate(of_length) for k, of_length in lists.items()}
            accuracy = {name: float(np.mean(_hits(pairs, whole[k], movies))) for name, k in lengths.items()}
            measured.append(accuracy | diversity.measure(whole[LENGTH])[0])
    return RulesReport(
        users=len(users),
        rows=len(pairs.movies),
        movies=movies,
        left=int(np.count_nonzero(ranker.allowed)),
        rows_left=int(np.count_nonzero(ranker.allowed[pairs.movies])),
        without=measured[0],
        ruled=measured[1],
    )


def _hits(pairs: UserRatings, lists: Array, movies: int) -> Array:
    """Marks the pairs whose movie is in the list of their user, bool [p]."""
    owners = np.broadcast_to(np.arange(len(lists))[:, np.newaxis], lists.shape)
    listed = owners[lists >= 0].astype(np.int64) * movies + lists[lists >= 0]
    hits: Array = np.isin(pairs.owners.astype(np.int64) * movies + pairs.movies, listed)
    return hits

"""Speed of ranking, beside the notebook's way.

    python benchmarks/evaluation.py

Times exact top-k accuracy per test row, on generated arrays of 143,458 users, 17,770 movies (1,350 rated) and
17.3M ratings, once as `evaluate` does it and once as the notebook did: `tfrs.metrics.FactorizedTopK`, one row
of scores for each test row. In `ours` the movies that nobody rated share one vector; `distinct` is a model in
which none do. Other processes disturb processor time less than time, so both are shown. What the steps
`evaluate` and `report` take as a whole is in benchmarks/pipeline.py.
"""

import os
import time
from typing import NamedTuple

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.evaluate.held_out import HeldOut
from components.evaluate.scoring import ModelScorer, score
from components.ingest.dataset import SplitSettings
from components.ingest.settings import STARS
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary

USERS, MOVIES, RATED, RATINGS, DIMENSION = 143_458, 17_770, 1_350, 17_337_458, 64
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
# The notebook's way costs milliseconds a row, so it is timed on fewer rows.
NOTEBOOK_ROWS = 20_000


class FactorModel:
    """Random factors, with the methods of a ScoringModel: what its own arithmetic costs is not measured."""

    def __init__(self, seed: int, distinct: bool = False) -> None:
        random = np.random.default_rng(seed)
        self.movie_ids = np.array([str(movie) for movie in range(MOVIES)], object)
        self.vectors = random.normal(size=(MOVIES, DIMENSION)).astype(np.float32)
        self.biases = random.normal(size=MOVIES).astype(np.float32)
        if not distinct:
            self.vectors[RATED:], self.biases[RATED:] = 0, -10
        self._queries = random.normal(size=(4096, DIMENSION)).astype(np.float32)

    def query(self, user_ids, history):
        return self._queries[np.arange(len(user_ids)) % len(self._queries)]

    def rate(self, user_ids, history, pair_row, pair_movie):
        return np.full(len(pair_row), 3.5, np.float32)


def ratings(seed: int = 0) -> dict[str, UserRatings]:
    """Ratings with long-tailed activity and popularity, split at random."""
    random = np.random.default_rng(seed)
    activity = random.lognormal(0, 1, USERS)
    popularity = np.arange(1, RATED + 1) ** -0.6
    draws = int(RATINGS * 1.25)  # some are drawn twice, and kept once
    users = random.choice(USERS, draws, p=activity / activity.sum())
    movies = random.choice(RATED, draws, p=popularity / popularity.sum())
    keys = random.permutation(np.unique(users.astype(np.int64) * MOVIES + movies))[:RATINGS]
    keys.sort()
    side = random.choice(3, len(keys), p=list(SHARES.values()))
    splits = {}
    for number, name in enumerate(SHARES):
        users, movies = np.divmod(keys[side == number], MOVIES)
        splits[name] = UserRatings.group(users, movies, random.integers(1, 6, len(movies)), USERS)
    return splits


def data() -> tuple[Interactions, Vocabulary]:
    split = SplitSettings(kind="random", seed=42, validation_fraction=0.1, test_fraction=0.1)
    interactions = Interactions(USERS, USERS, MOVIES, (1.0, 5.0), 3.0, split, "benchmark", STARS, ratings())
    vocabulary = Vocabulary(
        user_ids=np.array([str(user) for user in range(USERS)], object),
        movie_ids=np.array([str(movie) for movie in range(MOVIES)], object),
        titles=np.array([f"Movie {movie}" for movie in range(MOVIES)], object),
        years=np.full(MOVIES, 2000, np.int32),
        training_users=USERS,
    )
    return interactions, vocabulary


def ranking(held_out: HeldOut) -> None:
    """Test rows in a second, ours and the notebook's, by the clock and by processor time."""
    started = Spent.now()
    _notebook(FactorModel(0, distinct=True), held_out)
    theirs = Spent.now() - started
    print(f"notebook  {theirs.rates(NOTEBOOK_ROWS)} (FactorizedTopK; seen movies are not left out)")
    for name, distinct in (("ours", False), ("distinct", True)):
        scorer = ModelScorer(FactorModel(0, distinct), held_out.movie_ids)  # type: ignore[arg-type]
        started = Spent.now()
        score(scorer, held_out, name)
        ours = Spent.now() - started
        rows = len(held_out.pairs.movies)
        print(f"{name:9} {ours.rates(rows)} (both forms of top-k accuracy, exact)")
        wall = theirs.seconds / NOTEBOOK_ROWS / (ours.seconds / rows)
        busy = theirs.processor / NOTEBOOK_ROWS / (ours.processor / rows)
        print(f"ratio     {wall:,.0f} by the clock, {busy:,.0f} by processor time")


class Spent(NamedTuple):
    """Seconds by the clock, and of all processors."""

    seconds: float
    processor: float

    @classmethod
    def now(cls) -> "Spent":
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.seconds - other.seconds, self.processor - other.processor)

    def rates(self, rows: int) -> str:
        return f"{rows / self.seconds:12,.0f} test rows/s, {rows / self.processor:12,.0f} a processor second"


def _notebook(model: FactorModel, held_out: HeldOut) -> None:
    candidates = tf.data.Dataset.from_tensor_slices(model.vectors).batch(128)
    metric = tfrs.metrics.FactorizedTopK(candidates=candidates)
    queries = model.query(held_out.user_ids, None)[held_out.user_of_pair[:NOTEBOOK_ROWS] % 4096]
    for start in range(0, NOTEBOOK_ROWS, 4096):
        batch = slice(start, min(start + 4096, NOTEBOOK_ROWS))
        metric.update_state(queries[batch], model.vectors[held_out.pairs.movies[batch]])


def main() -> None:
    ranking(HeldOut.test_of(*data()))


if __name__ == "__main__":
    main()

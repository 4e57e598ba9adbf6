"""How fast evaluation is: ranking beside the notebook's way, and `evaluate` and `report` at Netflix shape.

    python benchmarks/evaluation.py [ranking] [whole]

Both on generated arrays. `ranking` times exact top-k accuracy per test row, once as `evaluate` does it and
once as the notebook did: `tfrs.metrics.FactorizedTopK`, one row of scores for each test row. As in any model
trained here, the movies that nobody rated share one vector; `distinct` is a model in which none do. Other
processes disturb processor time less than time, so both are shown. `whole` writes
a data set of 143,458 users, 17,770 movies (1,350 rated) and 17.3M ratings, a model and a champion, runs the
two steps, and prints the time, processor time and peak memory of each.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_recommenders as tfrs

from components.documents import plain
from components.evaluate.held_out import HeldOut
from components.evaluate.scoring import ModelScorer, score
from components.ingest.dataset import SplitSettings
from components.report.templates import steps_of
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.interactions import Interactions, UserRatings, part_file
from components.vocabulary.vocabulary import Vocabulary

USERS, MOVIES, RATED, RATINGS, DIMENSION = 143_458, 17_770, 1_350, 17_337_458, 64
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}
# The notebook's way costs milliseconds a row, so it is timed on fewer rows.
NOTEBOOK_ROWS = 20_000
# Validations of a long training.
LOGGED = 200

HISTORY = [
    tf.TensorSpec([None], tf.string, "user_id"),
    tf.TensorSpec([None], tf.int32, "history_movie"),
    tf.TensorSpec([None], tf.float32, "history_rating"),
    tf.TensorSpec([None], tf.int64, "history_row_splits"),
]
PAIRS = [tf.TensorSpec([None], tf.int32, "pair_row"), tf.TensorSpec([None], tf.int32, "pair_movie")]


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


def data() -> tuple[Interactions, Vocabulary, dict[str, UserRatings]]:
    splits = ratings()
    split = SplitSettings(kind="random", seed=42, validation_fraction=0.1, test_fraction=0.1)
    interactions = Interactions(USERS, USERS, MOVIES, (1.0, 5.0), 3.0, split, "benchmark", splits)
    vocabulary = Vocabulary(
        user_ids=np.array([str(user) for user in range(USERS)], object),
        movie_ids=np.array([str(movie) for movie in range(MOVIES)], object),
        titles=np.array([f"Movie {movie}" for movie in range(MOVIES)], object),
        years=np.full(MOVIES, 2000, np.int32),
        training_users=USERS,
    )
    return interactions, vocabulary, splits


def ranking(held_out: HeldOut) -> None:
    """Test rows in a second, ours and the notebook's, by the clock and by processor time."""
    started = Spent.now()
    _notebook(FactorModel(0, distinct=True), held_out)
    theirs = Spent.now() - started
    print(f"notebook  {theirs.rates(NOTEBOOK_ROWS)} (FactorizedTopK; seen movies are not left out)")
    for name, distinct in (("ours", False), ("distinct", True)):
        scorer = ModelScorer(FactorModel(0, distinct), held_out.movie_ids)
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


class HistoryModel(tf.Module):
    """A scoring model with the cost of a real one: query = the mean of the known movies' vectors."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        factors = FactorModel(seed)
        self._ids = tf.Variable([str(movie) for movie in range(MOVIES)], trainable=False)
        self._vectors = tf.Variable(factors.vectors)
        self._biases = tf.Variable(factors.biases)

    @tf.function(input_signature=HISTORY)
    def query(self, user_id, history_movie, history_rating, history_row_splits):
        rows = tf.ragged.row_splits_to_segment_ids(history_row_splits)
        vectors = tf.gather(self._vectors, history_movie)
        return {"query": tf.math.unsorted_segment_mean(vectors, rows, tf.size(user_id))}

    @tf.function(input_signature=[])
    def candidates(self):
        return {
            "movie_id": self._ids.read_value(),
            "vector": self._vectors.read_value(),
            "bias": self._biases.read_value(),
        }

    @tf.function(input_signature=[*HISTORY, *PAIRS])
    def rate(self, user_id, history_movie, history_rating, history_row_splits, pair_row, pair_movie):
        rows = tf.ragged.row_splits_to_segment_ids(history_row_splits)
        queries = tf.math.unsorted_segment_mean(
            tf.gather(self._vectors, history_movie), rows, tf.size(user_id)
        )
        dots = tf.reduce_sum(tf.gather(queries, pair_row) * tf.gather(self._vectors, pair_movie), axis=1)
        return {"rating": 3.0 + tf.clip_by_value(dots, -1.0, 1.0)}


def whole(interactions: Interactions, vocabulary: Vocabulary, splits: dict[str, UserRatings]) -> None:
    """Seconds and peak memory of the steps, each in a process of its own, with a champion."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        _write_data(root, vocabulary, splits, plain(interactions.split_settings))
        known, scale = interactions.known(), interactions.rating_scale
        summary = DataSummary.of(known, vocabulary.user_ids, vocabulary.movie_ids, scale)
        facts = {"preset": "benchmark", "settings": {}, "split": plain(interactions.split_settings)}
        for name, seed in (("model", 1), ("champion", 2)):
            model = HistoryModel(seed)
            signatures = {
                signature: getattr(model, signature) for signature in ("query", "candidates", "rate")
            }
            tf.saved_model.save(model, str(root / name / "saved_model"), signatures=signatures)
            (root / name / "model.json").write_text(json.dumps(facts))
            summary.save(root / name)
        _write_dataset(root / "dataset", known, plain(interactions.split_settings))
        (root / "model" / "training_log.jsonl").write_text("".join(map(_validation, range(LOGGED))))
        _step(root, "evaluate", "evaluation", "model", "champion", "interactions", "vocabulary")
        _step(root, "report", "report.html", "evaluation", "model", "dataset")
        page = root / "report.html"
        for record in steps_of(page.read_text("utf-8")):
            print(f"{record['step']:9} {record['peak_memory_bytes'] / 2**30:.2f} GB at peak")
        print(f"page      {page.stat().st_size / 1e3:,.0f} kB")


def _step(root: Path, name: str, output: str, *inputs: str) -> None:
    command = [sys.executable, "-m", "pipelines.cli", name, "--output", str(root / output)]
    for flag in inputs:
        command += [f"--{flag}", str(root / flag)]
    started = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{name} failed")
    print(f"{name:9} {seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor")


def _write_data(root: Path, vocabulary: Vocabulary, splits: dict[str, UserRatings], split: dict) -> None:
    words, numbers = root / "vocabulary", root / "interactions"
    words.mkdir()
    numbers.mkdir()
    pq.write_table(pa.table({"user_id": pa.array(vocabulary.user_ids, pa.string())}), words / "users.parquet")
    movies = {"movie_id": vocabulary.movie_ids, "title": vocabulary.titles, "year": vocabulary.years}
    pq.write_table(pa.table(movies), words / "movies.parquet")
    counts = {"format": 1, "training_users": USERS, "users": USERS, "movies": MOVIES}
    (words / "vocabulary.json").write_text(json.dumps(counts))
    for name, of_split in splits.items():
        for part in ("offsets", "movies", "ratings"):
            np.save(numbers / part_file(name, part), getattr(of_split, part))
    sizes = {name: len(of_split.movies) for name, of_split in splits.items()}
    facts = {"rating_scale": [1, 5], "rating_mean": 3.0, "split": split, "fingerprint": "benchmark"}
    (numbers / "interactions.json").write_text(json.dumps({**counts, "splits": sizes, **facts}))


def _write_dataset(root: Path, known: UserRatings, split: dict) -> None:
    """A RatingsDataset as far as the report reads it, with the figures that ingest would find."""
    root.mkdir()
    for name in (*SHARES, "movies"):
        pq.write_table(pa.table({"movie_id": ["0"]}), root / f"{name}.parquet")
    (root / "rejects.csv").write_text("file,line,reason,text\n" + "ratings.csv,2,unknown movie,x\n" * 1000)
    rows, stars = len(known.movies), np.bincount(known.ratings.astype(np.int64))
    statistics = {
        "format": 1,
        "rows_read": rows + 1000,
        "rows_kept": rows,
        "rows_rejected": 1000,
        "rejected_by_reason": {"unknown movie": 1000},
        "duplicates": 0,
        "rows_left_out": 0,
        "users": USERS,
        "movies": MOVIES,
        "movie_table": {},
        "movies_rated": RATED,
        "share_of_movies_rated": RATED / MOVIES,
        "density": rows / (USERS * RATED),
        "rating_scale": [1.0, 5.0],
        "rating_mean": float(known.ratings.mean()),
        "rating_histogram": {str(level): int(count) for level, count in enumerate(stars) if count},
        "ratings_per_user": _quantiles(known.counts),
        "ratings_per_movie": _quantiles(np.bincount(known.movies)),
        "time_span": None,
        "splits": {name: int(rows * share) for name, share in SHARES.items()},
        "split": split,
        "fingerprint": "benchmark",
        "seconds": 0.0,
    }
    (root / "statistics.json").write_text(json.dumps(statistics))


def _quantiles(counts: np.ndarray) -> dict[str, int]:
    places = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    values = np.quantile(counts[counts > 0], places, method="lower")
    return {f"{place:g}": int(value) for place, value in zip(places, values, strict=True)}


def _validation(place: int) -> str:
    """A line of a training log."""
    falling = 1 / (1 + place)
    entry = {
        "step": 1000 * place,
        "seconds": 10.0 * place,
        "retrieval_loss": 4 + falling,
        "rating_loss": 0.8 + falling,
        "validation_rmse": 0.9 + falling,
        "validation_top_100_accuracy_unseen": 0.5 - 0.4 * falling,
    }
    return json.dumps(entry) + "\n"


def main() -> None:
    wanted = sys.argv[1:] or ["ranking", "whole"]
    interactions, vocabulary, splits = data()
    if "ranking" in wanted:
        ranking(HeldOut.test_of(interactions, vocabulary))
    if "whole" in wanted:
        whole(interactions, vocabulary, splits)


if __name__ == "__main__":
    main()

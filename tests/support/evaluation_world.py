"""A world whose tastes are known, and models that are tables: what evaluate and report are tested on."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

SCALE = (1.0, 5.0)
SPLIT = {"kind": "random", "seed": 42, "validation_fraction": 0.1, "test_fraction": 0.2}

_HISTORY = [
    tf.TensorSpec([None], tf.string, "user_id"),
    tf.TensorSpec([None], tf.int32, "history_movie"),
    tf.TensorSpec([None], tf.float32, "history_rating"),
    tf.TensorSpec([None], tf.int64, "history_row_splits"),
]
_PAIRS = [tf.TensorSpec([None], tf.int32, "pair_row"), tf.TensorSpec([None], tf.int32, "pair_movie")]


class TableModel(tf.Module):
    """Answers from a table: a user's row of scores is the query, candidate vectors are unit vectors."""

    def __init__(self, user_ids, movie_ids, scores, stars):
        super().__init__()
        rows = tf.range(len(user_ids), dtype=tf.int32)
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(list(user_ids), tf.string), rows)
        self._rows = tf.lookup.StaticHashTable(initializer, default_value=len(user_ids))
        self._movie_ids = tf.Variable(list(movie_ids), trainable=False)
        # A row more for an unknown user, a column more for an unknown movie.
        self._scores = tf.Variable(np.pad(scores, ((0, 1), (0, 0))).astype(np.float32))
        self._stars = tf.Variable(np.pad(stars, ((0, 1), (0, 1)), constant_values=3.0).astype(np.float32))
        self._movies = len(movie_ids)

    @tf.function(input_signature=_HISTORY)
    def query(self, user_id, history_movie, history_rating, history_row_splits):
        return {"query": tf.gather(self._scores, self._rows.lookup(user_id))}

    @tf.function(input_signature=[])
    def candidates(self):
        return {
            "movie_id": self._movie_ids.read_value(),
            "vector": tf.eye(self._movies),
            "bias": tf.zeros([self._movies]),
        }

    @tf.function(input_signature=[*_HISTORY, *_PAIRS])
    def rate(self, user_id, history_movie, history_rating, history_row_splits, pair_row, pair_movie):
        users = tf.gather(self._rows.lookup(user_id), pair_row)
        known = (pair_movie >= 0) & (pair_movie < self._movies)
        movies = tf.where(known, pair_movie, self._movies)
        return {"rating": tf.gather_nd(self._stars, tf.stack([users, movies], axis=1))}


def write_model(directory, user_ids, movie_ids, scores, stars, split=SPLIT):
    """Writes a Model directory around tables `scores` and `stars`, [users, movies]."""
    directory = Path(directory)
    model = TableModel(user_ids, movie_ids, scores, stars)
    signatures = {name: getattr(model, name) for name in ("query", "candidates", "rate")}
    tf.saved_model.save(model, str(directory / "saved_model"), signatures=signatures)
    _write_json(
        directory / "model.json",
        format=1,
        preset="table",
        settings={"dimension": len(movie_ids), "learning_rate": 0.01},
        split=split,
        fingerprint="world",
        rating_scale=SCALE,
        movies=len(movie_ids),
        training_users=len(user_ids),
        steps=300,
        seconds=12.5,
    )
    log = [
        {
            "step": 100 * i,
            "seconds": 4.0 * i,
            "retrieval_loss": 4.0 / i,
            "rating_loss": 1.0 / i,
            "validation_rmse": 0.9 + 0.1 / i,
            "validation_top_100_accuracy_unseen": 0.5 - 0.1 / i,
        }
        for i in range(1, 4)
    ]
    (directory / "training_log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in log))
    return directory


@dataclasses.dataclass(frozen=True)
class EvaluationWorld:
    """Users and movies with known tastes.

    `scores` and `stars` are the truth, [users, movies]; `users`, `movies`, `ratings`, `splits` are the rows.
    """

    user_ids: np.ndarray
    movie_ids: np.ndarray
    titles: list
    scores: np.ndarray
    stars: np.ndarray
    users: np.ndarray
    movies: np.ndarray
    ratings: np.ndarray
    splits: np.ndarray
    split: dict = dataclasses.field(default_factory=lambda: dict(SPLIT))

    def rows(self, name):
        """user, movie and stars of one split."""
        chosen = self.splits == name
        return self.users[chosen], self.movies[chosen], self.ratings[chosen]

    def write_model(self, directory, scores=None, stars=None, movies=None, split=SPLIT):
        """A Model that knows the truth, or what it is given instead; `movies` limits its catalogue."""
        movies = np.arange(len(self.movie_ids)) if movies is None else movies
        scores = self.scores if scores is None else scores
        stars = self.stars if stars is None else stars
        ids = self.movie_ids[movies]
        return write_model(directory, self.user_ids, ids, scores[:, movies], stars[:, movies], split)

    def write_data(self, directory):
        """Writes `vocabulary` and `interactions` below `directory`, and returns it."""
        directory = Path(directory)
        vocabulary, interactions = directory / "vocabulary", directory / "interactions"
        vocabulary.mkdir(parents=True)
        interactions.mkdir()
        users, movies = len(self.user_ids), len(self.movie_ids)
        pq.write_table(
            pa.table({"user_id": pa.array(self.user_ids, pa.string())}), vocabulary / "users.parquet"
        )
        table = {
            "movie_id": pa.array(self.movie_ids, pa.string()),
            "title": self.titles,
            "year": pa.array([1950 + row if row % 5 else None for row in range(movies)], pa.int32()),
        }
        pq.write_table(pa.table(table), vocabulary / "movies.parquet")
        counts = {"training_users": users, "users": users, "movies": movies}
        _write_json(vocabulary / "vocabulary.json", format=1, **counts)
        sizes = {}
        for name in ("train", "validation", "test"):
            of_split = self.rows(name)
            order = np.lexsort((of_split[1], of_split[0]))
            owners, items, stars = (column[order] for column in of_split)
            counted = np.bincount(owners, minlength=users)
            np.save(interactions / f"{name}.offsets.npy", np.append(0, np.cumsum(counted)).astype(np.int64))
            np.save(interactions / f"{name}.movies.npy", items.astype(np.int32))
            np.save(interactions / f"{name}.ratings.npy", stars.astype(np.float32))
            sizes[name] = len(owners)
        _write_json(
            interactions / "interactions.json",
            format=1,
            **counts,
            splits=sizes,
            rating_scale=SCALE,
            rating_mean=float(self.rows("train")[2].mean()),
            split=self.split,
            fingerprint="world",
        )
        return directory


def evaluation_world(seed=0, users=120, movies=150, ratings_per_user=30, shares=(0.7, 0.1, 0.2)):
    """Ratings drawn from latent tastes: whom a movie suits watches it, and rates it well.

    `shares` are the probabilities of train, validation and test.
    """
    random = np.random.default_rng(seed)
    tastes, kinds = random.normal(size=(users, 3)), random.normal(size=(movies, 3))
    suits = tastes @ kinds.T
    scores = 1.5 * suits + random.normal(size=movies)
    stars = np.clip(3.3 + 0.7 * suits + 0.3 * random.normal(size=(users, 1)), *SCALE)
    # The movies with the greatest perturbed scores are a draw without replacement (Gumbel).
    drawn = np.argsort(-(scores + random.gumbel(size=scores.shape)), axis=1)[:, :ratings_per_user]
    owners, items = np.repeat(np.arange(users), drawn.shape[1]), drawn.ravel()
    noisy = stars[owners, items] + random.normal(0, 0.3, len(owners))
    return EvaluationWorld(
        user_ids=np.array([f"user{row:04}" for row in range(users)], object),
        movie_ids=np.array([f"m{row}" for row in range(movies)], object),
        titles=[f"Movie {row}" for row in range(movies)],
        scores=scores.astype(np.float32),
        stars=stars.astype(np.float32),
        users=owners,
        movies=items,
        ratings=np.clip(np.round(noisy), *SCALE).astype(np.float32),
        splits=random.choice(["train", "validation", "test"], len(owners), p=shares),
    )


def _write_json(file, **content):
    file.write_text(json.dumps(content))

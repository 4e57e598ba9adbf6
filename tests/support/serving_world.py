"""A small world with a model so simple that numpy answers for it: what export and recommend are tested on."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

SCALE = (1.0, 5.0)
_MEAN = 3.0

_HISTORY = [
    tf.TensorSpec([None], tf.string, "user_id"),
    tf.TensorSpec([None], tf.int32, "history_movie"),
    tf.TensorSpec([None], tf.float32, "history_rating"),
    tf.TensorSpec([None], tf.int64, "history_row_splits"),
]
_PAIRS = [tf.TensorSpec([None], tf.int32, "pair_row"), tf.TensorSpec([None], tf.int32, "pair_movie")]


class SimpleModel(tf.Module):
    """Query = sum of the rated movies' vectors, each times its rating above the mean.

    Stars = mean + query . vector, the movie's own rating left out of the query, clipped to the scale.
    """

    def __init__(self, movie_ids, vectors, biases):
        super().__init__()
        self._movie_ids = tf.Variable(list(movie_ids), trainable=False)
        # The last vector is that of a movie nothing is known of.
        self._vectors = tf.Variable(np.vstack([vectors, np.zeros_like(vectors[:1])]))
        self._biases = tf.Variable(biases)

    @tf.function(input_signature=_HISTORY)
    def query(self, user_id, history_movie, history_rating, history_row_splits):
        rows = tf.ragged.row_splits_to_segment_ids(history_row_splits)
        weighted = self._vector(history_movie) * (history_rating - _MEAN)[:, tf.newaxis]
        return {"query": tf.math.unsorted_segment_sum(weighted, rows, tf.size(user_id))}

    @tf.function(input_signature=[])
    def candidates(self):
        vectors = self._vectors[:-1]
        return {
            "movie_id": self._movie_ids.read_value(),
            "vector": vectors,
            "bias": self._biases.read_value(),
        }

    @tf.function(input_signature=[*_HISTORY, *_PAIRS])
    def rate(self, user_id, history_movie, history_rating, history_row_splits, pair_row, pair_movie):
        rows = tf.cast(tf.ragged.row_splits_to_segment_ids(history_row_splits), tf.int32)
        read = tf.equal(rows[tf.newaxis, :], pair_row[:, tf.newaxis])
        read &= tf.not_equal(history_movie[tf.newaxis, :], pair_movie[:, tf.newaxis])
        weights = tf.where(read, history_rating - _MEAN, 0.0)
        dots = tf.matmul(self._vector(pair_movie), self._vector(history_movie), transpose_b=True)
        return {"rating": tf.clip_by_value(_MEAN + tf.reduce_sum(weights * dots, axis=1), *SCALE)}

    def _vector(self, movie):
        known = (movie >= 0) & (movie < self._vectors.shape[0] - 1)
        return tf.gather(self._vectors, tf.where(known, movie, self._vectors.shape[0] - 1))


@dataclass
class World:
    """Vectors and ratings: `known` and `held_out` map a user to {movie row: rating}."""

    movie_ids: list[str]
    titles: list[str]
    years: list[int]
    vectors: np.ndarray
    biases: np.ndarray
    known: dict[str, dict[int, float]]
    held_out: dict[str, dict[int, float]]

    @property
    def user_ids(self):
        """Those with known ratings first, as in a Vocabulary."""
        return sorted({**self.known, **self.held_out}, key=lambda user: (not self.known.get(user), user))

    def history(self, user, ratings):
        known = self.known.get(user, {})
        return {**known, **self.held_out.get(user, {})} if ratings == "all" else known

    def scores(self, history):
        """Score of each movie, float64 [M]."""
        query = sum(((stars - _MEAN) * self.vectors[movie] for movie, stars in history.items()), np.zeros(2))
        return self.vectors @ query + self.biases

    def best(self, history, k):
        """Rows of the k best movies that are not in `history`."""
        scores = self.scores(history)
        unseen = [movie for movie in range(len(scores)) if movie not in history]
        return sorted(unseen, key=lambda movie: -scores[movie])[:k]

    def stars(self, history, movie):
        others = {other: stars for other, stars in history.items() if other != movie}
        dot = sum(
            (stars - _MEAN) * self.vectors[movie] @ self.vectors[other] for other, stars in others.items()
        )
        return float(np.clip(_MEAN + dot, *SCALE))

    def write(self, directory: Path) -> Path:
        """Writes `model`, `vocabulary` and `interactions` below `directory`."""
        self._write_model(directory / "model")
        self._write_vocabulary(directory / "vocabulary")
        self._write_interactions(directory / "interactions")
        return directory

    def _write_model(self, directory):
        model = SimpleModel(self.movie_ids, self.vectors.astype(np.float32), self.biases.astype(np.float32))
        signatures = {name: getattr(model, name) for name in ("query", "candidates", "rate")}
        tf.saved_model.save(model, str(directory / "saved_model"), signatures=signatures)
        _write_json(
            directory / "model.json",
            format=1,
            preset="simple",
            settings={"dimension": 2},
            split={"kind": "random"},
            fingerprint="world",
            rating_scale=SCALE,
            movies=len(self.movie_ids),
            training_users=self._training_users,
            steps=0,
            seconds=0.0,
        )

    def _write_vocabulary(self, directory):
        directory.mkdir()
        pq.write_table(
            pa.table({"user_id": pa.array(self.user_ids, pa.string())}), directory / "users.parquet"
        )
        years = pa.array([year or None for year in self.years], pa.int32())
        movies = {"movie_id": self.movie_ids, "title": self.titles, "year": years}
        pq.write_table(pa.table(movies), directory / "movies.parquet")
        counts = {"training_users": self._training_users, "users": len(self.user_ids)}
        _write_json(directory / "vocabulary.json", format=1, **counts, movies=len(self.movie_ids))

    def _write_interactions(self, directory):
        directory.mkdir()
        splits = {"train": self.known, "validation": {}, "test": self.held_out}
        for name, ratings in splits.items():
            rows = [sorted(ratings.get(user, {}).items()) for user in self.user_ids]
            flat = [pair for row in rows for pair in row]
            np.save(directory / f"{name}.movies.npy", np.array([movie for movie, _ in flat], np.int32))
            np.save(directory / f"{name}.ratings.npy", np.array([stars for _, stars in flat], np.float32))
            np.save(
                directory / f"{name}.offsets.npy", np.cumsum([0] + [len(row) for row in rows], dtype=np.int64)
            )
        _write_json(
            directory / "interactions.json",
            format=1,
            training_users=self._training_users,
            users=len(self.user_ids),
            movies=len(self.movie_ids),
            splits={name: sum(map(len, ratings.values())) for name, ratings in splits.items()},
            rating_scale=SCALE,
            rating_mean=_MEAN,
            split={"kind": "random", "seed": 1, "validation_fraction": 0.0, "test_fraction": 0.1},
            fingerprint="world",
        )

    @property
    def _training_users(self):
        return sum(bool(self.known.get(user)) for user in self.user_ids)


def small_world(seed=0, users=12, movies=40):
    """A world in which user0 has only held-out ratings, and user1 has rated everything."""
    random = np.random.default_rng(seed)
    known, held_out = {}, {}
    for number in range(users):
        rows = random.permutation(movies)[: random.integers(2, movies // 2)]
        stars = random.integers(1, 6, len(rows)).astype(float)
        pairs = list(zip(rows.tolist(), stars.tolist(), strict=True))
        cut = 0 if number == 0 else len(pairs) - len(pairs) // 4
        known[f"user{number}"], held_out[f"user{number}"] = dict(pairs[:cut]), dict(pairs[cut:])
    known["user1"], held_out["user1"] = dict.fromkeys(range(movies), 4.0), {}
    return World(
        movie_ids=[f"m{row}" for row in range(movies)],
        titles=[f"Movie {row}" for row in range(movies)],
        years=[1950 + row if row % 5 else 0 for row in range(movies)],
        vectors=random.normal(size=(movies, 2)),
        biases=random.normal(size=movies),
        known=known,
        held_out=held_out,
    )


def _write_json(file, **content):
    file.write_text(json.dumps(content))

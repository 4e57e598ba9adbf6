"""Ratings few enough to train on in seconds, with a taste that is known."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.vocabulary.interactions import UserRatings

Split = dict[int, dict[int, float]]

# Settings of a training that takes seconds and learns the taste.
QUICK = {
    "learning_rate": 0.03,
    "masked": 0.2,
    "retrieval_l2": 10,
    "divergence_weight": 1,
    "steps": 60,
    "validations": 3,
    "warmup_steps": 10,
    "dimension": 16,
    "hidden": 32,
    "rating_weights": 6,
}


@dataclass
class World:
    """Ratings by split, user and movie, written as `twotower vocabulary` would."""

    splits: dict[str, Split]
    users: int
    movies: int
    scale: tuple[float, float] = (1.0, 5.0)

    def write(self, root: Path) -> "World":
        """Writes the directories `interactions` and `vocabulary` below `root`."""
        self.interactions, self.vocabulary = root / "interactions", root / "vocabulary"
        self.interactions.mkdir(parents=True)
        self.vocabulary.mkdir()
        for name, ratings in self.splits.items():
            rows = [sorted(ratings.get(user, {}).items()) for user in range(self.users)]
            flat = [pair for row in rows for pair in row]
            offsets = np.cumsum([0] + [len(row) for row in rows], dtype=np.int64)
            np.save(self.interactions / f"{name}.movies.npy", np.array([m for m, _ in flat], np.int32))
            np.save(self.interactions / f"{name}.ratings.npy", np.array([r for _, r in flat], np.float32))
            np.save(self.interactions / f"{name}.offsets.npy", offsets)
        counts = {"training_users": len(self.splits["train"]), "users": self.users, "movies": self.movies}
        stars = [r for row in self.splits["train"].values() for r in row.values()]
        summary = {
            "format": 1,
            **counts,
            "splits": {name: sum(map(len, rows.values())) for name, rows in self.splits.items()},
            "rating_scale": list(self.scale),
            "rating_mean": float(np.mean(stars)) if stars else 0.0,
            "split": {"kind": "random", "seed": 1},
            "fingerprint": "world",
        }
        (self.interactions / "interactions.json").write_text(json.dumps(summary))
        (self.vocabulary / "vocabulary.json").write_text(json.dumps({"format": 1, **counts}))
        ids = pa.array([f"u{user}" for user in range(self.users)], pa.string())
        pq.write_table(pa.table({"user_id": ids}), self.vocabulary / "users.parquet")
        movies = {
            "movie_id": [f"m{movie}" for movie in range(self.movies)],
            "title": [f"Movie {movie}" for movie in range(self.movies)],
            "year": pa.array([2000] * self.movies, pa.int32()),
        }
        pq.write_table(pa.table(movies), self.vocabulary / "movies.parquet")
        return self

    def history(self, users: list[int], split: str = "train") -> UserRatings:
        """The ratings of `users` in one split."""
        rows = [sorted(self.splits[split].get(user, {}).items()) for user in users]
        flat = [pair for row in rows for pair in row]
        return UserRatings(
            np.array([movie for movie, _ in flat], np.int32),
            np.array([stars for _, stars in flat], np.float32),
            np.cumsum([0] + [len(row) for row in rows], dtype=np.int64),
        )


def two_genres(users: int = 200, movies: int = 121, low: float = 1.0, high: float = 5.0) -> World:
    """Even users watch and like even movies, odd users odd ones; the last movie was never rated.

    Some of what a user rated is of the other genre, and was not liked.
    """
    random = np.random.default_rng(5)
    splits: dict[str, Split] = {"train": {}, "validation": {}, "test": {}}
    appeal = 1.0 / (1.0 + np.arange(movies - 1) // 2)
    for user in range(users):
        own = np.arange(movies - 1) % 2 == user % 2
        weights = np.where(own, 3.0, 1.0) * (appeal + 0.05)
        seen = random.choice(movies - 1, 24, replace=False, p=weights / weights.sum())
        good, bad = high - 0.2 * (high - low), low + 0.2 * (high - low)
        stars = {int(movie): good if movie % 2 == user % 2 else bad for movie in seen}
        for name, part in zip(splits, (seen[:18], seen[18:21], seen[21:]), strict=True):
            splits[name][user] = {int(movie): stars[int(movie)] for movie in part}
    return World(splits, users, movies, (low, high))

"""Ratings few enough to train on in seconds, with a taste that is known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from artifacts import ratings_by_user, write_interactions, write_vocabulary

from components.vocabulary.interactions import UserRatings

Split = dict[int, dict[int, float]]

# Settings of a training that takes seconds and learns the taste.
QUICK = {
    "learning_rate": 0.03,
    "mask_rate": 0.2,
    "retrieval_l2": 10,
    "kl_weight": 1,
    "steps": 60,
    "validations": 3,
    "warmup_steps": 10,
    "dimension": 16,
    "hidden_units": 32,
    "rating_weights": 6,
    "sweeps": 24,
    "ensemble_size": 1,
}


_SPLIT = {"kind": "random", "seed": 1, "validation_fraction": 0.1, "test_fraction": 0.1}


@dataclass
class World:
    """Ratings by split, user and movie, written as `twotower vocabulary` would."""

    splits: dict[str, Split]
    users: int
    movies: int
    scale: tuple[float, float] = (1.0, 5.0)
    genres: list[str] | None = None

    def write(self, root: Path) -> "World":
        """Writes the directories `interactions` and `vocabulary` below `root`."""
        self.interactions, self.vocabulary = root / "interactions", root / "vocabulary"
        splits = {
            name: ratings_by_user([rows.get(user, {}) for user in range(self.users)])
            for name, rows in self.splits.items()
        }
        training_users = len(self.splits["train"])
        write_interactions(self.interactions, splits, self.movies, training_users, _SPLIT, self.scale)
        write_vocabulary(
            self.vocabulary,
            user_ids=[f"u{user}" for user in range(self.users)],
            movie_ids=[f"m{movie}" for movie in range(self.movies)],
            titles=[f"Movie {movie}" for movie in range(self.movies)],
            years=[2000] * self.movies,
            training_users=training_users,
            genres=self.genres,
        )
        return self

    def history(self, users: list[int], split: str = "train") -> UserRatings:
        """The ratings of `users` in one split."""
        return ratings_by_user([self.splits[split].get(user, {}) for user in users])


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
    genres = [("Even", "Odd")[movie % 2] for movie in range(movies)]
    return World(splits, users, movies, (low, high), genres)

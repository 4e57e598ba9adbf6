"""A world whose preferences are known, and models that are tables: evaluate and report are tested on it."""

import dataclasses
from pathlib import Path

import numpy as np
from artifacts import SCALE, write_interactions, write_vocabulary
from artifacts import write_model as write_saved_model

from components.train.artifact import LogEntry, write_log
from components.vocabulary.interactions import UserRatings

SPLIT = {"kind": "random", "seed": 42, "validation_fraction": 0.1, "test_fraction": 0.2}


def write_model(directory, user_ids, movie_ids, scores, stars, split=SPLIT):
    """Writes a Model directory around tables `scores` and `stars`, [users, movies]."""
    from saved_models import TableModel

    directory = Path(directory)
    write_saved_model(
        directory,
        TableModel(user_ids, movie_ids, scores, stars),
        movies=len(movie_ids),
        training_users=len(user_ids),
        preset="table",
        settings={"dimension": len(movie_ids), "learning_rate": 0.01},
        split=split,
        steps=300,
        seconds=12.5,
    )
    log = [
        LogEntry(
            step=100 * i,
            seconds=4.0 * i,
            retrieval_loss=4.0 / i,
            rating_loss=1.0 / i,
            validation_rmse=0.9 + 0.1 / i,
            validation_top_100_accuracy_unseen=0.5 - 0.1 / i,
        )
        for i in range(1, 4)
    ]
    write_log(directory, log)
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
        users, movies = len(self.user_ids), len(self.movie_ids)
        years = [1950 + row if row % 5 else 0 for row in range(movies)]
        write_vocabulary(
            directory / "vocabulary", self.user_ids, self.movie_ids, self.titles, years, training_users=users
        )
        splits = {
            name: UserRatings.group(*self.rows(name), users) for name in ("train", "validation", "test")
        }
        write_interactions(directory / "interactions", splits, movies, training_users=users, split=self.split)
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

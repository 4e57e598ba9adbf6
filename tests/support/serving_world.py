"""A small world with a model so simple that numpy answers for it: export and recommend are tested on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from artifacts import SCALE, ratings_by_user, write_interactions, write_model, write_vocabulary

_MEAN = 3.0


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
    # What a movie table may say besides; without genres, the vocabulary is as version 0.1 wrote it.
    genres: list[str] | None = None
    attributes: dict[str, list[Any]] | None = None

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
        from saved_models import SimpleModel

        movies, training_users = (
            len(self.movie_ids),
            sum(bool(self.known.get(user)) for user in self.user_ids),
        )
        write_model(
            directory / "model",
            SimpleModel(self.movie_ids, self.vectors.astype(np.float32), self.biases.astype(np.float32)),
            movies=movies,
            training_users=training_users,
            preset="simple",
            settings={"dimension": 2},
            split={"kind": "random", "seed": 1, "validation_fraction": 0.0, "test_fraction": 0.1},
        )
        catalogue = (self.movie_ids, self.titles, self.years, training_users, self.genres, self.attributes)
        write_vocabulary(directory / "vocabulary", self.user_ids, *catalogue)
        splits = {"train": self.known, "validation": {}, "test": self.held_out}
        write_interactions(
            directory / "interactions",
            {
                name: ratings_by_user([rows.get(user, {}) for user in self.user_ids])
                for name, rows in splits.items()
            },
            movies,
            training_users,
            split={"kind": "random", "seed": 1, "validation_fraction": 0.0, "test_fraction": 0.1},
        )
        return directory

    def write_with_index(self, directory: Path) -> Path:
        """Writes `index` beside the others."""
        from components.export.step import export

        self.write(directory)
        inputs: Any = {name: str(directory / name) for name in ("model", "vocabulary", "interactions")}
        export(**inputs, output=str(directory / "index"))
        return directory


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

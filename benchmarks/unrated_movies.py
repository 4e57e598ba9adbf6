"""Recall of movies that nobody has rated, and the cost to the others.

    python benchmarks/unrated_movies.py INTERACTIONS VOCABULARY [--seeds 42 43 44] [--train-settings JSON]

Both are directories that `twotower vocabulary` wrote. For each seed two models with the default settings are
trained:

1. A tenth of the movies, drawn by the seed, loses all ratings. These are asked for: is the movie among
   the best 100 of all movies that the user has not rated, and the best 10 of those that lost their ratings?
   The movies are left in the catalogue, or added after training by their features. Beside it stand the
   popularity of movies of the same decade and genre (the mean number of ratings) and chance.
2. A tenth of the ratings, drawn by the seed, is asked for: the same accuracy with the unrated movies of the
   catalogue as candidates and without them, as before they were placed.

The test split is never read.
"""

import argparse
import dataclasses
import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.saved_models import SAVED_MODEL
from components.train.content import Descriptions
from components.train.presets import Job, fit_default
from components.train.scoring import ScoringModel, save
from components.train.settings import Settings, override
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary, load_encoded

Array = npt.NDArray[Any]
# (rows of users) -> scores float32 [n, M].
Scorer = Callable[[slice], Array]

TENTH, ALL, FEW = 0.1, 100, 10
_USERS = 256


class World(NamedTuple):
    """Ratings without those that are asked for."""

    left: Interactions
    known: UserRatings
    asked: UserRatings

    @classmethod
    def without(cls, interactions: Interactions, chosen: Callable[[UserRatings], Array]) -> "World":
        """Asks for the known ratings that `chosen` marks."""
        parts = {name: interactions.split(name) for name in ("train", "validation")}
        marks = {name: chosen(part) for name, part in parts.items()}
        left = {name: _only(part, ~marks[name]) for name, part in parts.items()}
        asked = UserRatings.join([_only(part, marks[name]) for name, part in parts.items()])
        splits = {**left, "test": interactions.split("test")}
        known = UserRatings.join(list(left.values()))
        return cls(dataclasses.replace(interactions, _splits=splits), known, asked)


def _only(ratings: UserRatings, rows: Array) -> UserRatings:
    return UserRatings.group(ratings.owners[rows], ratings.movies[rows], ratings.ratings[rows], ratings.users)


def trained(
    interactions: Interactions, vocabulary: Vocabulary, settings: Settings, seed: int
) -> ScoringModel:
    tf.keras.utils.set_random_seed(seed)
    fitted = fit_default(Job(interactions, vocabulary, seed, ""), settings)
    with tempfile.TemporaryDirectory() as directory:
        save(fitted.scoring(), Path(directory) / SAVED_MODEL)
        return ScoringModel.load(directory)


def recall(scorer: Scorer, world: World, candidates: Array, k: int) -> float:
    """Share of the asked ratings whose movie is among the k best `candidates`, bool [M]; a tie is no hit."""
    hits = 0
    for start in range(0, world.known.users, _USERS):
        users = slice(start, start + _USERS)
        seen, asked = world.known[users], world.asked[users]
        scores = np.where(candidates, scorer(users), -np.inf)
        scores[seen.owners, seen.movies] = -np.inf
        bounds = -np.partition(-scores, k, axis=1)[:, k]
        hits += int(np.count_nonzero(scores[asked.owners, asked.movies] > bounds[asked.owners]))
    return hits / len(world.asked.movies)


def by_model(model: ScoringModel, world: World, vectors: Array, biases: Array) -> Scorer:
    def scores(users: slice) -> Array:
        history = world.known[users]
        answer: Array = model.query([""] * history.users, history) @ vectors.T + biases
        return answer

    return scores


def popularity_alike(described: Descriptions, counts: Array) -> Array:
    """Counts of rated movies; for others the mean of those of the same decade with a genre in common."""
    cells = [
        [(int(year) // 10, genre) for genre in genres.split("|")]
        for year, genres in zip(described.years, described.genres, strict=True)
    ]
    found = defaultdict(list)
    for movie in np.flatnonzero(counts):
        for cell in cells[movie]:
            found[cell].append(counts[movie])
    means = {cell: float(np.mean(numbers)) for cell, numbers in found.items()}
    alike = [np.mean([means.get(cell, 0.0) for cell in of_movie]) for of_movie in cells]
    return np.where(counts > 0, counts, alike).astype(np.float32)


def held_out_movies(
    interactions: Interactions, vocabulary: Vocabulary, settings: Settings, seed: int
) -> dict[str, tuple[float, float]]:
    """Returns recall among all movies, and among those held out, by method."""
    gone = np.random.default_rng(seed).random(interactions.movies) < TENTH
    world = World.without(interactions, lambda part: gone[part.movies])
    model = trained(world.left, vocabulary, settings, seed)
    described = Descriptions.of(vocabulary)
    title, year, genres = described.select(np.flatnonzero(gone)).inputs()
    place = model.signature("candidate_from_features")
    placed = place(title=title, year=year, genres=genres)
    vectors, biases = model.vectors.copy(), model.biases.copy()
    vectors[gone], biases[gone] = placed["vector"], placed["bias"]
    popular = popularity_alike(described, np.bincount(world.known.movies, minlength=len(gone)))
    scorers = {
        "left in the catalogue": by_model(model, world, model.vectors, model.biases),
        "added after training": by_model(model, world, vectors, biases),
        "popularity of decade and genre": lambda users: np.tile(popular, (world.known[users].users, 1)),
    }
    found = {
        name: (recall(scorer, world, np.ones_like(gone), ALL), recall(scorer, world, gone, FEW))
        for name, scorer in scorers.items()
    }
    return {**found, "chance": (ALL / len(gone), FEW / np.count_nonzero(gone))}


def elsewhere(
    interactions: Interactions, vocabulary: Vocabulary, settings: Settings, seed: int
) -> dict[str, tuple[float]]:
    """Returns top-100 accuracy of a tenth of the ratings, with and without unrated movies as candidates."""
    random = np.random.default_rng(seed)
    world = World.without(interactions, lambda part: random.random(len(part.movies)) < TENTH)
    model = trained(world.left, vocabulary, settings, seed)
    scorer = by_model(model, world, model.vectors, model.biases)
    rated = np.bincount(world.known.movies, minlength=interactions.movies) > 0
    return {
        "unrated movies are candidates": (recall(scorer, world, np.ones_like(rated), ALL),),
        "they are not": (recall(scorer, world, rated, ALL),),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("interactions")
    parser.add_argument("vocabulary")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--train-settings", type=json.loads, default={}, metavar="JSON")
    arguments = parser.parse_args()
    interactions, vocabulary = load_encoded(arguments.interactions, arguments.vocabulary)
    settings: Any = override(Settings(), arguments.train_settings)
    tables: dict[Callable[..., Any], str] = {
        held_out_movies: "| movies without ratings | recall@100 of all | recall@10 of them |\n|---|---|---|",
        elsewhere: "| other ratings | top-100 unseen |\n|---|---|",
    }
    for measure, header in tables.items():
        runs = [measure(interactions, vocabulary, settings, seed) for seed in arguments.seeds]
        print(header)
        for name in runs[0]:
            columns = np.array([run[name] for run in runs]).T
            cells = [f"{values.mean():.4f} ± {values.std():.4f}" for values in columns]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()

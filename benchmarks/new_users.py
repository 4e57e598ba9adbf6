"""How well users are served who were not in training, from their history alone.

    python benchmarks/new_users.py INTERACTIONS VOCABULARY

Both are directories that `twotower vocabulary` wrote. A tenth of the users is held out wholly; the default
model is trained on the others. Of each new user 80% of the ratings are then the history, and the rest is
asked for. The baselines are fitted on the other users; EASE reads the same histories, and the biases are
fitted on them too. The test split is never read.
"""

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.evaluate.baselines import Bias, Ease, Popularity
from components.evaluate.held_out import HeldOut
from components.evaluate.scoring import ModelScorer, Scorer, score
from components.evaluate.user_sums import user_sums
from components.metrics import ACCURACY_UNSEEN, RMSE
from components.saved_models import SAVED_MODEL
from components.train.presets import Job, fit_default
from components.train.scoring import ScoringModel, save
from components.train.settings import Settings
from components.vocabulary.interactions import Interactions, UserRatings
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

NEW, READ = 0.1, 0.8


def only(ratings: UserRatings, rows: Array) -> UserRatings:
    """The ratings where `rows`, bool [ratings], is true."""
    return UserRatings.group(ratings.owners[rows], ratings.movies[rows], ratings.ratings[rows], ratings.users)


def without(interactions: Interactions, users: Array) -> Interactions:
    """What is left when the users that `users`, bool [users], marks were never there."""
    parts = {name: interactions.split(name) for name in ("train", "validation", "test")}
    left = {name: part.only(~users) for name, part in parts.items()}
    return dataclasses.replace(interactions, _splits=left)


def trained(interactions: Interactions, vocabulary: Vocabulary, seed: int) -> ScoringModel:
    tf.keras.utils.set_random_seed(seed)
    fitted = fit_default(Job(interactions, vocabulary, seed, ""), Settings())
    with tempfile.TemporaryDirectory() as directory:
        save(fitted.scoring(), Path(directory) / SAVED_MODEL)
        return ScoringModel.load(directory)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("interactions")
    parser.add_argument("vocabulary")
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args()
    interactions = Interactions.load(arguments.interactions)
    vocabulary = Vocabulary.load(arguments.vocabulary)
    random = np.random.default_rng(arguments.seed)
    new = random.random(interactions.users) < NEW
    known = interactions.known()
    is_new, is_read = new[known.owners], random.random(len(known.movies)) < READ
    asked = only(known, is_new & ~is_read)
    read = only(known, is_new & is_read)
    held_out = HeldOut.of(asked, read, vocabulary, interactions.rating_scale)
    others, movies = only(known, ~is_new), interactions.movies
    model = trained(without(interactions, new), vocabulary, arguments.seed)
    scorers: dict[str, Scorer] = {
        "default": ModelScorer(model, vocabulary.movie_ids),
        "popularity": Popularity(others, movies),
        "EASE": Ease(others, movies),
        "bias": Bias(only(known, ~is_new | is_read), movies),
    }
    print(f"{len(held_out.users):,} new users, {len(asked.movies):,} ratings asked for")
    print("| method | top-100 unseen | RMSE |\n|---|---|---|")
    for name, scorer in scorers.items():
        metrics = user_sums(score(scorer, held_out, name), held_out).metrics()
        found = [metrics.get(metric) for metric in (ACCURACY_UNSEEN.format(100), RMSE)]
        print(f"| {name} | {' | '.join('' if one is None else f'{one:.4f}' for one in found)} |")


if __name__ == "__main__":
    main()

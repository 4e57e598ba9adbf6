"""What each part of the default model brings: one part switched off at a time, both metrics, two seeds.

    python benchmarks/ablation.py INTERACTIONS VOCABULARY [--steps 800] [--seeds 1 2] [--parts "no years" …]

Both are directories that `twotower vocabulary` wrote. Metrics are of its validation rows, at the step
that validated best, before the final refit; test rows are never read. The model has one pair of towers, as
data of more than 2.5 million ratings give it.
"""

import argparse
import dataclasses
import os
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from components.train.model import TwoTower
from components.train.presets import Job, fit_with_early_stopping
from components.train.settings import Settings
from components.train.sizing import resolve
from components.train.svd_init import svd_vectors
from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import Interactions
from components.vocabulary.vocabulary import Vocabulary

# Part -> settings that switch it off, and variables that stay as they were made (all of them at zero).
PARTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "whole model": ({}, ()),
    "two pairs of towers": ({"ensemble_size": 2}, ()),
    "no ratings in the query": ({}, ("rating_embeddings",)),
    "no years": ({}, ("year_embeddings",)),
    "random start": ({}, ()),
    "no learned popularity": ({}, ("deviation",)),
    "no dropout": ({"dropout": 1e-9}, ()),
    "no prior on movie vectors": ({"retrieval_l2": 1e-6}, ()),
    "towers as fast as the rating head": ({"tower_rate": 1.0}, ()),
    "half of the history hidden": ({"mask_rate": 0.5}, ()),
    "exact softmax": ({"retrieval_loss": "full"}, ()),
    "in-batch softmax": ({"retrieval_loss": "in-batch"}, ()),
    "nothing shared with the rating head": ({}, ("implicit",)),
    "evidence bound as it is": ({"kl_weight": 1.0}, ()),
    "rating head alone": ({"retrieval_weight": 0.0}, ()),
    "retrieval alone": ({"rating_weight": 0.0}, ()),
}


class Ablated(TwoTower):
    """The model with some variables left as they were made."""

    frozen: tuple[str, ...] = ()

    @property
    def trainable_variables(self) -> list[Any]:
        variables = super().trainable_variables
        return [one for one in variables if not one.name.split("/")[-1].startswith(self.frozen or ("?",))]


def validated(rows: Interactions, years: Any, part: str, steps: int, seed: int) -> tuple[float, float]:
    """RMSE and top-100 accuracy among unseen movies, without `part`."""
    changes, frozen = PARTS[part]
    catalogue = RatedCatalogue.of(rows, years)
    train, movies = rows.split("train"), len(catalogue.known_counts)
    chosen = dataclasses.replace(
        Settings(), **{"steps": steps, "validations": 8, "ensemble_size": 1, **changes}
    )
    settings = resolve(chosen, train.counts, movies)
    tf.keras.utils.set_random_seed(seed)
    if part == "random start":
        vectors = np.random.default_rng(seed).normal(scale=0.05, size=(movies, settings.dimension))
    else:
        vectors = svd_vectors(train, catalogue, settings.dimension, seed)
    model = Ablated(catalogue, settings, vectors, seed)
    model.frozen = frozen
    job = Job(rows, None, seed, "")  # the vocabulary is needed for scoring only
    state = fit_with_early_stopping(job, settings, model, catalogue)
    kept = state.log[state.best_line]
    return kept.validation_rmse, kept.validation_top_100_accuracy_unseen


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("interactions")
    parser.add_argument("vocabulary")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS), metavar="part")
    arguments = parser.parse_args()
    rows = Interactions.load(arguments.interactions)
    years = Vocabulary.load(arguments.vocabulary).years
    print("| part | RMSE | top-100 unseen |\n|---|---|---|")
    for part in arguments.parts:
        runs = [validated(rows, years, part, arguments.steps, seed) for seed in arguments.seeds]
        results = np.array(runs)
        cells = [" / ".join(f"{value:.4f}" for value in column) for column in results.T]
        print(f"| {part} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()

"""What each part of the default model brings: one part switched off at a time, both metrics, two seeds.

    python benchmarks/ablation.py INTERACTIONS [--steps 800] [--seeds 1 2]

INTERACTIONS is a directory that `twotower vocabulary` wrote. Metrics are of its validation rows, at the step
that validated best, before the model settles; test rows are never read.
"""

import argparse
import dataclasses
import os
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf

from components.train.catalogue import Catalogue
from components.train.job import Job
from components.train.model import TwoTower
from components.train.presets import search
from components.train.settings import Settings
from components.train.sizing import sized
from components.vocabulary.interactions import Interactions

# Part -> settings that switch it off, and variables that stay as they were made (all of them at zero).
PARTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "whole model": ({}, ()),
    "no ratings in the query": ({}, ("opinions",)),
    "no learned popularity": ({}, ("deviation",)),
    "no dropout": ({"dropout": 0.0}, ()),
    "no prior on movie vectors": ({"retrieval_l2": 1e-6}, ()),
    "half of the history hidden": ({"masked": 0.5}, ()),
    "in-batch softmax": ({"retrieval_loss": "in-batch"}, ()),
    "nothing shared with the rating head": ({}, ("implicit",)),
    "evidence bound as it is": ({"divergence_weight": 1.0}, ()),
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


def validated(rows: Interactions, part: str, steps: int, seed: int) -> tuple[float, float]:
    """RMSE and top-100 accuracy among unseen movies, without `part`."""
    changes, frozen = PARTS[part]
    catalogue = Catalogue.of(rows)
    train = rows.split("train")
    chosen = dataclasses.replace(Settings(), **{"steps": steps, "validations": 8, **changes})
    settings = sized(chosen, train.counts, len(catalogue.known_counts))
    tf.keras.utils.set_random_seed(seed)
    model = Ablated(catalogue, settings, seed)
    model.frozen = frozen
    job = Job(rows, None, seed, "")  # the vocabulary is needed for scoring only
    state = search(job, settings, model, catalogue)
    kept = state.log[state.best_line]
    return kept["validation_rmse"], kept["validation_top_100_accuracy_unseen"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("interactions")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    rows = Interactions.load(arguments.interactions)
    print("| part | RMSE | top-100 unseen |\n|---|---|---|")
    for part in PARTS:
        results = np.array([validated(rows, part, arguments.steps, seed) for seed in arguments.seeds])
        cells = [" / ".join(f"{value:.4f}" for value in column) for column in results.T]
        print(f"| {part} | {cells[0]} | {cells[1]} |", flush=True)


if __name__ == "__main__":
    main()

"""Ablation of the default model: one part changed at a time, at the data's own settings.

    python benchmarks/data_sets.py FOLDER WORK movielens-1m tenth thinned-5
    python benchmarks/ablation.py WORK/movielens-1m WORK/tenth WORK/thinned-5 [--parts "no years" …]

Each argument is a directory with `interactions` and `vocabulary`, as `twotower vocabulary` writes them.
Ensemble, steps and all other settings are those that `train` takes for these data. Metrics are of the
validation rows that chose the weights, before the final refit; test rows are never read. Seeds draw other
validation users, so a part's gain is the whole model's metric beside its own of the same seed; a row has the
mean gain over the seeds and its standard error. Gains above 0 are in favour of the whole model.
"""

import argparse
import dataclasses
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self
from unittest import mock

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.train import presets
from components.train.model import TwoTower
from components.train.settings import FULL, IN_BATCH, REGRESSION, SAMPLED, Settings
from components.train.sizing import resolve
from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import load_encoded

Array = npt.NDArray[Any]


class Part(NamedTuple):
    """A part of the model, by what switches it off or puts another in its place."""

    settings: Mapping[str, Any] = {}
    frozen: tuple[str, ...] = ()  # variables that stay as they were made, all of them at zero
    patched: Mapping[str, Any] = {}  # names below components.train, and what stands there instead
    head: str = ""  # the rating head that has it; "" for both


def random_vectors(rows: UserRatings, catalogue: RatedCatalogue, dimension: int, seed: int) -> Array:
    """Initial vectors of the movies that know nothing of the ratings, float64 [movies, dimension]."""
    size = (len(catalogue.known_counts), dimension)
    return np.random.default_rng(seed).normal(scale=0.05, size=size)


def no_features(ratings: UserRatings, vectors: Array) -> Array:
    """Features of the sampler's rows that say nothing of who rated what, float32 [rows, p]; the last is 1."""
    features = np.zeros((ratings.users, vectors.shape[1] + 1), np.float32)
    features[:, -1] = 1
    return features


WHOLE = "whole model"
PARTS = {
    WHOLE: Part(),
    "two pairs of towers": Part({"ensemble_size": 2}),
    "no ratings in the query": Part(frozen=("rating_embeddings",)),
    "no years": Part(frozen=("year_embeddings",)),
    "random start": Part(patched={"presets.svd_vectors": random_vectors}),
    "no dropout": Part({"dropout": 1e-9}),
    "no prior on movie vectors": Part({"retrieval_l2": 1e-6}),
    "towers at the full learning rate": Part({"tower_rate": 1.0}),
    "half of the history masked": Part({"mask_rate": 0.5}),
    "exact softmax": Part({"retrieval_loss": FULL}),
    "in-batch softmax": Part({"retrieval_loss": IN_BATCH}),
    # Its weight is chosen on the rows that are measured, so its gain is the upper end.
    "no item-item path": Part({"item_item_rank": -1}),
    "rating head by gradient descent": Part({"rating_head": REGRESSION}),
    "one draw": Part({"draws": 1}, head=SAMPLED),
    "no prior from who rated what": Part(patched={"gibbs._pooled": no_features}, head=SAMPLED),
    "users equally exact": Part(patched={"gibbs._NOISE_STRENGTH": 1e9}, head=SAMPLED),
    "nothing shared with the rating head": Part(frozen=("implicit",), head=REGRESSION),
    "KL weight 1": Part({"kl_weight": 1.0}, head=REGRESSION),
    "rating head alone": Part({"retrieval_weight": 0.0}, head=REGRESSION),
    "retrieval alone": Part({"rating_weight": 0.0}, head=REGRESSION),
}


class Ablated(TwoTower):
    """The model with some variables left as they were made."""

    frozen: tuple[str, ...] = ()

    @property
    def trainable_variables(self) -> list[Any]:
        names = self.frozen or ("?",)
        return [one for one in super().trainable_variables if not one.name.split("/")[-1].startswith(names)]


class Figures(NamedTuple):
    """Validation metrics of one training, its steps and its seconds."""

    rmse: float
    top_100_unseen: float
    ndcg_10: float
    steps: float
    seconds: float


@contextmanager
def without(part: str) -> Iterator[None]:
    """Puts what replaces the part where the model's own code stands."""
    model = type("Ablated", (Ablated,), {"frozen": PARTS[part].frozen})
    with ExitStack() as stack:
        for name, replacement in {"presets.TwoTower": model, **PARTS[part].patched}.items():
            stack.enter_context(mock.patch(f"components.train.{name}", replacement))
        yield


def validated(job: presets.Job, settings: Settings, part: str) -> Figures:
    """Trains without `part`, up to the final refit, and measures what would be served."""
    tf.keras.utils.set_random_seed(job.seed)
    started = time.perf_counter()
    with without(part):
        fitted = presets.fit_default(job, dataclasses.replace(settings, final_refit=0.0))
    seconds, found = time.perf_counter() - started, fitted.validation
    assert found.rmse is not None
    assert found.top_100_accuracy_unseen is not None
    assert found.ndcg_10 is not None
    return Figures(found.rmse, found.top_100_accuracy_unseen, found.ndcg_10, fitted.state.step, seconds)


class Gain(NamedTuple):
    """The lead of the whole model in RMSE, top-100 accuracy and NDCG@10: means over the seeds, and errors."""

    mean: Array  # float64 [3]
    error: Array  # float64 [3], the standard errors of the means; NaN of a single seed

    @classmethod
    def of(cls, whole: Sequence[Figures], part: Sequence[Figures]) -> Self:
        """Compares trainings of the same seeds."""
        ahead = (np.array(whole) - np.array(part))[:, :3] * (-1, 1, 1)  # less RMSE is better
        spread = np.std(ahead, axis=0, ddof=1) if len(ahead) > 1 else np.full(3, np.nan)
        return cls(np.mean(ahead, axis=0), spread / np.sqrt(len(ahead)))

    def pays(self) -> bool:
        """Says whether the mean exceeds its standard error in one metric at least; True for a single seed."""
        return not np.all(self.mean <= self.error)


def row(data: str, part: str, runs: Sequence[Figures], gain: Gain | None) -> str:
    """A row of the table: means over the seeds."""
    mean = Figures(*np.mean(runs, axis=0))
    cells = [f"{one:+.4f} ± {error:.4f}" for one, error in zip(*gain, strict=True)] if gain else [""] * 3
    pairs = " | ".join(f"{value:.4f} | {cell}" for value, cell in zip(mean[:3], cells, strict=True))
    return f"| {data} | {part} | {pairs} | {mean.steps:.0f} | {mean.seconds:.0f} |"


def ablate(data: Path, parts: Sequence[str], seeds: Sequence[int], steps: int) -> dict[str, Gain]:
    """Prints a row for the whole model and for each part that the data's own settings have."""
    interactions, vocabulary = load_encoded(data / "interactions", data / "vocabulary")
    counts, movies = interactions.split("train").counts, len(np.unique(interactions.known().movies))
    given = dataclasses.replace(Settings(), steps=steps)
    whole_settings, whole, found = resolve(given, counts, movies), [], {}
    for part in (WHOLE, *parts):
        changes, head = PARTS[part].settings, PARTS[part].head
        settings = resolve(dataclasses.replace(given, **changes), counts, movies)
        if (changes and settings == whole_settings) or head not in ("", whole_settings.rating_head):
            continue
        runs = [validated(presets.Job(interactions, vocabulary, seed, ""), settings, part) for seed in seeds]
        if part == WHOLE:
            whole = runs
        else:
            found[part] = Gain.of(whole, runs)
        print(row(data.name, part, runs, found.get(part)), flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=0, help="0 for those that the data get")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parts = [part for part in PARTS if part != WHOLE]
    parser.add_argument("--parts", nargs="+", default=parts, choices=parts, metavar="part")
    arguments = parser.parse_args()
    print("| data | part | RMSE | gain | top-100 unseen | gain | NDCG@10 | gain | steps | seconds |")
    print(f"|{'---|' * 10}", flush=True)
    found = [ablate(data, arguments.parts, arguments.seeds, arguments.steps) for data in arguments.data]
    idle = [
        part
        for part in arguments.parts
        if (of_part := [one[part] for one in found if part in one]) and not any(map(Gain.pays, of_part))
    ]
    print(f"below the standard error in every metric on all data: {', '.join(idle) or 'none'}")


if __name__ == "__main__":
    main()

"""How fast training is at Netflix shape, beside the notebook's way: its loop with its metrics.

    python benchmarks/training.py

143,458 users, 17.3M generated ratings of 1,350 rated movies out of 17,770, 80% of them for training. Prints
ratings a second of both, the time that the whole default budget takes at that speed, processor time (which
other processes disturb less) and peak memory.
"""

import argparse
import os
import resource
import time
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
from evaluation import data

from components.train.model import TwoTower
from components.train.notebook import NotebookModel, RowBatches
from components.train.optimizer import FusedAdam
from components.train.settings import NotebookSettings, Settings
from components.train.sizing import resolve
from components.train.svd_init import svd_vectors
from components.train.training_data import RatedCatalogue, UserBatches
from components.vocabulary.interactions import Interactions

STEPS, NOTEBOOK_STEPS = 100, 3


def ratings_per_second(step: Any, batches: Iterator[Any], steps: int, rows: int) -> float:
    """Steps once to compile, then `steps` times; `rows`: which array of a batch has a row for each rating."""
    step(tuple(map(tf.constant, next(batches))))
    done, started, busy = 0, time.perf_counter(), time.process_time()
    for _ in range(steps):
        batch = tuple(map(tf.constant, next(batches)))
        step(batch)["total_loss"].numpy()
        done += int(batch[rows].shape[0])
    seconds, processor = time.perf_counter() - started, time.process_time() - busy
    print(
        f"  {steps} steps, {1000 * seconds / steps:.0f} ms each, "
        f"{1000 * processor / steps:.0f} ms of processor"
    )
    return done / seconds


def default(interactions: Interactions, steps: int) -> float:
    catalogue = RatedCatalogue.of(interactions, np.zeros(interactions.movies, np.int32))
    train = interactions.split("train")
    settings = resolve(Settings(), train.counts, len(catalogue.known_counts))
    started = time.perf_counter()
    vectors = svd_vectors(train, catalogue, settings.dimension, 1)
    print(f"  initial vectors: {time.perf_counter() - started:.0f} s")
    model = TwoTower(catalogue, settings, vectors, 1)
    model.compile(optimizer=FusedAdam(settings.learning_rate, model.tower_variables, settings.tower_rate))
    users = UserBatches(catalogue, [train], settings.batch_users, settings.batch_ratings, 1).from_step(0)
    model.compute_loss(tuple(map(tf.constant, next(users))))  # makes the variables
    signature = [
        (tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32), tf.TensorSpec([None], tf.int64))
    ]
    step = tf.function(model.train_step, input_signature=signature, autograph=False)
    speed = ratings_per_second(step, users, steps, 0)
    rows = len(train.movies) / interactions.training_users * settings.batch_users
    print(f"  {settings.steps} steps would take {settings.steps * rows / speed:.0f} s")
    return speed


def notebook(interactions: Interactions) -> float:
    settings = NotebookSettings()
    model = NotebookModel(interactions.training_users, interactions.movies, 1.0, settings)
    model.compile(optimizer=tf.keras.optimizers.Adagrad(settings.learning_rate))
    rows = RowBatches(interactions.split("train"), settings.batch_ratings, 1).from_step(0)
    candidates = tf.data.Dataset.range(interactions.movies).batch(128).map(model.movies)
    top_k = tfrs.metrics.FactorizedTopK(candidates=candidates)

    def step(batch: Any) -> Any:
        results = model.train_step(batch)
        top_k.update_state(model.users(batch[0]), model.movies(batch[1]))
        return results

    return ratings_per_second(tf.function(step), rows, NOTEBOOK_STEPS, 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of the default model that are timed")
    steps = parser.parse_args().steps
    interactions, _ = data()
    print("default")
    ours = default(interactions, steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print("notebook, with its training-time metric")
    theirs = notebook(interactions)
    print(f"default   {ours:12,.0f} ratings/s, {peak:.2f} GB at peak with the data")
    print(f"notebook  {theirs:12,.0f} ratings/s")
    print(f"ratio     {ours / theirs:12,.0f}")


if __name__ == "__main__":
    main()

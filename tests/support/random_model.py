"""The default model with weights drawn at random: every part of it counts, and nothing need be trained."""

import dataclasses

import numpy as np

from components.train.model import TwoTower
from components.train.sampled_head import Draw, SampledHead
from components.train.saved_model import ScoringModule
from components.train.settings import REGRESSION, SAMPLED, Settings
from components.train.training_data import RatedCatalogue

# Both kinds of rating head.
HEADS = (SAMPLED, REGRESSION)
SETTINGS = Settings(ensemble_size=2, dimension=8, hidden_units=16, rating_weights=5)
DRAWS = 3


def random_draw(movies, factors, random):
    """A draw of the parameters of so many movies; those of a movie without ratings come last."""

    def normal(*size, scale):
        return random.normal(scale=scale, size=size).astype(np.float32)

    return Draw(
        keys=normal(movies, factors, scale=0.7),
        key_biases=normal(movies, scale=0.5),
        values=normal(movies + 1, factors, scale=0.6),
        value_biases=normal(movies + 1, scale=0.5),
        prior=normal(movies, factors, scale=0.3),
        start=normal(factors, scale=0.5),
        precision=np.float32(random.uniform(1.0, 3.0)),
    )


def random_scoring(rated, movie_ids, scale=(1.0, 5.0), head=REGRESSION, item_item=None):
    """A ScoringModule over a catalogue of which the movies `rated`, bool [M], have ratings.

    Its rating head is of the kind `head`.
    """
    random = np.random.default_rng(0)
    count = int(np.count_nonzero(rated))
    counts = random.integers(1, 100, count)
    catalogue = RatedCatalogue(
        rows=np.where(rated, np.cumsum(rated) - 1, -1).astype(np.int32),
        training_counts=counts,
        known_counts=counts,
        years=random.integers(0, 5, count).astype(np.int32),
        mean=3.4,
        scale=1.1,
    )
    settings = dataclasses.replace(SETTINGS, rating_head=head)
    model = TwoTower(catalogue, settings, random.normal(size=(count, 8)).astype(np.float32), seed=0)
    learned = [] if model.rating_head is None else [model.rating_head]
    for layer in (*model.candidates, *model.queries, *learned):
        for variable in layer.trainable_variables:
            variable.assign(variable + random.normal(scale=0.3, size=variable.shape))
    draws = [random_draw(count, settings.rating_weights, random) for _ in range(DRAWS)]
    rating_head = model.rating_head or SampledHead(draws, saved=True)
    return ScoringModule(model.towers, rating_head, catalogue, movie_ids, scale, item_item)

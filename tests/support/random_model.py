"""The default model with weights drawn at random: every part of it counts, and nothing need be trained."""

import numpy as np

from components.train.model import TwoTower
from components.train.saved_model import ScoringModule
from components.train.settings import Settings
from components.train.training_data import RatedCatalogue

SETTINGS = Settings(ensemble_size=2, dimension=8, hidden_units=16, rating_head="regression", rating_weights=5)


def random_scoring(rated, movie_ids, scale=(1.0, 5.0)):
    """A ScoringModule over a catalogue of which the movies `rated`, bool [M], have ratings."""
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
    model = TwoTower(catalogue, SETTINGS, random.normal(size=(count, 8)).astype(np.float32), seed=0)
    for layer in (*model.candidates, *model.queries, model.rating_head):
        for variable in layer.trainable_variables:
            variable.assign(variable + random.normal(scale=0.3, size=variable.shape))
    return ScoringModule(model.towers, model.rating_head, catalogue, movie_ids, scale)

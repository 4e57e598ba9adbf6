"""Years: which row of their table each movie takes."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.towers import CandidateTower
from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import Interactions

pytestmark = pytest.mark.tensorflow


def test_unknown_and_impossible_years_are_one_row(world):
    rows = Interactions.load(world.interactions)
    years = np.full(rows.movies, 1994, np.int32)
    years[:5] = [0, 1990, -3, 999_999, 2001]
    catalogue = RatedCatalogue.of(rows, years)
    assert catalogue.years[:6].tolist() == [0, 1, 0, 0, 12, 5]
    assert len(catalogue.years) == np.count_nonzero(catalogue.rows >= 0)


def test_a_catalogue_without_years_has_one_row(world):
    rows = Interactions.load(world.interactions)
    assert not RatedCatalogue.of(rows, np.zeros(rows.movies, np.int32)).years.any()


def test_movies_of_a_year_share_what_is_learned_of_it(world):
    rows = Interactions.load(world.interactions)
    catalogue = RatedCatalogue.of(rows, np.where(np.arange(rows.movies) % 2, 1990, 2000).astype(np.int32))
    start = np.zeros((len(catalogue.known_counts), 4), np.float32)
    tower = CandidateTower(start, catalogue.known_counts, catalogue.years)
    tower.year_embeddings.assign(tf.one_hot([1] * 12, 4) * tf.range(12.0)[:, tf.newaxis])
    expected = np.where(np.arange(len(start)) % 2, 1.0, 11.0)
    np.testing.assert_array_equal(tower.table().vectors[:, 1], expected)

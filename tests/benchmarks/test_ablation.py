"""The ablation's gains, and its parts beside the settings and variables that the model has."""

import dataclasses
from types import SimpleNamespace

import ablation
import numpy as np
import pytest
from evaluation_world import evaluation_world

from components.train.settings import Settings
from components.train.sizing import resolve
from components.train.training_data import RatedCatalogue
from components.vocabulary.vocabulary import load_encoded

pytestmark = pytest.mark.tensorflow


def _figures(rmse, accuracy):
    return ablation.Figures(rmse, accuracy, 0.2, 100, 1.0)


def test_gains_are_of_the_whole_model_over_seeds():
    whole = [_figures(0.80, 0.50), _figures(0.82, 0.52), _figures(0.81, 0.51)]
    without = [_figures(0.81, 0.49), _figures(0.85, 0.52), _figures(0.83, 0.52)]
    gain = ablation.Gain.of(whole, without)
    assert gain.mean == pytest.approx([0.02, 0.0, 0.0])
    assert gain.error == pytest.approx([0.01 / 3**0.5, 0.01 / 3**0.5, 0.0])
    assert gain.pays()
    assert not ablation.Gain.of(without, whole).pays()
    assert not ablation.Gain.of(whole, whole).pays()
    row = ablation.row("tenth", "no years", without, gain)
    assert row.startswith("| tenth | no years | 0.8300 | +0.0200 ± 0.0058 | 0.5100 | +0.0000 ± 0.0058 | ")
    assert row.endswith("| 0.2000 | +0.0000 ± 0.0000 | 100 | 1 |")


def test_one_seed_decides_nothing():
    gain = ablation.Gain.of([_figures(0.8, 0.5)], [_figures(0.7, 0.6)])
    assert np.all(np.isnan(gain.error))
    assert gain.pays()


def test_every_part_changes_settings_or_variables_that_there_are(tmp_path):
    data = evaluation_world().write_data(tmp_path)
    rows, vocabulary = load_encoded(data / "interactions", data / "vocabulary")
    catalogue = RatedCatalogue.of(rows, vocabulary.years)
    settings = dataclasses.replace(Settings(), dimension=4, hidden_units=4, ensemble_size=1)
    settings = resolve(settings, rows.split("train").counts, len(catalogue.known_counts))
    job = ablation.presets.Job(rows, vocabulary, 1, "")
    variables = {}
    for part, (changes, _) in ablation.PARTS.items():
        dataclasses.replace(settings, **changes)
        if not changes:
            variables[part] = len(ablation.initial_model(job, catalogue, settings, part).trainable_variables)
    whole, random = variables.pop(ablation.WHOLE), variables.pop(ablation.RANDOM_START)
    assert whole == random > max(variables.values())


def test_a_random_start_knows_nothing_of_the_ratings():
    catalogue = SimpleNamespace(known_counts=np.ones(50))
    vectors = ablation.random_vectors(None, catalogue, 16, 3)
    assert vectors.shape == (50, 16)
    assert np.array_equal(vectors, ablation.random_vectors(None, catalogue, 16, 3))
    assert np.std(vectors) == pytest.approx(0.05, rel=0.1)

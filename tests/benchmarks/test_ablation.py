"""The ablation's gains, and its parts beside the settings and variables that the model has."""

import dataclasses
from types import SimpleNamespace

import ablation
import numpy as np
import pytest
from evaluation_world import evaluation_world

from components.train.settings import REGRESSION, SAMPLED, Settings
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


@pytest.mark.parametrize("head", [SAMPLED, REGRESSION])
def test_every_part_changes_settings_variables_or_code_that_there_are(tmp_path, head):
    data = evaluation_world().write_data(tmp_path)
    rows, vocabulary = load_encoded(data / "interactions", data / "vocabulary")
    catalogue = RatedCatalogue.of(rows, vocabulary.years)
    small = dataclasses.replace(
        Settings(), dimension=4, hidden_units=4, ensemble_size=1, rating_weights=4, rating_head=head
    )
    settings = resolve(small, rows.split("train").counts, len(catalogue.known_counts))
    job = ablation.presets.Job(rows, vocabulary, 1, "")
    variables = {}
    for name, part in ablation.PARTS.items():
        assert name == ablation.WHOLE or any(part[:3])
        dataclasses.replace(settings, **part.settings)
        if part.head in ("", head) and not part.settings:
            with ablation.without(name):
                model = ablation.presets.initial_model(job, settings, catalogue)
            variables[name] = len(model.trainable_variables)
    whole = variables[ablation.WHOLE]
    for name, count in variables.items():
        assert (count < whole) == bool(ablation.PARTS[name].frozen)


def test_replacements_know_nothing_of_the_ratings():
    catalogue = SimpleNamespace(known_counts=np.ones(50))
    vectors = ablation.random_vectors(None, catalogue, 16, 3)
    assert vectors.shape == (50, 16)
    assert np.array_equal(vectors, ablation.random_vectors(None, catalogue, 16, 3))
    assert np.std(vectors) == pytest.approx(0.05, rel=0.1)
    features = ablation.no_features(SimpleNamespace(users=3), vectors)
    assert features.tolist() == [[0.0] * 16 + [1.0]] * 3

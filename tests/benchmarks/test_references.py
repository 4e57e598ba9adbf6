"""The references are the methods that they name, and are measured by evaluate's code."""

import json
import sys

import numpy as np
import pytest
import references
from data_sets import DATA
from evaluation_world import evaluation_world
from held_out_world import grouped, held_out_of, random_ratings

from components.evaluate.baselines import Ease
from components.vocabulary.vocabulary import load_encoded


@pytest.mark.parametrize(("users", "movies"), [(40, 25), (12, 60)])
@pytest.mark.parametrize("l2", [3.0, 500.0])
def test_ease_of_one_decomposition_is_the_closed_form(users, movies, l2):
    known, test = random_ratings(np.random.default_rng(3), users, movies, share=0.3)
    held_out = held_out_of(known, test, users, movies)
    ease = references.Ease(held_out.known, movies)
    ease.regularise(l2)
    (batch,) = held_out.batches(users)
    scores = ease.predict(batch).retrieval
    expected, _, columns = Ease(held_out.known, movies, l2).predict(batch)
    rated = np.bincount(held_out.known.movies, minlength=movies) > 0
    np.testing.assert_allclose(scores[:, rated], expected[:, columns.of_movie][:, rated], atol=1e-4)
    assert np.all(scores[:, ~rated] == -np.inf)


def test_ease_takes_the_weight_that_is_best_on_validation_rows(tmp_path, monkeypatch):
    data = evaluation_world().write_data(tmp_path)
    interactions, vocabulary = load_encoded(data / "interactions", data / "vocabulary")
    found = {}
    for weights in ((1e6,), (1e-3,), (1e-3, 1e6)):
        monkeypatch.setattr(references, "EASE_L2", weights)
        found[weights] = references.ease(interactions, vocabulary)
    assert found[1e-3, 1e6].metrics == found[1e6,].metrics != found[1e-3,].metrics
    assert found[1e-3, 1e6].chosen.startswith("L2 1e+06 ")
    assert set(found[1e6,].metrics) == set(references.METRICS) - {"rmse"}


def test_features_are_one_hot_beside_scaled_feedback():
    seen = grouped({(0, 1): 4.0, (0, 2): 1.0, (2, 0): 5.0}, 3).csr(3)
    features = references.features(type(seen)((np.ones(3), seen.indices, seen.indptr), shape=(3, 3)))
    half = 0.5**0.5
    expected = [[1, 0, 0, 0, half, half], [0, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]]
    np.testing.assert_allclose(features.toarray(), expected)


def test_a_missing_library_is_one_line_that_names_the_extra(tmp_path, monkeypatch):
    data = evaluation_world().write_data(tmp_path)
    monkeypatch.setitem(sys.modules, "myfm", None)
    with pytest.raises(SystemExit, match=r"^myfm is not installed; pip install -e '\.\[benchmarks\]'$"):
        references.myfm(*load_encoded(data / "interactions", data / "vocabulary"))


def test_figures_are_taken_for_the_same_rows_only(tmp_path, monkeypatch):
    file = tmp_path / "references.json"
    monkeypatch.setattr(references, "FILE", file)
    assert references.stored("tenth", "0a") == {}
    file.write_text(json.dumps({"tenth": {"ease": {"rows": "0a"}, "myfm": {"rows": "0b"}}}))
    assert list(references.stored("tenth", "0a")) == ["ease"]
    assert references.stored("sample", "0a") == {}


def test_every_stored_figure_says_where_it_is_from():
    stored = json.loads(references.FILE.read_text("utf-8"))
    assert stored.keys() == DATA.keys()
    for of_data in stored.values():
        assert of_data.keys() <= references.METHODS.keys()
        for one in of_data.values():
            assert one["metrics"].keys() <= set(references.METRICS)
            assert all(one[name] for name in ("rows", "metrics", "chosen", "command", "version"))

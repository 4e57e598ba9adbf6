"""The weights file, and what a training that begins at it makes of them."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from training_world import QUICK

from components.ingest.dataset import SplitSettings
from components.train.artifact import read_log, read_record
from components.train.gibbs import Sampler
from components.train.model import TwoTower
from components.train.presets import Job
from components.train.sampled_head import SampledRatings
from components.train.settings import PRESETS, override
from components.train.step import train
from components.train.training_data import RatedCatalogue
from components.train.warm_start import WarmStart
from components.train.weights import MatchedWeights, Weights, _named
from components.vocabulary.data_summary import DataSummary, id_hashes
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import Vocabulary, load_encoded

pytestmark = pytest.mark.tensorflow

SETTINGS = override(
    PRESETS["default"],
    {
        **QUICK,
        "dimension": 5,
        "hidden_units": 6,
        "rating_weights": 4,
        "ensemble_size": 2,
        "rating_head": "regression",
        "retrieval_loss": "top-k",
        "top_k": 2,
    },
)


class _Rows:
    """All that is read of interactions."""

    split_settings = SplitSettings(kind="random", seed=1, validation_fraction=0.1, test_fraction=0.1)


def _data(movies: str, years: list[int]):
    """Rated movies, one for each letter, after one that is not rated."""
    names = Vocabulary(
        user_ids=np.array([f"u{user}" for user in range(9)], object),
        movie_ids=np.array(["unrated", *movies], object),
        titles=np.array(["", *movies], object),
        years=np.array([1900, *years], np.int32),
        training_users=9,
    )
    known = np.array(years)
    numbers = np.where(known > 0, known - known[known > 0].min() + 1, 0).astype(np.int32)
    counts = np.arange(1, len(movies) + 1)
    rows = np.arange(-1, len(movies), dtype=np.int32)
    return _Rows, names, RatedCatalogue(rows, counts, counts, numbers, mean=3.0, scale=1.0)


THERE = _data("abcdefg", [2000, 1990, 0, 1995, 1990, 2001, 1999])
# Five of them in another order, a new one between them, and a year before all others.
HERE = _data("gxcabe", [1999, 1980, 0, 2000, 1990, 1990])
_OF_EACH = [6, -1, 2, 0, 1, 4]


def _model(data, seed):
    catalogue = data[2]
    vectors = np.random.default_rng(seed).normal(size=(len(catalogue.years), 5)).astype(np.float32)
    return TwoTower(catalogue, SETTINGS, vectors, seed)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    model, random = _model(THERE, 1), np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(random.normal(size=variable.shape))
    made = Weights.of(SETTINGS, THERE, np.arange(9) % 3 == 0, model, None)
    file = tmp_path_factory.mktemp("weights") / "weights.npz"
    made.save(file)
    read = Weights.load(file)
    assert read.header == made.header
    for name, variable in made.variables.items():
        np.testing.assert_array_equal(read.variables[name], variable)
    return read


def test_a_file_has_ids_users_settings_and_every_trainable_variable(weights):
    assert weights.header.movies == list("abcdefg")
    assert weights.header.settings == dataclasses.asdict(SETTINGS)
    assert weights.header.first_year == 1990
    np.testing.assert_array_equal(weights.validating_users, id_hashes(["u0", "u3", "u6"]))
    assert len(weights.variables) == len(_model(THERE, 1).trainable_variables)


def test_movies_are_matched_by_id_and_years_by_year(weights):
    model = _model(HERE, 3)
    cold = {name: variable.numpy() for name, variable in _named(model)}
    matched = MatchedWeights.of(weights, HERE[1], HERE[2])
    assert matched.rows.tolist() == _OF_EACH
    matched.move(model)
    by_movie = set()
    for name, variable in _named(model):
        moved, there = variable.numpy(), weights.variables[name]
        if name.endswith("/year_embeddings"):
            np.testing.assert_array_equal(moved[0], there[0])
            np.testing.assert_array_equal(moved[1:11], cold[name][1:11])  # 1980 to 1989
            np.testing.assert_array_equal(moved[11:], there[1:12])  # 1990 to 2000
        elif there.shape[:1] == (7,):
            by_movie.add(name)
            known = np.array(_OF_EACH) >= 0
            np.testing.assert_array_equal(moved[known], there[np.array(_OF_EACH)[known]])
            if not name.endswith("/embeddings"):
                np.testing.assert_array_equal(moved[1], cold[name][1])
        else:
            np.testing.assert_array_equal(moved, there)
    assert len(by_movie) == 2 * 2 + 4  # of each pair of towers, and of the rating head


def test_a_new_movies_vector_turns_as_those_of_the_others_did(weights):
    # Training has turned all vectors alike: the new one is turned with them.
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(5, 5)))[0].astype(np.float32)
    model = _model(HERE, 3)
    cold = model.candidates[0].embeddings.numpy()
    there = np.zeros((7, 5), np.float32)
    known = np.array(_OF_EACH) >= 0
    there[np.array(_OF_EACH)[known]] = cold[known] @ turn
    variables = weights.variables | {"candidate_0/0/embeddings": there}
    MatchedWeights.of(dataclasses.replace(weights, variables=variables), *HERE[1:]).move(model)
    np.testing.assert_allclose(model.candidates[0].embeddings.numpy(), cold @ turn, atol=1e-5)


def _chain(movies, seed):
    random = np.random.default_rng(seed)
    rated = np.argwhere(random.random((40, movies)) < 0.6)
    ratings = UserRatings.group(rated[:, 0], rated[:, 1], random.normal(size=len(rated)), 40)
    return Sampler(ratings, movies, 4, seed)


def test_a_chain_goes_on_from_the_movies_parameters(tmp_path):
    sampled = SampledRatings(_chain(7, 1), 6, 2)
    sampled.advance(1.0)
    settings = dataclasses.replace(SETTINGS, rating_head="sampled")
    model = TwoTower(THERE[2], settings, np.ones((7, 5), np.float32), 1)
    Weights.of(settings, THERE, np.zeros(9, bool), model, sampled).save(tmp_path / "weights.npz")
    chain = _chain(6, 2)
    cold = chain.state()
    MatchedWeights.of(Weights.load(tmp_path / "weights.npz"), *HERE[1:]).move_sampler(chain)
    there, here = sampled.state(), chain.state()
    for row, place in enumerate(_OF_EACH):
        expected = cold["movies_parameters"][row] if place < 0 else there["movies_parameters"][place]
        np.testing.assert_array_equal(here["movies_parameters"][row], expected)
    for name in ("movies_precision", "users_precision", "precision"):
        np.testing.assert_array_equal(here[name], there[name])
    assert here["sweeps"] == 0
    chain.sweep()
    assert np.isfinite(chain.squared_error())


@pytest.fixture(scope="module", params=["sampled", "regression"])
def champion(world, tmp_path_factory, request):
    """A registry with a version, and the settings of its training."""
    registry, settings = tmp_path_factory.mktemp("registry"), {**QUICK, "rating_head": request.param}
    _train(world, registry / "versions" / "1" / "model", train_settings=settings)
    return registry, settings


def _train(world, output, **arguments):
    paths = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    return train(**paths, output=str(output), **arguments)


def test_a_warm_training_begins_where_the_champion_ended(world, champion, tmp_path):
    registry, settings = champion
    first = read_log(registry / "versions" / "1" / "model")[0]
    few = {**settings, "steps": 8, "sweeps": 6, "validations": 1}
    record = _train(
        world, tmp_path / "warm", train_settings=few, registry=str(registry), champion_version="1"
    )
    assert record.start.version == "1"
    assert read_record(tmp_path / "warm").start == record.start
    assert record.steps < 20  # with the refit
    assert record.validation_rmse < first.validation_rmse + 0.02
    assert record.validation_top_100_accuracy_unseen > first.validation_top_100_accuracy_unseen - 0.02
    never = _train(
        world,
        tmp_path / "cold",
        train_settings=few,
        registry=str(registry),
        champion_version="1",
        warm_start="never",
    )
    assert never.start.version == ""
    assert never.validation_rmse > record.validation_rmse


def test_its_record_of_rows_read_has_the_champions_too(world, champion, tmp_path):
    registry, settings = champion
    other = tmp_path / "registry"
    shutil.copytree(registry, other)
    place = other / "versions" / "1" / "model"
    rows, names = load_encoded(world.interactions, world.vocabulary)
    # As if the champion had read rows of a user of whom there is nothing here.
    before = DataSummary.load(place)
    gone = dataclasses.replace(before.rows, hashes=np.sort(np.append(before.rows.hashes, np.uint64(12345))))
    dataclasses.replace(before, rows=gone).save(place)
    few = {**settings, "steps": 2, "sweeps": 2, "validations": 1}
    _train(world, tmp_path / "warm", train_settings=few, registry=str(other), champion_version="1")
    own = DataSummary.of(rows.known(), names.user_ids, names.movie_ids, rows.rating_scale)
    read = DataSummary.load(tmp_path / "warm")
    assert set(read.rows.hashes) == {*own.rows.hashes, np.uint64(12345)}
    assert read.figures == own.figures


def test_a_checkpoint_is_of_one_start(world, tmp_path):
    job = Job(*load_encoded(world.interactions, world.vocabulary), 1, str(tmp_path))
    keys = [
        dataclasses.replace(job, start=start).checkpoints("search", SETTINGS).key
        for start in (None, *(WarmStart(version, None, None, None) for version in ("1", "2")))
    ]
    assert len(set(keys)) == 3


def test_the_size_of_the_file_is_that_of_its_tables(champion, world):
    registry, _ = champion
    file = registry / "versions" / "1" / "model" / "weights.npz"
    header = len(json.dumps(list(range(world.movies))))
    numbers = sum(array.size for array in Weights.load(file).variables.values())
    assert file.stat().st_size < 4 * numbers + 20_000 + header

"""Item-item path against EASE by matrix inversion, through a SavedModel, and where it must stay out."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from random_model import random_scoring

from components.train.blending import _peak, choose, decompose
from components.train.item_item import Blend, ItemItem
from components.train.scoring import ScoringModel, save
from components.train.settings import Settings
from components.train.sizing import resolve
from components.train.training_data import RatedCatalogue
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow

USERS, MOVIES, RIDGE = 80, 30, 7.0


def _group(rated):
    """Ratings where the matrix [users, movies] is not 0."""
    users, movies = np.nonzero(rated)
    return UserRatings.group(users, movies, np.zeros(len(users)), len(rated))


def _catalogue(movies):
    ones, rows = np.ones(movies, np.int64), np.arange(movies, dtype=np.int32)
    return RatedCatalogue(rows, ones, ones, np.zeros_like(rows), 0.0, 1.0)


def _rated(users=USERS, movies=MOVIES):
    return np.random.default_rng(3).random((users, movies)) < np.linspace(0.1, 0.5, movies)


def _spectrum(rated, rank):
    return decompose([_group(rated)], _catalogue(rated.shape[1]), rank, seed=1)


def _even(rated):
    """The matrix whose rows of n ratings hold the fourth root of the mean number over n."""
    numbers = rated.sum(axis=1, keepdims=True)
    return rated * (numbers.mean() / np.maximum(numbers, 1)) ** 0.25


def _ease(rated, ridge):
    """EASE's weights as their author writes them (Steck 2019), of users of more equal weight."""
    counts = _even(rated).T @ _even(rated)
    inverse = np.linalg.inv(counts + ridge * np.eye(len(counts)))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return weights


def _off_diagonal(factors: ItemItem):
    product = factors.history @ factors.candidates.T
    np.fill_diagonal(product, 0.0)
    return product


@pytest.mark.parametrize("users", [USERS, 12])
def test_all_directions_give_the_weights_of_ease(users):
    rated = _rated(users)
    factors = _spectrum(rated, 100).factors(RIDGE)
    assert factors.history.shape == factors.candidates.shape == (MOVIES, min(users, MOVIES))
    np.testing.assert_allclose(_off_diagonal(factors), _ease(rated, RIDGE), atol=2e-5)


def test_few_directions_are_nearer_to_them_than_a_truncated_series():
    rated, rank = _rated(), 10
    counts = _even(rated).T @ _even(rated) / RIDGE
    strengths, directions = np.linalg.eigh(counts)
    shares, kept = strengths / (1.0 + strengths), slice(MOVIES - rank, None)
    own = np.square(directions) @ shares
    truncated = (directions[:, kept] * shares[kept]) @ directions[:, kept].T / (1.0 - own)
    np.fill_diagonal(truncated, 0.0)
    exact = _ease(rated, RIDGE)
    ours, theirs = (
        np.square(one - exact).sum()
        for one in (_off_diagonal(_spectrum(rated, rank).factors(RIDGE)), truncated)
    )
    assert ours < 0.5 * theirs


def _sequels(users=500, pairs=150):
    """Whoever rated one of two sequels rated the other too; one of each user's is held out."""
    random = np.random.default_rng(4)
    rated = np.kron(random.random((users, pairs)) < 0.1, np.ones((1, 2), bool))
    rated[:, 0] = True  # nobody's history is empty
    held_out = np.zeros_like(rated)
    for user, row in enumerate(rated):
        held_out[user, random.choice(np.flatnonzero(row[2:])) + 2] = True
    return rated & ~held_out, held_out


def test_it_is_chosen_where_it_knows_more_than_the_towers():
    known, held_out = _sequels()
    random = np.random.default_rng(1)
    blend = choose(
        _spectrum(known, 300),
        _group(known),
        _group(held_out),
        lambda history: random.normal(size=(history.users, 300)),
    )
    scores = blend.of(_spectrum(known, 300)).scores(_group(known))
    scores[known] = -np.inf
    assert np.mean(scores[held_out] >= np.sort(scores, axis=1)[:, -15]) > 0.9


@pytest.mark.parametrize("perfect", [True, False])
def test_it_is_left_out_where_it_brings_nothing(perfect, capsys):
    random = np.random.default_rng(5)
    known, held_out = random.random((2, 150, 300)) < 0.05
    known[:, 250:] = held_out[:, :250] = False
    scores = 10.0 * (np.arange(300) >= 250) if perfect else random.normal(size=300)
    rows = _group(known), _group(held_out)
    assert choose(_spectrum(known, 300), *rows, lambda history: np.tile(scores, (history.users, 1))) is None
    assert capsys.readouterr().err.count("it is left out") == 1


@pytest.mark.parametrize("at", [1.6, 2.0, 2.3])
def test_a_weight_between_two_tried_ones_is_found(at):
    assert _peak(5.0 - np.square(np.arange(6) - at), round(at)) == pytest.approx(at)


@pytest.mark.parametrize("values", [[3.0, 2.0, 1.0], [0.0, 1.0, 2.0], [1.0, 1.0, 1.0]])
def test_the_weight_is_one_of_those_tried_where_no_parabola_has_a_peak(values):
    best = int(np.argmax(values))
    assert _peak(np.array(values), best) == best


RATED = np.arange(40) % 8 != 0
MOVIE_IDS = [f"m{movie}" for movie in range(len(RATED))]
HISTORIES = UserRatings.group([0] * 5 + [2] * 3, [1, 3, 9, 11, 30, 0, 5, 8], [4, 2, 5, 1, 3, 4, 4, 2], 3)


def _served(path, item_item):
    tf.keras.utils.set_random_seed(1)  # the same towers in both
    save(random_scoring(RATED, MOVIE_IDS, item_item=item_item), path)
    return ScoringModel.load(path.parent)


@pytest.fixture(scope="module")
def factors():
    random, rated = np.random.default_rng(6), np.count_nonzero(RATED)
    return ItemItem(*(random.normal(size=(rated, 6)).astype(np.float32) for _ in range(2)))


@pytest.fixture(scope="module")
def both(tmp_path_factory, factors):
    root = tmp_path_factory.mktemp("models")
    return [
        _served(root / name / "saved_model", path) for name, path in (("with", factors), ("without", None))
    ]


def _scores(model):
    return model.query(["a", "b", "c"], HISTORIES) @ model.vectors.T + model.biases


def test_a_served_score_is_the_towers_plus_the_path(both, factors):
    added = _scores(both[0]) - _scores(both[1])
    expected = np.zeros_like(added)
    rows = np.cumsum(RATED) - 1
    for user, movies in ((0, [1, 3, 9, 11, 30]), (2, [5])):  # the others of user 2 are unknown to the model
        sums = factors.history[rows[movies]].sum(axis=0) / np.sqrt(len(movies) + 1)
        expected[user, RATED] = factors.candidates @ sums
    np.testing.assert_allclose(added, expected, atol=1e-4)
    assert np.abs(expected[[0, 2]]).max() > 1


def test_a_user_without_history_has_popularitys_order(both):
    scores = _scores(both[0])[1]
    np.testing.assert_array_equal(scores, both[0].biases)
    np.testing.assert_array_equal(scores, _scores(both[1])[1])


def test_left_out_it_has_no_columns(both):
    assert both[0].vectors.shape[1] == both[1].vectors.shape[1] + 6


def test_the_weight_scales_the_candidates():
    spectrum = _spectrum(_rated(), 20)
    one, three = (Blend(RIDGE, weight).of(spectrum) for weight in (1.0, 3.0))
    np.testing.assert_allclose(three.candidates, 3.0 * one.candidates, rtol=1e-6)
    np.testing.assert_array_equal(three.history, one.history)


def test_another_length_leaves_the_scores():
    factors, histories = _spectrum(_rated(), MOVIES).factors(RIDGE), _group(_rated())
    short = factors.of_length(0.01)
    assert np.mean(np.sum(np.square(short.candidates), axis=1)) == pytest.approx(0.01)
    np.testing.assert_allclose(short.scores(histories), factors.scores(histories), atol=1e-5)


@pytest.mark.parametrize(
    ("movies", "ratings", "asked", "rank"),
    [
        (500, 20, 0, 1024),
        (500, 19, 0, 256),
        (8192, 20, 0, 512),
        (20_000, 20, 0, 209),
        (65_537, 20, 0, -1),
        (65_537, 20, 64, 64),
        (500, 20, -1, -1),
    ],
)
def test_the_data_decide_the_rank(movies, ratings, asked, rank):
    settings = dataclasses.replace(Settings(), item_item_rank=asked)
    assert resolve(settings, np.full(1000, ratings), movies, 1 << 32).item_item_rank == rank

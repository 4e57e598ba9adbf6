"""Draws of the sampler against the distributions that they are to come from, and its chain."""

import io

import numpy as np
import pytest
import tensorflow as tf

from components.train import gibbs, sampled_head
from components.train.chunks import chunk_ratings
from components.train.gibbs import Sampler
from components.train.sampled_head import SampledHead, SampledRatings, predict_by_draw
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow

# Ratings of each row: none, few, several chunks, and more than a block of the small ones.
COUNTS = [0, 1, 3, 30, 7, 0, 2, 5, 12, 0]
OTHERS, SIZE, FEATURES = 40, 4, 3


def _side(counts=COUNTS, seed=1):
    """A side with parameters, link and precision of their own."""
    random = np.random.default_rng(seed)
    movies = np.concatenate([random.choice(OTHERS, count, replace=False) for count in counts])
    owners = np.repeat(np.arange(len(counts)), counts)
    ratings = UserRatings.group(owners, movies, random.normal(size=len(movies)), len(counts))
    features = random.normal(size=(len(counts), FEATURES)).astype(np.float32)
    features[:, -1] = 1.0
    side = gibbs._Side(ratings, features)
    side.begin(SIZE, 0.5, random)
    root = random.normal(size=(SIZE, SIZE))
    side.precision = root @ root.T + np.eye(SIZE)
    side.link = random.normal(size=(FEATURES, SIZE))
    return side, ratings


def _other_side(seed=2):
    """Parameters and weights of the other side."""
    random = np.random.default_rng(seed)
    return _single(random.normal(size=(OTHERS, SIZE))), _single(random.uniform(0.5, 2.0, OTHERS))


def _single(values):
    return np.asarray(values, np.float32)


def _ridge(side, row, others, other_weights, weight, precision):
    """Mean and precision of a row's parameters by the normal equations, float64."""
    design = others[row.movies].astype(np.float64)
    residuals = row.ratings - design[:, -1]
    design[:, -1] = 1.0
    exact = precision * weight * other_weights[row.movies]
    posterior = side.precision + design.T @ (exact[:, np.newaxis] * design)
    return posterior, design.T @ (exact * residuals)


def _none(size):
    return np.zeros(size, np.float32)


@pytest.mark.parametrize(("slots", "rows"), [(1 << 18, 1 << 13), (16, 1 << 13), (1 << 18, 3)])
def test_without_noise_a_row_is_its_ridge_regression(monkeypatch, slots, rows):
    monkeypatch.setattr(gibbs, "_BLOCK_SLOTS", slots)
    monkeypatch.setattr(gibbs, "_BLOCK_ROWS", rows)
    side, ratings = _side()
    assert (len(side._blocks) == 1) == (slots > 16 and rows > 3)
    others, other_weights = _other_side()
    weights = _single(np.random.default_rng(3).uniform(0.5, 2.0, len(COUNTS)))
    found = side.regress(others, other_weights, weights, 1.7, _none)
    prior = side.features @ side.link @ side.precision
    for number in range(len(COUNTS)):
        posterior, evidence = _ridge(
            side, ratings[number : number + 1], others, other_weights, weights[number], 1.7
        )
        expected = np.linalg.solve(posterior, evidence + prior[number])
        np.testing.assert_allclose(found[number], expected, rtol=1e-3, atol=1e-3)


def test_draws_of_a_row_have_the_covariance_of_its_posterior():
    # Many rows with the same ratings and the same features, drawn at once.
    count, random = 20_000, np.random.default_rng(4)
    movies, stars = random.choice(OTHERS, 11, replace=False), random.normal(size=11)
    owners = np.repeat(np.arange(count), 11)
    ratings = UserRatings.group(owners, np.tile(movies, count), np.tile(stars, count), count)
    side = gibbs._Side(ratings, np.ones((count, 1), np.float32))
    side.begin(SIZE, 0.1, random)
    root = random.normal(size=(SIZE, SIZE))
    side.precision, side.link = root @ root.T + np.eye(SIZE), random.normal(size=(1, SIZE))
    others, other_weights = _other_side()
    drawn = side.regress(others, other_weights, np.full(count, 1.3, np.float32), 0.5, random.normal)
    posterior, evidence = _ridge(side, ratings[:1], others, other_weights, 1.3, 0.5)
    mean = np.linalg.solve(posterior, evidence + side.link[0] @ side.precision)
    # In units of the posterior's standard deviations.
    whitened = (drawn - mean) @ np.linalg.cholesky(posterior)
    np.testing.assert_allclose(whitened.mean(axis=0), 0.0, atol=0.04)
    np.testing.assert_allclose(whitened.T @ whitened / count, np.eye(SIZE), atol=0.05)


@pytest.mark.parametrize("slots", [1 << 18, 16])
def test_squared_errors_are_those_of_the_predictions(monkeypatch, slots):
    monkeypatch.setattr(gibbs, "_BLOCK_SLOTS", slots)
    side, ratings = _side()
    others, _ = _other_side()
    factors, biases = side.parameters[:, :-1], side.parameters[:, -1]
    predicted = factors @ others[:, :-1].T + biases[:, np.newaxis] + others[:, -1]
    squares = np.square(ratings.ratings - predicted[ratings.owners, ratings.movies])
    expected = np.bincount(ratings.owners, weights=squares, minlength=len(COUNTS))
    np.testing.assert_allclose(side.squared_errors(others), expected, rtol=1e-4)


def test_the_prior_is_drawn_from_a_normal_wishart_distribution():
    side, _ = _side()
    random, draws, strength = np.random.default_rng(5), 2000, 3.0
    link, parameters = side.link, side.parameters.astype(np.float64)
    features = side.features.astype(np.float64)
    residuals = parameters - features @ link
    scatter = np.eye(SIZE) + residuals.T @ residuals + strength * link.T @ link
    gram = features.T @ features + strength * np.eye(FEATURES)
    ridge, root = np.linalg.solve(gram, features.T @ parameters), np.linalg.cholesky(gram)
    precisions, whitened, strengths = [], [], []
    for _ in range(draws):
        side.link, side.strength = link, strength
        side.draw_prior(random)
        precisions.append(side.precision)
        whitened.append(root.T @ (side.link - ridge) @ np.linalg.cholesky(side.precision))
        strengths.append(side.strength * (1 + np.trace(side.link.T @ side.link @ side.precision)) / 2)
    # A prior of as many degrees of freedom as there are parameters, and the scale of the identity.
    expected = (len(COUNTS) + FEATURES + SIZE) * np.linalg.inv(scatter)
    spread = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(np.mean(precisions, axis=0) / spread, expected / spread, atol=0.04)
    noise = np.reshape(whitened, (draws, -1))
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose(noise.T @ noise / draws, np.eye(FEATURES * SIZE), atol=0.15)
    assert np.mean(strengths) == pytest.approx((1 + FEATURES * SIZE) / 2, rel=0.03)


def _world(users=150, movies=60, rank=2, noise=0.5, seed=6):
    """Ratings that are products of a known rank plus biases and noise, and cells that are held out."""
    random = np.random.default_rng(seed)
    of_users, of_movies = random.normal(size=(users, rank)), random.normal(size=(movies, rank))
    truth = of_users @ of_movies.T / rank**0.5
    truth += 0.5 * random.normal(size=(users, 1)) + 0.5 * random.normal(size=movies)
    rated = random.random((users, movies)) < 0.5
    stars = truth + noise * random.normal(size=truth.shape)
    known, held_out = rated & (random.random(rated.shape) < 0.9), rated
    known[:, -1] = False  # nobody has rated the last movie
    held_out &= ~known
    held_out[:, -1] = False
    return _grouped(known, stars), _grouped(held_out, stars)


def _grouped(cells, stars):
    owners, movies = np.nonzero(cells)
    return UserRatings.group(owners, movies, stars[owners, movies], len(cells))


@pytest.fixture(scope="module")
def world():
    return _world()


def _moved(sampler):
    """All that a chain moves, as one comparable mapping."""
    return {name: np.asarray(value).copy() for name, value in sampler.state().items()}


def _through_a_file(state):
    """Returns what a checkpoint makes of it."""
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    with np.load(file) as saved:
        return {name: saved[name] for name in saved.files}


def _assert_same(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_noise_is_drawn_from_gamma_distributions(world, monkeypatch):
    sampler, random = Sampler(world[0], 60, 4, seed=1), np.random.default_rng(7)
    for _ in range(5):
        sampler.sweep()
    squares, counts = sampler._users.squared_errors(sampler._movies.parameters), world[0].counts
    monkeypatch.setattr(sampler._users, "squared_errors", lambda _: squares)
    shape = (gibbs._NOISE_STRENGTH + counts) / 2
    scaled, precisions = [], []
    for _ in range(600):
        sampler._precision = 2.0
        sampler._draw_noise(random)
        scaled.append((gibbs._NOISE_STRENGTH + 2.0 * squares) / 2 * sampler._noise)
        precisions.append(sampler._precision * (1 + sampler._noise @ squares / 2))
    # Gamma variables of the shape have it as mean, and as variance.
    np.testing.assert_allclose(np.mean(scaled, axis=0), shape, rtol=0.06)
    assert np.mean(np.var(scaled, axis=0) / shape) == pytest.approx(1.0, abs=0.03)
    total = 1 + counts.sum() / 2
    assert np.mean(precisions) == pytest.approx(total, rel=0.005)
    assert np.var(precisions) == pytest.approx(total, rel=0.2)


def test_a_seed_repeats_the_chain(world):
    one, same, other = (Sampler(world[0], 60, 4, seed) for seed in (1, 1, 2))
    for _ in range(3):
        for sampler in (one, same, other):
            sampler.sweep()
    _assert_same(_moved(one), _moved(same))
    assert np.abs(one._users.parameters - other._users.parameters).max() > 0.01


def test_a_restored_chain_goes_on_bit_for_bit(world):
    known, more = world
    whole = UserRatings.join([known, more])
    one = Sampler(known, 60, 4, seed=1)
    for _ in range(4):
        one.sweep()
    saved, again = _through_a_file(one.state()), Sampler(known, 60, 4, seed=1)
    again.restore(saved)
    for sampler in (one, again):
        for _ in range(2):
            sampler.sweep()
    _assert_same(_moved(one), _moved(again))

    one.go_on_with(whole)
    again.go_on_with(whole)
    one.sweep()
    saved = _through_a_file(one.state())
    again.restore(saved)
    for sampler in (one, again):
        sampler.sweep()
    _assert_same(_moved(one), _moved(again))
    _assert_same(one.draw()._asdict(), again.draw()._asdict())


def test_more_ratings_leave_what_was_learned_and_are_learned(world):
    known, more = world
    sampler = Sampler(known, 60, 4, seed=1)
    for _ in range(20):
        sampler.sweep()
    before = _moved(sampler)
    sampler.go_on_with(UserRatings.join([known, more]))
    _assert_same(before, _moved(sampler))
    assert sampler._users.counts.sum() == known.counts.sum() + more.counts.sum()
    unseen = _rmse([sampler.draw()], known, more)
    for _ in range(5):
        sampler.sweep()
    # Its own rating is in what the users are drawn from, now.
    errors = sampler._users.squared_errors(sampler._movies.parameters)
    assert np.sqrt(errors.sum() / sampler._users.counts.sum()) < unseen


def _rmse(draws, known, asked):
    """The error of what `draws` predict for `asked`."""
    history, pairs = (tuple(map(tf.constant, part.arrays)) for part in (known, asked))
    predicted = SampledHead(draws).ratings(history, pairs).numpy()
    return float(np.sqrt(np.mean(np.square(predicted - asked.ratings))))


def test_a_known_world_is_predicted_to_within_its_noise(world):
    known, held_out = world
    sampling = SampledRatings(Sampler(known, 60, 8, seed=1), sweeps=60, draws=8)
    sampling.advance(1.0)
    assert len(sampling.draws) == 8
    # The noise is 0.5; users and movies are known from some 27 and 67 ratings.
    assert 0.45 < _rmse(sampling.draws, known, held_out) < 0.58
    assert _rmse(sampling.draws, known, held_out) < _rmse(sampling.draws[-1:], known, held_out)
    assert 0.4 < np.sqrt(sampling.error()) < 0.5


def test_a_draw_predicts_as_the_sampler_s_own_regression(world):
    known, held_out = world
    sampler = Sampler(known, 60, 4, seed=1)
    for _ in range(5):
        sampler.sweep()
    # A usual user's noise, of which alone the head knows.
    sampler._noise = np.ones_like(sampler._noise)
    users, movies = sampler._users_given_movies(_none), sampler._movies_given_users(_none)
    every = users[:, :-1] @ movies[:, :-1].T + users[:, -1:] + movies[:, -1]
    history, pairs = (tuple(map(tf.constant, part.arrays)) for part in (known, held_out))
    found = SampledHead([sampler.draw()]).ratings(history, pairs)
    np.testing.assert_allclose(found, every[held_out.owners, held_out.movies], rtol=1e-3, atol=1e-3)


def test_each_draw_is_asked_once_and_the_prediction_is_that_of_all_draws(world, monkeypatch):
    asked_for = []

    def predict(draw, *pairs):
        asked_for.append(draw)
        return predict_by_draw(draw, *pairs)

    monkeypatch.setattr(sampled_head, "predict_by_draw", predict)
    known, held_out = world
    users = np.arange(known.users)
    sampling = SampledRatings(Sampler(known, 60, 4, seed=1), sweeps=12, draws=5)
    for done in (0.0, 0.5, 0.5, 1.0):
        sampling.advance(done)
        expected = SampledHead(sampling.draws).ratings(known.arrays, held_out.arrays).numpy()
        predicted = sampling.ratings(users, known, held_out)
        np.testing.assert_allclose(predicted, expected, rtol=1e-4, atol=1e-5)
    # The present state while no draw is kept, and then each draw.
    assert [id(draw) for draw in asked_for[1:]] == [id(draw) for draw in sampling.draws]


def test_draws_are_kept_evenly_after_the_first_sixth(world):
    sampling = SampledRatings(Sampler(world[0], 60, 4, seed=1), sweeps=12, draws=5)
    kept = []
    for sweep in range(1, 13):
        sampling.advance(sweep / 12)
        kept.append(len(sampling._draws))
    assert kept == [0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]
    at_once = SampledRatings(Sampler(world[0], 60, 4, seed=1), sweeps=12, draws=5)
    at_once.advance(1.0)
    for one, other in zip(sampling.draws, at_once.draws, strict=True):
        _assert_same(one._asdict(), other._asdict())


def test_until_a_draw_is_kept_the_present_one_counts(world):
    sampling = SampledRatings(Sampler(world[0], 60, 4, seed=1), sweeps=12, draws=2)
    sampling.advance(1 / 12)
    assert len(sampling.draws) == 1
    assert sampling.state().keys() == Sampler(world[0], 60, 4, seed=1).state().keys()


@pytest.mark.parametrize("sweeps", [1, 2, 5])
def test_of_few_sweeps_fewer_draws_are_kept(world, sweeps):
    sampling = SampledRatings(Sampler(world[0], 60, 4, seed=1), sweeps, draws=8)
    sampling.advance(1.0)
    assert len(sampling.draws) == sweeps


def test_restored_draws_and_chain_go_on_bit_for_bit(world):
    known, more = world
    whole = UserRatings.join([known, more])

    def begun():
        return SampledRatings(Sampler(known, 60, 4, seed=1), sweeps=6, draws=3)

    one = begun()
    one.advance(0.7)
    again = begun()
    again.restore(_through_a_file(one.state()))
    for sampling in (one, again):
        sampling.advance(1.0)
    _assert_same(one.state(), again.state())

    # The final refit, from a checkpoint in it: what was before is done again, or restored as a whole.
    one, again = (sampling.go_on_with(whole, 4, 2) for sampling in (one, again))
    one.advance(0.5)
    again.restore(_through_a_file(one.state()))
    for sampling in (one, again):
        sampling.advance(1.0)
    _assert_same(one.state(), again.state())
    assert len(one.draws) == 2


def _ratings(owners, movies, stars, users):
    return UserRatings.group(owners, movies, np.asarray(stars, float), users)


_ODD = {
    "one rating": (_ratings([0], [0], [0.0], 1), 1),
    "one user": (_ratings([0] * 5, range(5), [1, -1, 0, 1, -1], 1), 5),
    "one movie": (_ratings(range(5), [0] * 5, [1, -1, 0, 1, -1], 5), 1),
    "constant ratings": (_grouped(np.ones((40, 30)), np.zeros((40, 30))), 30),
    "exact ratings": (_grouped(np.ones((40, 30)), np.tile([1, -1], (40, 15))), 30),
    "users without ratings": (_ratings([1, 1, 4], [0, 1, 1], [1, -1, 0], 7), 2),
    "movies without ratings": (_ratings([0, 1, 1], [1, 3, 8], [1, -1, 0], 2), 12),
}


@pytest.mark.parametrize("name", _ODD)
def test_odd_data_give_finite_predictions(name):
    ratings, movies = _ODD[name]
    sampling = SampledRatings(Sampler(ratings, movies, 16, seed=1), sweeps=20, draws=3)
    sampling.advance(1.0)
    assert np.isfinite(sampling.error())
    every = np.tile(np.arange(movies, dtype=np.int32), ratings.users)
    splits = np.arange(ratings.users + 1) * movies
    history = tuple(map(tf.constant, ratings.arrays))
    pairs = tuple(map(tf.constant, (every, np.zeros(len(every), np.float32), splits)))
    predicted = SampledHead(sampling.draws).ratings(history, pairs).numpy()
    assert np.abs(predicted).max() < 3.0


def test_ratings_without_noise_are_predicted_exactly():
    # Two genres: each user gives one of two ratings. Regressions on exact ratings are nearly singular.
    every = np.ones((300, 300), bool)
    same = np.arange(300)[:, np.newaxis] % 2 == np.arange(300) % 2
    ratings = _grouped(every, np.where(same, 1.0, -1.0))
    sampling = SampledRatings(Sampler(ratings, 300, 16, seed=1), sweeps=40, draws=3)
    sampling.advance(1.0)
    history = chunk_ratings(*map(tf.constant, ratings.arrays))
    predicted, _ = SampledHead(sampling.draws).predict(history, history)
    np.testing.assert_allclose(history.chunks.collect(predicted), ratings.ratings, atol=0.005)

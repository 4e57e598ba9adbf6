"""Share of biases alone in the ratings."""

import numpy as np
import pytest

from components.train.biases import fit_biases
from components.train.blending import fall_back
from components.train.gibbs import Sampler
from components.train.sampled_head import Draw, SampledRatings
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow

USERS, MOVIES, FACTORS = 120, 300, 4


def _drawn(taste, per_user=12, seed=0):
    """Ratings known and held out, of a world with biases and, times `taste`, of two tastes."""
    random = np.random.default_rng(seed)
    of_users, of_movies = random.normal(size=(USERS, 2)), random.normal(size=(MOVIES, 2))
    owners = np.repeat(np.arange(USERS), 2 * per_user)
    movies = np.concatenate([random.choice(MOVIES, 2 * per_user, replace=False) for _ in range(USERS)])
    biases = random.normal(scale=0.4, size=USERS)[owners] + random.normal(scale=0.4, size=MOVIES)[movies]
    ratings = biases + taste * np.sum(of_users[owners] * of_movies[movies], axis=1)
    ratings += random.normal(scale=0.5, size=len(owners))
    known = np.arange(len(owners)) % 2 == 0
    return [
        UserRatings.group(owners[rows], movies[rows], ratings[rows].astype(np.float32), USERS)
        for rows in (known, ~known)
    ]


def _trained(known, sweeps=12):
    sampled = SampledRatings(Sampler(known, MOVIES, FACTORS, seed=1), sweeps=sweeps, draws=3)
    sampled.advance(1.0)
    return sampled


def _parts(known, held_out):
    for users in np.array_split(np.arange(USERS), 3):
        yield users, known.select(users), held_out.select(users)


def _rmse(sampled, known, held_out):
    errors = [sampled.ratings(*part) - part[2].ratings for part in _parts(known, held_out)]
    return float(np.sqrt(np.mean(np.square(np.concatenate(errors)))))


def test_the_draw_of_biases_predicts_what_the_biases_say():
    known, held_out = _drawn(0.0)
    like = Sampler(known, MOVIES, FACTORS, seed=1).draw()
    sampled = _trained(known)
    sampled.biases = 1.0, Draw.of_biases(known, like)
    fitted = fit_biases(known, MOVIES, 60)
    predicted = np.concatenate([sampled.ratings(*part) for part in _parts(known, held_out)])
    assert np.corrcoef(predicted, fitted.rate(held_out.owners, held_out.movies))[0, 1] > 0.999
    errors = [_rmse(sampled, known, held_out), np.std(held_out.ratings)]
    assert errors[0] < 0.9 * errors[1]


def test_biases_get_a_share_where_the_draws_know_less(capsys):
    known, held_out = _drawn(0.0)
    sampled = _trained(known, sweeps=1)  # a chain that has not settled
    before = _rmse(sampled, known, held_out)
    fall_back(sampled, known, _parts(known, held_out))
    assert sampled.biases is not None
    assert sampled.biases[0] > 0.3
    assert _rmse(sampled, known, held_out) < before - 0.01
    assert "biases of users and movies alone" in capsys.readouterr().err


def test_biases_get_no_share_where_taste_decides():
    known, held_out = _drawn(1.0, per_user=40)
    sampled = _trained(known, sweeps=30)
    fall_back(sampled, known, _parts(known, held_out))
    assert sampled.biases is None


def test_without_validation_rows_nothing_is_chosen():
    known, _ = _drawn(0.0)
    sampled = _trained(known, sweeps=1)
    fall_back(sampled, known, [])
    assert sampled.biases is None


def test_the_saved_head_predicts_what_validation_measured():
    known, held_out = _drawn(0.0)
    sampled = _trained(known)
    sampled.biases = 0.4, Draw.of_biases(known, sampled.draws[0])
    measured = sampled.ratings(np.arange(USERS), known, held_out)
    served = sampled.head().ratings(known.arrays, held_out.arrays)
    np.testing.assert_allclose(served, measured, rtol=1e-4, atol=1e-5)


def test_the_final_refit_keeps_the_share_and_fits_the_biases_anew():
    known, held_out = _drawn(0.0)
    sampled = _trained(known)
    sampled.biases = 0.4, Draw.of_biases(known, sampled.draws[0])
    everything = UserRatings.join([known, held_out])
    share, biases = sampled.go_on_with(everything, sweeps=2, draws=1).biases
    assert share == 0.4
    np.testing.assert_array_equal(
        biases.value_biases[:-1], fit_biases(everything, MOVIES).movies + biases.value_biases[-1]
    )

import dataclasses

import numpy as np
import pytest

from components.errors import UserError
from components.train.optimizer import WarmupCosine
from components.train.settings import (
    FULL,
    IN_BATCH,
    NO_HEAD,
    OLD_NAMES,
    REGRESSION,
    SAMPLED,
    TOP_K,
    NotebookSettings,
    Settings,
    check_feedback,
    current_names,
    declarations,
    first_names,
    override,
)
from components.train.sizing import resolve, score_bytes

pytestmark = pytest.mark.tensorflow


def test_whole_numbers_come_back_from_json():
    changed = override(Settings(), {"steps": 24.0, "learning_rate": 1, "retrieval_loss": "full"})
    assert (changed.steps, changed.learning_rate, changed.retrieval_loss) == (24, 1.0, "full")
    assert isinstance(changed.steps, int)
    assert isinstance(changed.learning_rate, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lerning_rate": 0.1}, "did you mean 'learning_rate'"),
        ({"steps": 2.5}, "steps is 2.5; give a whole number"),
        ({"steps": True}, "give a whole number"),
        ({"steps": "many"}, "give a whole number"),
        ({"steps": None}, "give a whole number"),
        ({"dropout": float("nan")}, "dropout is nan; give a number"),
        ({"steps": float("inf")}, "give a whole number"),
        ({"retrieval_loss": 1}, "retrieval_loss is 1; give top-k, full or in-batch"),
    ],
)
def test_rubbish_is_one_line(values, message):
    with pytest.raises(UserError, match=message):
        override(Settings(), values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 1.0),
        ("validations", 0),
        ("mask_rate", 1.0),
        ("learning_rate", -1.0),
        ("retrieval_loss", "half"),
    ],
)
def test_values_out_of_range(name, value):
    with pytest.raises(UserError, match=f"{name} is {value!r}; give "):
        override(Settings(), {name: value})


def test_places_of_the_loss_are_at_most_the_rated_movies():
    with pytest.raises(UserError, match="top_k is 51; give at most 50"):
        resolve(override(Settings(), {"top_k": 51}), np.full(100, 20), 50)


@pytest.mark.parametrize("preset", [Settings(), NotebookSettings()])
def test_every_setting_accepts_its_default_and_its_bounds(preset):
    for name, kind, setting in declarations(preset):
        assert type(setting.default) is kind
        limits = setting.limits
        for value in [setting.default, *(limits.values if kind is str else (limits.least, limits.greatest))]:
            assert getattr(override(preset, {name: value}), name) == value


def test_earlier_names_are_accepted(capsys):
    old = {"members": 3, "hidden": 8, "masked": 0.3, "divergence_weight": 2.0, "settling": 0.0}
    assert override(Settings(), old) == Settings(
        ensemble_size=3, hidden_units=8, mask_rate=0.3, kl_weight=2.0, final_refit=0.0
    )
    assert "masked is now called mask_rate" in capsys.readouterr().err
    both = {"masked": 0.3, "mask_rate": 0.4, "preset": "default"}
    assert current_names(both) == {"mask_rate": 0.4, "preset": "default"}


def test_the_key_of_a_checkpoint_has_the_earliest_names():
    names = dict.fromkeys([*OLD_NAMES.values(), "steps"], 1)
    assert first_names(names) == dict.fromkeys([*OLD_NAMES, "steps"], 1)
    assert current_names(first_names(names)) == names


def test_sizes_follow_the_data():
    small = resolve(Settings(), np.full(100, 10), 10)
    assert small.mask_rate > 0.45
    assert small.learning_rate < 0.003
    large = resolve(Settings(), np.full(500_000, 200), 1_000_000)
    assert (small.batch_users, small.dimension, small.retrieval_loss) == (12, 128, TOP_K)
    assert (large.mask_rate, large.learning_rate) == (0.2, 0.01)
    assert large.retrieval_l2 == 40.0 < small.retrieval_l2
    assert small.top_k == 1
    assert (resolve(Settings(), np.full(10_000, 100), 640).top_k, large.top_k) == (40, 60)
    assert (small.tower_rate, large.tower_rate) == (1.0, 1.0)
    assert (small.dropout, large.dropout) == (0.7, 0.5)
    million = resolve(Settings(), np.full(10_000, 100), 640)
    assert (million.retrieval_l2, million.tower_rate) == (20.0, 0.3)
    assert (large.batch_users, large.dimension, large.retrieval_loss) == (256, 32, IN_BATCH)


@pytest.mark.parametrize(
    ("users", "ratings_each", "batch"),
    [(500_000, 200, 256), (500_000, 16, 2048), (500_000, 1, 4096), (4000, 16, 500), (20, 16, 8)],
)
def test_a_batch_of_the_sampled_softmax_has_users_enough(users, ratings_each, batch):
    counts = np.full(users, ratings_each)
    assert resolve(Settings(), counts, 1_000_000).batch_users == batch
    assert resolve(Settings(batch_users=99), counts, 1_000_000).batch_users == 99


def test_the_whole_catalogue_is_taken_where_a_batch_of_scores_fits_into_memory():
    users = np.full(5000, 20)
    needed = score_bytes(256, 100_000)
    assert resolve(Settings(ensemble_size=1), users, 100_000, memory=4 * needed).retrieval_loss == TOP_K
    assert (
        resolve(Settings(ensemble_size=1), users, 100_000, memory=4 * needed - 4).retrieval_loss == IN_BATCH
    )
    assert (
        resolve(Settings(ensemble_size=1, retrieval_loss=FULL), users, 100_000, memory=1).retrieval_loss
        == FULL
    )


@pytest.mark.parametrize(
    ("ratings", "steps", "sweeps", "weights", "head"),
    [
        (20_000, 400, 80, 8, SAMPLED),
        (80_000, 400, 80, 16, SAMPLED),
        (1_000_000, 2000, 80, 32, SAMPLED),
        (3_000_000, 2000, 26, 32, SAMPLED),
        (3_001_000, 2000, 26, 32, REGRESSION),
    ],
)
def test_time_follows_the_data(ratings, steps, sweeps, weights, head):
    chosen = resolve(Settings(), np.full(1000, ratings // 1000), 5000)
    assert (chosen.steps, chosen.sweeps, chosen.rating_weights, chosen.rating_head) == (
        steps,
        sweeps,
        weights,
        head,
    )


def test_what_was_given_is_kept():
    given = Settings(
        ensemble_size=2,
        batch_users=7,
        dimension=9,
        retrieval_loss=IN_BATCH,
        top_k=3,
        dropout=0.6,
        mask_rate=0.4,
        retrieval_l2=2.0,
        learning_rate=0.1,
        tower_rate=0.2,
        kl_weight=3.0,
        rating_head=REGRESSION,
        rating_weights=5,
        sweeps=9,
        draws=2,
        steps=7,
        item_item_rank=11,
    )
    assert resolve(given, np.full(1000, 10), 10) == given


def test_the_notebook_has_the_original_hyper_parameters():
    settings = NotebookSettings()
    assert (settings.learning_rate, settings.batch_ratings, settings.epochs) == (0.1, 8192, 3)
    assert (settings.dimension, settings.hidden_units, settings.second_hidden_units) == (32, 256, 128)
    assert (settings.retrieval_weight, settings.rating_weight) == (1.0, 1.0)


def test_the_learning_rate_climbs_and_falls_to_zero():
    rate = WarmupCosine(0.1, 10, 110)
    assert float(rate(0)) == pytest.approx(0.01)
    assert float(rate(9)) == pytest.approx(0.1)
    assert float(rate(60)) == pytest.approx(0.05, rel=1e-3)
    assert float(rate(110)) == pytest.approx(0.0, abs=1e-8)
    assert float(rate(1000)) == pytest.approx(0.0, abs=1e-8)


def test_without_stars_there_is_no_rating_head():
    for ratings_each in (10, 1000):  # of stars: sampled, and regression
        counts = np.full(5000, ratings_each)
        stars, implicit = (resolve(Settings(), counts, 100, feedback=one) for one in ("stars", "implicit"))
        assert stars.rating_head in (SAMPLED, REGRESSION)
        assert implicit.rating_head == NO_HEAD
        assert dataclasses.replace(implicit, **_of_head(stars)) == stars


def _of_head(settings):
    names = ("rating_head", "rating_weights", "draws")
    return {name: getattr(settings, name) for name in names}


@pytest.mark.parametrize(
    ("feedback", "preset", "rating_head", "message"),
    [
        ("implicit", "notebook", "", "--preset notebook learns from stars"),
        ("implicit", "default", SAMPLED, "rating_head is 'sampled', and there are no stars"),
        ("stars", "default", NO_HEAD, "rating_head is 'none', and it is for --feedback implicit"),
    ],
)
def test_a_head_that_does_not_fit_the_feedback_is_refused(feedback, preset, rating_head, message):
    with pytest.raises(UserError, match=message):
        check_feedback(feedback, preset, rating_head)


def test_a_head_that_fits_the_feedback_is_accepted():
    for feedback, head in (("stars", ""), ("stars", SAMPLED), ("implicit", ""), ("implicit", NO_HEAD)):
        check_feedback(feedback, "default", head)

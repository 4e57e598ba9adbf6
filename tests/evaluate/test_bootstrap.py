"""Intervals of the bootstrap and the jackknife: how often they hold the truth, and how they are computed."""

import numpy as np
import pytest
from gate_evidence import resample

from components.evaluate.bootstrap import GROUPS, UserSums, group_of, interval, jackknife

ACCURACY = "top_100_accuracy_unseen"


def _sums(random, users, skill):
    """Users with 1 to 20 rows whose own rates vary around `skill`, so that rows of a user go together."""
    rows = random.integers(1, 21, users)
    rates = random.beta(4 * skill, 4 * (1 - skill), users)
    return UserSums(rows, {ACCURACY: random.binomial(rows, rates).astype(float)})


def test_the_95_percent_interval_holds_the_truth_95_times_in_100():
    random = np.random.default_rng(0)
    held = 0
    for trial in range(400):
        low, high = resample({"model": _sums(random, 200, 0.3)}, seed=trial, resamples=400).interval(
            "model", ACCURACY
        )
        held += low <= 0.3 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_a_difference_is_paired_and_so_far_surer_than_its_parts():
    random = np.random.default_rng(1)
    worse = _sums(random, 500, 0.3)
    better = UserSums(worse.rows, {ACCURACY: np.minimum(worse.columns[ACCURACY] + 1, worse.rows)})
    resampled = resample({"better": better, "worse": worse}, seed=1)
    low, high = resampled.difference("better", "worse", ACCURACY)
    difference = better.metrics()[ACCURACY] - worse.metrics()[ACCURACY]
    assert 0 < low < difference < high
    alone = resampled.interval("better", ACCURACY)
    assert high - low < 0.5 * (alone[1] - alone[0])


def test_rmse_is_resampled_as_a_root_of_a_mean():
    rows = np.full(50, 4)
    sums = UserSums(rows, {"rmse": np.full(50, 4 * 0.81)})
    assert resample({"model": sums}, seed=0).interval("model", "rmse") == pytest.approx((0.9, 0.9), abs=1e-6)


def test_a_single_user_has_an_interval_of_no_width():
    sums = UserSums(np.array([4]), {ACCURACY: np.array([3.0])})
    assert resample({"model": sums}, seed=0).interval("model", ACCURACY) == pytest.approx((0.75, 0.75))


def test_the_seed_decides_and_the_size_of_a_chunk_does_not(monkeypatch):
    sums = {"model": _sums(np.random.default_rng(3), 100, 0.4)}
    once = resample(sums, seed=9).interval("model", ACCURACY)
    assert resample(sums, seed=9).interval("model", ACCURACY) == once
    assert resample(sums, seed=10).interval("model", ACCURACY) != once
    monkeypatch.setattr("components.evaluate.bootstrap._CHUNK_BYTES", 4 * 100 * 7)
    assert resample(sums, seed=9).interval("model", ACCURACY) == pytest.approx(once, abs=1e-6)


def test_what_is_not_finite_or_not_measured_has_no_interval():
    sums = {"model": UserSums(np.array([1, 1]), {"rmse": np.array([np.nan, 1.0])})}
    resampled = resample(sums, seed=0)
    assert resampled.interval("model", "rmse") is None
    assert resampled.interval("model", ACCURACY) is None
    assert resampled.interval("nobody", "rmse") is None
    assert resampled.difference("model", "nobody", "rmse") is None


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(2).normal(size=5000)
    low, high = jackknife(lambda kept: {"mean": float(values[kept].mean())}, 5000)["mean"]
    assert (high - low) / 2 == pytest.approx(2.01 * values.std() / np.sqrt(5000), rel=0.3)
    assert (high + low) / 2 == pytest.approx(values.mean())


def test_few_users_have_no_jackknife():
    assert jackknife(lambda kept: {"any": 1.0}, 2 * GROUPS - 1) == {}


def test_two_users_in_each_group_are_enough_for_a_jackknife():
    """Of 0 and 1 in turn, a mean without a group is 50/98 or 48/98, so that it differs by 1/98."""
    values = np.tile([0.0, 1.0], GROUPS)
    low, high = jackknife(lambda kept: {"mean": float(values[kept].mean())}, 2 * GROUPS)["mean"]
    assert (low, high) == pytest.approx((0.5 - 2.0096 / 14, 0.5 + 2.0096 / 14))


def test_a_figure_that_is_unknown_without_some_group_has_no_bounds():
    found = jackknife(lambda kept: {"first": 1.0} if kept[0] else {}, 2 * GROUPS)
    assert np.isnan(found["first"]).all()


def test_users_are_assigned_to_the_groups_in_turn():
    assert group_of(102)[[0, 1, 49, 50, 101]].tolist() == [0, 1, 49, 0, 1]


def test_the_margin_of_an_interval_is_students_times_the_standard_error():
    without = np.tile([0.9, 1.1], GROUPS // 2)
    assert interval(3.0, without) == pytest.approx((3.0 - 2.0096 * 0.7, 3.0 + 2.0096 * 0.7))

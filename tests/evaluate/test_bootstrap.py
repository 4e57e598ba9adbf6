"""Intervals: how often they hold the truth, and that they compare pair by pair."""

import numpy as np
import pytest
from gate_evidence import resample

from components.evaluate.bootstrap import UserSums

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

"""The draws of the bootstrap: how many there are, of what kind, and what they are percentiles of."""

import numpy as np
import pytest
from gate_evidence import resample

from components.evaluate import bootstrap
from components.evaluate.bootstrap import Resampled, UserSums

_SUMS = {"model": UserSums(np.array([4, 2, 3]), {"rmse": np.array([4.0, 1.0, 2.0])})}


@pytest.mark.parametrize("chunk", [1, 4 * 3 * 4, 1 << 20])
def test_there_are_as_many_draws_as_were_asked_for_however_they_are_made(monkeypatch, chunk):
    monkeypatch.setattr(bootstrap, "_CHUNK_BYTES", chunk)
    assert resample(_SUMS, seed=0, resamples=9).draws["model"]["rmse"].shape == (9,)


def test_all_draws_are_of_single_precision():
    assert resample(_SUMS, seed=0, resamples=2).draws["model"]["rmse"].dtype == np.float32


def test_an_interval_leaves_out_a_fortieth_on_either_side():
    draws = np.arange(41, dtype=np.float32)
    resampled = Resampled(draws={"one": {"rmse": draws}, "other": {"rmse": draws[::-1]}})
    assert resampled.interval("one", "rmse") == pytest.approx((1.0, 39.0))
    assert resampled.difference("one", "other", "rmse") == pytest.approx((-38.0, 38.0))


@pytest.mark.parametrize("pair", [("one", "nobody"), ("nobody", "one"), ("nobody", "nobody")])
def test_there_is_no_difference_to_a_scorer_that_was_not_measured(pair):
    assert Resampled(draws={"one": {"rmse": np.ones(3)}}).difference(*pair, "rmse") is None


def test_rows_are_counted_and_users_only_if_they_have_some():
    sums = {"model": UserSums(np.array([4, 0, 5]), {"rmse": np.array([4.0, 0.0, 5.0])})}
    found = resample(sums, seed=0, resamples=2)
    assert (found.rows, found.users, found.metrics) == (9, 2, {"model": {"rmse": 1.0}})


def test_nothing_resampled_is_nothing():
    assert resample({}, seed=0) == Resampled(rows=0, users=0, metrics={}, draws={}, intervals={})

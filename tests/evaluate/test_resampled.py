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


def test_scorers_with_the_same_sums_have_the_same_draws_to_the_last_bit():
    random = np.random.default_rng(0)
    others = {f"{number}": {name: random.random(50) for name in ("mrr", "mae")} for number in range(9)}
    columns = {
        "first": others["4"],
        **others,
        "last": {name: one.copy() for name, one in others["4"].items()},
    }
    draws = resample({name: UserSums(np.full(50, 3), one) for name, one in columns.items()}, seed=1).draws
    for metric in ("mrr", "mae"):
        assert np.array_equal(draws["first"][metric], draws["last"][metric])
        assert not np.array_equal(draws["first"][metric], draws["5"][metric])


def test_columns_that_are_alike_are_added_up_once():
    one, other = np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])  # of the same sum
    columns, places = bootstrap._distinct([one, other, one.copy(), np.array([1, 2, 3]), other])
    assert [column.tolist() for column in columns] == [one.tolist(), other.tolist()]
    assert places.tolist() == [0, 1, 0, 0, 1]


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

"""The loss that rows can show, and the rows that a margin needs."""

import numpy as np
import pytest

from components import power


def test_a_loss_of_the_size_that_is_named_is_shown_in_four_cases_of_five():
    random, error = np.random.default_rng(0), 0.01
    loss = power.detectable_loss((-1.96 * error, 1.96 * error))
    measured = random.normal(loss, error, 20_000)
    assert np.mean(measured - 1.96 * error > 0) == pytest.approx(0.8, abs=0.01)


def test_four_times_the_rows_show_half_the_loss():
    assert power.rows_needed(1000, 0.02, 0.01) == 4000
    assert power.rows_needed(1000, 0.01, 0.01) == 1000
    assert power.rows_needed(1000, 0.0200001, 0.01) == 4001


@pytest.mark.parametrize("rows", [0, 1, 1200, 9811])
def test_few_test_rows_are_foretold_to_decide_little(rows):
    told = power.foretell(rows)
    assert told.startswith(f"{rows:,} test rows decide little: ")
    assert told.endswith("about 9,812 test rows are needed for 1")
    lost = {0: "99.1", 1: "99.1", 1200: "2.9", 9811: "1.0"}[rows]
    assert f"less than about {lost} of 100 movies found" in told


def test_enough_test_rows_are_not_worth_a_word():
    assert power.foretell(9812) == ""

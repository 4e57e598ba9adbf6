"""The gate's benchmarks: every broken model of a small world is refused for the right reason."""

import gate_power
import numpy as np
import pytest
from small_worlds import BROKEN, World


@pytest.fixture(scope="module")
def world():
    return World.draw(600, 60)


def test_a_good_model_of_a_small_catalogue_is_blessed(world):
    verdict = world.judge(world.truth)
    assert (verdict.blessed, verdict.k) == (True, 6), verdict.reason


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_of_a_small_catalogue_is_refused(world, name):
    spoil, rules = BROKEN[name]
    verdict = world.judge(spoil(world, np.random.default_rng(0)))
    assert not verdict.blessed
    assert verdict.failing[0].name in rules


def test_few_users_leave_a_loss_undecided_and_many_show_it():
    random = np.random.default_rng(0)
    few, many = (gate_power.shares(0.02, users, 40, random)[0] for users in (300, 3000))
    assert 20 <= int(few.partition(" ")[0]) <= 65
    assert many.startswith("100 ")


def test_steps_down_do_not_add_up():
    for step, gate, published in ((0.01, "as it is", 8), (0.01, "before", 60)):
        ends = [gate_power._retrain(300, step, gate, np.random.default_rng(seed))[0] for seed in range(3)]
        assert (np.mean(ends) <= published) == (gate == "as it is"), ends

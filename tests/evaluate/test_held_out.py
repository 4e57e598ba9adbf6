"""Whose held-out ratings are measured."""

import numpy as np
import pytest
from held_out_world import grouped

from components.evaluate import held_out
from components.evaluate.held_out import HeldOut
from components.vocabulary.vocabulary import Vocabulary

USERS, MOVIES = 40, 5
KNOWN = {(user, 0): 3.0 for user in range(USERS)}
# Every other user has held-out ratings, user u as many as 1 + u % 4.
ASKED = {(user, 1 + n): 1.0 + n for user in range(0, USERS, 2) for n in range(1 + user % 4)}
NAMES = Vocabulary(
    np.array([f"u{user}" for user in range(USERS)], object),
    np.array([f"m{movie}" for movie in range(MOVIES)], object),
    np.array(["title"] * MOVIES, object),
    np.full(MOVIES, 1999, np.int32),
    USERS,
)


def measured():
    return HeldOut.of(grouped(ASKED, USERS), grouped(KNOWN, USERS), NAMES, (1.0, 5.0))


def pairs(world):
    users = world.users[world.user_of_pair]
    return dict(zip(zip(users, world.pairs.movies, strict=True), world.pairs.ratings, strict=True))


def test_everybody_is_where_that_can_be_afforded():
    world = measured()
    assert pairs(world) == ASKED
    assert world.population == len(world.users) == USERS // 2


@pytest.mark.parametrize(
    ("scores", "fewest", "users"), [(60, 3, 12), (60, 15, 15), (100, 3, 20), (99, 3, 19)]
)
def test_else_some_users_with_all_their_pairs(monkeypatch, capsys, scores, fewest, users):
    monkeypatch.setattr(held_out, "_MOST_SCORES", scores)
    monkeypatch.setattr(held_out, "_FEWEST_USERS", fewest)
    world = measured()
    assert len(world.users) == users
    assert world.population == USERS // 2
    assert pairs(world) == {pair: stars for pair, stars in ASKED.items() if pair[0] in set(world.users)}
    assert list(world.user_ids) == [f"u{user}" for user in world.users]
    said = f"of {USERS // 2} users with held-out ratings {users} are measured"
    assert (said in capsys.readouterr().err) == (users < USERS // 2)


def test_the_sample_is_the_same_each_time_and_not_the_first_ones(monkeypatch):
    monkeypatch.setattr(held_out, "_MOST_SCORES", 50)
    monkeypatch.setattr(held_out, "_FEWEST_USERS", 1)
    one, other = measured(), measured()
    np.testing.assert_array_equal(one.users, other.users)
    assert one.users[-1] > USERS // 2
    assert np.all(np.diff(one.users) > 0)

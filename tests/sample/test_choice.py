"""Which movies generated users watch: both ways of choosing come to the same."""

import numpy as np
import pytest

from components.sample import world

GENRES = np.array([0, 1, 0, 2, 1, 2], np.int8)
POPULARITY = np.array([8, 4, 2, 1, 1, 3], np.float32)
PREFERENCES = np.array([[0.5, -0.5, 0.0]], np.float32)


@pytest.fixture
def draw_by_draw(monkeypatch):
    """Takes every table for one that is too large to be filled."""
    monkeypatch.setattr(world, "_LARGEST_TABLE", 0)
    monkeypatch.setattr(world, "_SPARSE", 1.0)


def chosen(activity, preferences=PREFERENCES, genres=GENRES, popularity=POPULARITY):
    blocks = list(world.choices(np.random.default_rng(3), preferences, activity, genres, popularity))
    return tuple(np.concatenate(part) for part in zip(*blocks, strict=True))


def shares(users=40_000, watched=2):
    """How many users watch each movie, of users who are all alike."""
    preferences = np.repeat(PREFERENCES, users, axis=0)
    owners, movies = chosen(np.full(users, watched), preferences)
    assert (np.bincount(owners, minlength=users) == watched).all()
    assert len(set(zip(owners, movies, strict=True))) == users * watched
    return np.bincount(movies, minlength=len(GENRES)) / users


def expected():
    """The chances by the definition, for two movies each: the first by weight, the next among the others."""
    weights = POPULARITY * np.exp(1.5 * PREFERENCES[0, GENRES])
    first = weights / weights.sum()
    odds = first / (1 - first)
    return first + first * (odds.sum() - odds)


def test_a_race_gives_each_movie_its_chance():
    np.testing.assert_allclose(shares(), expected(), atol=0.01)


@pytest.mark.usefixtures("draw_by_draw")
def test_drawing_gives_each_movie_the_same_chance():
    np.testing.assert_allclose(shares(), expected(), atol=0.01)


@pytest.mark.usefixtures("draw_by_draw")
@pytest.mark.parametrize("draws", [1, 5, 4_000_000])
def test_every_user_watches_as_many_movies_as_asked_for_whatever_the_blocks(monkeypatch, draws):
    monkeypatch.setattr(world, "_DRAWS", draws)
    activity = np.array([6, 1, 3, 5, 2])
    owners, movies = chosen(activity, np.repeat(PREFERENCES, 5, axis=0))
    np.testing.assert_array_equal(np.bincount(owners), activity)
    assert len(set(zip(owners, movies, strict=True))) == activity.sum()


def test_in_a_large_table_users_who_watch_most_movies_race(monkeypatch):
    monkeypatch.setattr(world, "_LARGEST_TABLE", 0)
    monkeypatch.setattr(world, "_SPARSE", 0.5)
    activity = np.array([6, 1, 3, 5, 2])
    owners, movies = chosen(activity, np.repeat(PREFERENCES, 5, axis=0))
    np.testing.assert_array_equal(np.bincount(owners), activity)
    assert len(set(zip(owners, movies, strict=True))) == activity.sum()

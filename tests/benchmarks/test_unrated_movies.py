"""The benchmark of movies without ratings: its baseline and its measure."""

import numpy as np
import pytest
from artifacts import ratings_by_user

pytestmark = pytest.mark.tensorflow


def test_popularity_is_that_of_the_decade_and_of_a_genre_in_common():
    from unrated_movies import popularity_alike

    from components.train.content import Descriptions

    described = Descriptions(
        titles=np.full(5, "", object),
        years=np.array([1991, 1999, 1995, 2005, 1992], np.int32),
        genres=np.array(["Drama", "Drama|War", "War|Drama", "Drama", "Comedy"], object),
    )
    counts = np.array([10, 30, 0, 50, 0])
    # Drama of the nineties has 20 on average, war films 30; there is no rated comedy.
    np.testing.assert_allclose(popularity_alike(described, counts), [10, 30, 25, 50, 0])


def test_a_movie_among_the_best_unseen_is_a_hit_and_a_tie_is_none():
    from unrated_movies import World, recall

    known, asked = ratings_by_user([{0: 5.0}, {}]), ratings_by_user([{1: 1.0, 2: 1.0}, {3: 1.0}])
    scores = np.array([[9.0, 3.0, 2.0, 1.0], [5.0, 4.0, 3.0, 3.0]])
    world = World(left=None, known=known, asked=asked)
    everything = np.ones(4, bool)
    assert recall(lambda users: scores[users], world, everything, 1) == pytest.approx(1 / 3)
    assert recall(lambda users: scores[users], world, everything, 2) == pytest.approx(2 / 3)
    assert recall(lambda users: scores[users], world, everything, 3) == pytest.approx(2 / 3)
    assert recall(lambda users: scores[users], world, np.array([0, 0, 1, 1], bool), 1) == pytest.approx(1 / 3)

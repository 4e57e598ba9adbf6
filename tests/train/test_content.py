"""Content features: the tokeniser, the ridge regression, and where movies without ratings are placed."""

import numpy as np
import pytest
import tensorflow as tf

from components.train.content import (
    Descriptions,
    RidgeRegression,
    SampleUsers,
    count_features,
    fit_content,
    shift_to,
    tokenize,
)
from components.vocabulary.interactions import UserRatings
from components.vocabulary.vocabulary import Vocabulary

pytestmark = pytest.mark.tensorflow


def described(titles, years, genres):
    return Descriptions(np.array(titles, object), np.array(years, np.int32), np.array(genres, object))


def test_features_are_words_periods_and_genres() -> None:
    films = described(
        ["Amélie, la VIE: 2", "", "東京"], [1999, 0, 2001], ["Sci-Fi|Science Fiction", "", "||Drama|"]
    )
    assert [
        [token.decode() for token in movie] for movie in tokenize(*films.inputs()).to_list()
    ] == [
        ["word amélie", "word la", "word vie", "word 2", "year 1999", "decade 199", "genre sci-fi",
         "genre science_fiction"],
        [],
        ["word 東京", "year 2001", "decade 200", "genre drama"],
    ]  # fmt: skip


def test_only_features_of_several_movies_count() -> None:
    names, features = count_features(described(["New New York", "York", "Rome"], [0, 0, 0], ["", "", ""]))
    assert [name.decode() for name in names] == ["word new", "word york"]
    np.testing.assert_array_equal(features, [[2, 1], [0, 1], [0, 0]])


def test_what_is_left_out_is_predicted_by_a_regression_without_it() -> None:
    random = np.random.default_rng(0)
    features, weights = random.integers(0, 2, (30, 4)).astype(float), random.uniform(0.1, 1, 30)
    targets = features @ random.normal(size=(4, 3)) + random.normal(size=(30, 3))
    whole = RidgeRegression(features, weights).fit(targets, np.eye(3))

    def alone(ridge, rows):
        share = weights[rows] / weights[rows].sum()
        centred, around = features[rows] - share @ features[rows], share @ targets[rows]
        # The weights are relative to the mean of all movies.
        scaled = weights[rows, np.newaxis] / weights.mean()
        gram = centred.T @ (centred * scaled) + ridge * np.eye(4)
        coefficients = np.linalg.solve(gram, centred.T @ ((targets[rows] - around) * scaled))
        return coefficients, around - share @ features[rows] @ coefficients

    def predicted(ridge, row):
        coefficients, intercept = alone(ridge, np.arange(30) != row)
        return features[row] @ coefficients + intercept

    errors = {
        ridge: sum(weights[row] * np.sum((targets[row] - predicted(ridge, row)) ** 2) for row in range(30))
        for ridge in (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
    }
    best = min(errors, key=errors.__getitem__)
    np.testing.assert_allclose(whole.left_out, [predicted(best, row) for row in range(30)])
    np.testing.assert_allclose(whole.coefficients, alone(best, np.arange(30))[0])


def test_targets_that_matter_more_choose_the_strength() -> None:
    random = np.random.default_rng(1)
    features = random.integers(0, 2, (200, 20)).astype(float)
    signal, noise = features @ random.normal(size=20), random.normal(size=200)
    targets = np.column_stack([signal, noise])
    regression = RidgeRegression(features, np.ones(200))
    by_signal = regression.fit(targets, np.diag([1.0, 0.0]))
    by_noise = regression.fit(targets, np.diag([0.0, 1.0]))
    assert np.abs(by_signal.coefficients).sum() > 2 * np.abs(by_noise.coefficients).sum()


def test_a_shift_brings_as_many_places_as_asked_for() -> None:
    margins = np.random.default_rng(2).normal(size=(50, 40))
    shift = shift_to(margins, 3)
    assert np.count_nonzero(margins + shift >= 0) == 150


MOVIES, UNRATED = 200, (150, 151)


def genre_world(genres=("Even", "Odd"), years=(0, 0), titles=("", ""), without=UNRATED):
    """Users like even or odd movies; the movies `without` have no ratings, by default one of each."""
    random = np.random.default_rng(3)
    side = np.where(np.arange(MOVIES) % 2, -1.0, 1.0)
    vectors = np.column_stack([side, np.zeros(MOVIES)]) + random.normal(scale=0.3, size=(MOVIES, 2))
    counts = random.integers(5, 50, MOVIES)
    counts[list(without)] = 0
    vectors[list(without)] = 0, -9
    queries = np.tile([[1.0, 1.0], [-1.0, 1.0]], (20, 1))
    seen = UserRatings.group(np.arange(40), random.integers(0, 100, 40), np.full(40, 3.0), 40)
    films = described(*(np.resize(part, MOVIES) for part in (titles, years, genres)))
    users = SampleUsers(queries.astype(np.float32), queries[:, :1].astype(np.float32), seen)
    stars = vectors[:, :1].astype(np.float32), np.full(MOVIES, 3.0, np.float32)
    return fit_content(films, counts, vectors.astype(np.float32), stars, users), films


def test_movies_without_ratings_are_placed_by_their_genre() -> None:
    content, films = genre_world()
    assert content is not None
    assert sorted(content.candidates) == list(content.movies) == list(UNRATED)
    vectors = content.vectors[np.argsort(content.candidates)]
    assert vectors[0, 0] > 0.8
    assert vectors[1, 0] < -0.8
    assert content.rating_vectors[0, 0] > 0.8
    np.testing.assert_allclose(content.rating_biases, 3.0, rtol=1e-4)
    new = content.tower(*films.select(np.array(UNRATED)).inputs())
    assert (new["vector"][:, -1] > vectors[:, -1]).numpy().all()


def test_few_of_very_many_unrated_movies_get_vectors() -> None:
    content, _ = genre_world(without=range(60, MOVIES))
    assert content is not None
    assert len(content.movies) == 140
    assert len(set(content.candidates)) == len(content.vectors) == 30, "half as many as are rated"


def test_a_new_movie_is_above_others_for_those_who_like_its_genre() -> None:
    content, films = genre_world()
    assert content is not None
    vectors = content.tower(*films.inputs())["vector"].numpy()
    scores = np.array([[1.0, 1.0], [-1.0, 1.0]]) @ vectors.T
    assert scores[0, 0] > scores[0, 1]
    assert scores[1, 1] > scores[1, 0]


def test_years_and_words_count_too() -> None:
    for part in ({"years": (1990, 2010)}, {"titles": ("Alien", "Love")}):
        content, _ = genre_world(**{"genres": ("", ""), **part})
        assert content is not None
        assert content.vectors[np.argmin(content.candidates), 0] > 0.8


def test_nothing_is_placed_where_nothing_is_known() -> None:
    content, _ = genre_world(genres=("", ""))
    assert content is None


def test_ids_are_no_titles_and_old_vocabularies_have_no_genres() -> None:
    names = Vocabulary(
        user_ids=np.array([], object),
        movie_ids=np.array(["1", "2"], object),
        titles=np.array(["1", "Up"], object),
        years=np.array([0, 2009], np.int32),
        training_users=0,
    )
    tokens = tokenize(*Descriptions.of(names).inputs())
    assert tokens.to_list() == [[], [b"word up", b"year 2009", b"decade 200"]]


def test_no_movie_at_all_can_be_asked_for() -> None:
    content, films = genre_world()
    assert content is not None
    answer = content.tower(*films.select(np.array([], int)).inputs())
    assert answer["vector"].shape == (0, 2)
    assert tf.size(answer["features"]) == 0

"""Baselines on worlds whose right answer is known."""

import tracemalloc

import numpy as np
import pytest
from held_out_world import grouped, held_out_of

from components.evaluate.baselines import (
    FITS,
    Bias,
    Ease,
    Factors,
    GlobalMean,
    ItemKnn,
    Popularity,
)
from components.evaluate.scoring import score
from components.evaluate.user_sums import user_sums
from components.metrics import BASELINES, at_k
from components.train.biases import fit_biases
from components.vocabulary.interactions import UserRatings


def test_popularity_ranks_by_the_number_of_known_ratings():
    known = {(0, 1): 1.0, (1, 1): 1.0, (2, 1): 2.0, (0, 2): 5.0, (1, 2): 5.0, (0, 0): 5.0}
    held_out = held_out_of(known, {(2, 0): 5.0, (2, 2): 5.0, (2, 3): 5.0}, 3, 4)
    scored = score(Popularity(held_out.known, 4), held_out, "popularity")
    assert scored.ranks.tolist() == [2, 1, 3]
    assert scored.unseen_ranks.tolist() == [1, 0, 2]
    assert scored.ratings is None


def test_eight_rated_movies_are_all_among_the_hundred_most_popular():
    known = {(user, movie): 3.0 for user in range(9) for movie in range(8) if (user + movie) % 3}
    test = {(user, movie): 3.0 for user in range(9) for movie in range(8) if (user + movie) % 3 == 0}
    held_out = held_out_of(known, test, 9, 500)
    metrics = user_sums(score(Popularity(held_out.known, 500), held_out, "popularity"), held_out).metrics()
    assert metrics["top_100_accuracy"] == metrics["top_100_accuracy_unseen"] == 1.0


def test_the_global_mean_is_that_of_the_known_ratings():
    held_out = held_out_of({(0, 0): 2.0, (0, 1): 5.0}, {(0, 2): 1.0}, 1, 3)
    assert score(GlobalMean(held_out.known, 3), held_out, "mean").ratings.tolist() == [3.5]


def test_biases_are_found_where_there_is_enough_to_find_them():
    random = np.random.default_rng(0)
    users, movies = random.normal(0, 0.4, 300), random.normal(0, 0.6, 80)
    known = {
        (user, movie): 3.5 + users[user] + movies[movie] + random.normal(0, 0.5)
        for user in range(300)
        for movie in range(80)
        if random.random() < 0.5
    }
    fitted = fit_biases(grouped(known, 300), 80)
    centred = users - users.mean()
    assert np.corrcoef(fitted.users, centred)[0, 1] > 0.95
    assert np.corrcoef(fitted.movies, movies)[0, 1] > 0.98
    assert np.std(fitted.movies) == pytest.approx(np.std(movies), rel=0.1)


def test_a_bias_shrinks_with_how_little_is_known():
    """A movie rated 5 by one user moves less than one rated 5 by twenty; one without ratings not at all."""
    random = np.random.default_rng(1)
    known = {(user, movie): float(random.integers(1, 6)) for user in range(40) for movie in range(10)}
    known |= {(0, 10): 5.0} | {(user, 11): 5.0 for user in range(20)}
    movies = fit_biases(grouped(known, 41), 13).movies
    assert 0 < movies[10] < movies[11] < 2
    assert movies[12] == 0


def test_a_user_or_movie_without_ratings_is_rated_by_the_rest():
    known = {(user, movie): float(1 + movie) for user in range(30) for movie in range(5)}
    held_out = held_out_of(known, {(30, 4): 5.0, (0, 6): 3.0}, 31, 7)
    stars = score(Bias(held_out.known, 7), held_out, "bias").ratings
    assert stars[1] == pytest.approx(4.9, abs=0.15)
    assert stars[0] == pytest.approx(3.0, abs=0.05)


def test_ratings_without_any_spread_are_no_trouble():
    fitted = fit_biases(grouped({(0, 0): 4.0, (1, 1): 4.0}, 2), 2)
    assert fitted.mean == 4
    assert not fitted.users.any()
    assert not fitted.movies.any()


def _pairs_world():
    """Users like either the even or the odd movies; each user's last movie of that kind is held out."""
    known, test = {}, {}
    for user in range(60):
        liked = [movie for movie in range(20) if movie % 2 == user % 2]
        hidden = liked[user % 10]
        known |= {(user, movie): 4.0 for movie in liked if movie != hidden}
        test[user, hidden] = 4.0
    return held_out_of(known, test, 60, 25)


@pytest.mark.parametrize("covered", [20, 12])
def test_ease_recommends_what_goes_together(covered):
    """Every hidden movie is the best unseen one, also where only some of the movies are covered."""
    held_out = _pairs_world()
    scored = score(Ease(held_out.known, 25, regularisation=1.0, max_movies=covered), held_out, "ease")
    within = np.isin(
        held_out.pairs.movies, np.argsort(-np.bincount(held_out.known.movies), kind="stable")[:covered]
    )
    assert (scored.unseen_ranks[within] == 0).all()
    assert within.all() or (scored.unseen_ranks[~within] > 0).all()


def test_ease_is_the_closed_form_of_its_paper():
    random = np.random.default_rng(4)
    known = {(user, movie): 3.0 for user in range(30) for movie in range(6) if random.random() < 0.5}
    held_out = held_out_of(known, {(user, 6): 3.0 for user in range(30)}, 30, 7)
    x = np.zeros((30, 6))
    x[tuple(np.array(list(known)).T)] = 1
    precision = np.linalg.inv(x.T @ x + 2.0 * np.eye(6))
    b = np.eye(6) - precision / np.diag(precision)
    order = [int(movie) for movie in range(6)]
    ease = Ease(held_out.known, 7, regularisation=2.0)
    predictions = ease.predict(next(held_out.batches(30)))
    scores = predictions.retrieval[:, predictions.columns.of_movie]
    np.testing.assert_allclose(scores[:, order], x @ b, atol=1e-5)
    assert (scores[:, 6] < scores[:, order].min(axis=1)).all()


def test_ease_learns_from_a_sample_of_users_where_counting_all_would_take_long(monkeypatch):
    monkeypatch.setattr("components.evaluate.baselines._MAX_COUNTING", 30 * 20**2)
    held_out = _pairs_world()
    scored = score(Ease(held_out.known, 25, regularisation=1.0), held_out, "ease")
    assert np.mean(scored.unseen_ranks == 0) >= 0.9


def test_ease_orders_what_it_does_not_take_by_popularity_below_all_else():
    known = {(user, movie): 3.0 for movie in range(5) for user in range(9 - movie)}
    held_out = held_out_of(known, {(8, 4): 3.0}, 9, 7)
    ease = Ease(held_out.known, 7, regularisation=1.0, max_movies=2)
    predictions = ease.predict(next(held_out.batches(1)))
    scores = predictions.retrieval[0, predictions.columns.of_movie]
    assert min(scores[:2]) > scores[2] > scores[3] > scores[4] > scores[5] == scores[6]


def _cosines(known, users, movies):
    rated = np.zeros((users, movies))
    for cell in known:
        rated[cell] = 1
    common = rated.T @ rated
    np.fill_diagonal(common, 0)
    counts = rated.sum(axis=0)
    lengths = np.sqrt(np.outer(counts, counts))
    cosines = np.divide(common, lengths, out=np.zeros_like(common), where=lengths > 0)
    return rated, cosines * common / (common + 10), counts


@pytest.mark.parametrize("at_once", [1, 100, 1 << 20])
def test_nearest_movies_are_those_of_the_shrunk_cosine(monkeypatch, at_once):
    monkeypatch.setattr("components.evaluate.baselines._PAIRS_AT_ONCE", at_once)
    random = np.random.default_rng(6)
    known = {(user, movie): 3.0 for user in range(40) for movie in range(9) if random.random() < 0.4}
    held_out = held_out_of(known, {(user, 9): 3.0 for user in range(40)}, 40, 10)
    rated, cosines, counts = _cosines(known, 40, 10)
    for movie in range(10):
        cosines[movie, np.argsort(-cosines[movie], kind="stable")[3:]] = 0
    scores = ItemKnn(held_out.known, 10, neighbours=3).predict(next(held_out.batches(40))).retrieval
    np.testing.assert_allclose(scores, rated @ cosines + 1e-9 * counts, atol=1e-6)


def test_nearest_movies_are_found_in_a_sample_of_a_movies_raters(monkeypatch):
    monkeypatch.setattr("components.evaluate.baselines._ROWS_A_MOVIE", 100)
    held_out = _pairs_world()
    scored = score(ItemKnn(held_out.known, 25), held_out, "item_knn")
    assert np.mean(scored.unseen_ranks == 0) >= 0.9


def test_the_raters_of_a_very_popular_movie_are_sampled_evenly():
    """60,000 rated movie 0, every other one of them movie 1; the products are beyond 32 bits."""
    known = {(user, movie): 3.0 for user in range(60_000) for movie in range(2 - user % 2)}
    held_out = held_out_of(known, {(1, 1): 3.0}, 60_000, 3)
    scores = ItemKnn(held_out.known, 3).predict(next(held_out.batches(1))).retrieval[0]
    assert scores[1] == pytest.approx(0.5**0.5, rel=0.01)


def test_nearest_movies_of_nothing_are_the_most_rated():
    known = {(user, movie): 3.0 for movie in range(4) for user in range(9 - movie)}
    held_out = held_out_of(known, {(9, 2): 3.0}, 10, 6)
    scores = ItemKnn(held_out.known, 6).predict(next(held_out.batches(1))).retrieval[0]
    assert scores[0] > scores[1] > scores[2] > scores[3] > scores[4] == scores[5]


@pytest.mark.parametrize("most_rows", [10**9, 2000])
def test_factors_find_what_biases_cannot(monkeypatch, most_rows):
    """Stars are 4 where user and movie are of one kind and 2 where not: no bias tells them apart."""
    monkeypatch.setattr("components.evaluate.baselines._MAX_ROWS", most_rows)
    random = np.random.default_rng(5)
    stars = {(user, movie): 3.0 + (-1) ** (user + movie) for user in range(120) for movie in range(40)}
    held = {pair for pair in stars if random.random() < 0.2}
    known = {pair: value for pair, value in stars.items() if pair not in held}
    held_out = held_out_of(known, {pair: stars[pair] for pair in held}, 121, 41)
    errors = {}
    for name, baseline in (("bias", Bias(held_out.known, 41)), ("factors", Factors(held_out.known, 41))):
        errors[name] = user_sums(score(baseline, held_out, name), held_out).metrics()["rmse"]
    assert errors["bias"] > 0.9
    assert errors["factors"] < 0.2


def test_factors_of_an_unknown_user_or_movie_add_nothing():
    known = {(user, movie): float(1 + (user + movie) % 5) for user in range(20) for movie in range(10)}
    held_out = held_out_of(known, {(20, 3): 3.0, (0, 10): 3.0}, 21, 11)
    by_factors, by_bias = (
        score(baseline, held_out, "x").ratings
        for baseline in (Factors(held_out.known, 11), Bias(held_out.known, 11))
    )
    np.testing.assert_allclose(by_factors, by_bias, atol=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_answers_every_user_with_finite_figures(name):
    """The contract that a baseline passes by being listed: also for a user and a movie without ratings."""
    random = np.random.default_rng(5)
    known = {(user, movie): float(random.integers(1, 6)) for user in range(12) for movie in range(user, 20)}
    test = {(user, movie): 3.0 for user in range(14) for movie in (0, 21)}
    held_out = held_out_of({**known, (13, 2): 4.0}, test, 14, 22)
    answers = score(FITS[name][0](held_out.known, 22), held_out, name)
    assert answers.non_finite_users == 0
    assert (answers.ranks is None) != (answers.ratings is None)
    metrics = BASELINES[name].gate_metrics
    assert {at_k(metric, held_out.k) for metric in metrics} <= user_sums(answers, held_out).metrics().keys()
    if answers.ratings is not None:
        assert ((answers.ratings >= 1) & (answers.ratings <= 5)).all()
    else:
        recommended = [movie for movie in answers.lists[0].tolist() if movie >= 0]
        assert sorted(set(recommended)) == [20, 21]


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr("components.vocabulary.interactions.PIECE", 2_000)


def _many_ratings(users, movies, each):
    """Ratings of `each` movies by every user, where two users rate alike if their numbers do."""
    random = np.random.default_rng(7)
    taken = np.sort(random.random((users, movies)).argsort(axis=1)[:, :each], axis=1)
    stars = random.integers(1, 6, taken.size)
    return UserRatings(
        taken.ravel().astype(np.int32), stars.astype(np.float32), np.arange(users + 1, dtype=np.int64) * each
    )


@pytest.mark.usefixtures("small_pieces")
def test_biases_are_the_same_by_pieces_as_at_once(monkeypatch):
    known = _many_ratings(300, 100, 40)
    by_pieces = fit_biases(known, 101)
    monkeypatch.setattr("components.vocabulary.interactions.PIECE", 1 << 22)
    at_once = fit_biases(known, 101)
    assert by_pieces.mean == at_once.mean
    np.testing.assert_allclose(by_pieces.users, at_once.users, atol=1e-6)
    np.testing.assert_allclose(by_pieces.movies, at_once.movies, atol=1e-6)


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("name", sorted(FITS))
def test_a_baseline_holds_few_bytes_a_rating(name, monkeypatch):
    """The ratings may be mapped; what is made of them is bounded, or a small part of them."""
    monkeypatch.setattr("components.evaluate.baselines._MAX_ROWS", 2_000)
    monkeypatch.setattr("components.evaluate.baselines._MOST_CO_RATINGS", 2_000)
    monkeypatch.setattr("components.evaluate.baselines._USERS_AT_ONCE", 100)
    monkeypatch.setattr("components.evaluate.baselines._PAIRS_AT_ONCE", 500)
    monkeypatch.setattr("components.evaluate.baselines._MAX_COUNTING", 50**2 * 200)
    known, fit = _many_ratings(40_000, 50, 20), FITS[name][0]
    tracemalloc.start()
    try:
        fit(known, 50)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * len(known.movies)


def test_neighbours_are_found_in_a_sample_of_the_ratings(monkeypatch):
    monkeypatch.setattr("components.evaluate.baselines._MOST_CO_RATINGS", 300)
    held_out = _pairs_world()
    scored = score(ItemKnn(held_out.known, 25), held_out, "item_knn")
    assert np.mean(scored.unseen_ranks == 0) >= 0.9

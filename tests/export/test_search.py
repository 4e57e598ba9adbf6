"""Which search an index takes, and what ScaNN answers where it is installed."""

import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from components.documents import plain
from components.errors import UserError
from components.export import search, top_k
from components.export.manifest import LOWEST_SCORE
from components.export.reranking import Shift
from components.export.search import SampleQueries, choose
from components.export.top_k import FEWEST_MOVIES, ScannSearch
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow

MOVIES, USERS = 8_000, 30


@pytest.fixture(scope="module")
def world():
    """Vectors in clusters, biases, and queries, each with twenty movies to leave out."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(40, 12))
    vectors = (centres[np.arange(MOVIES) % 40] + 0.3 * random.normal(size=(MOVIES, 12))).astype(np.float32)
    biases = random.normal(size=MOVIES).astype(np.float32)
    queries = (centres[random.integers(0, 40, USERS)] + 0.3 * random.normal(size=(USERS, 12))).astype(
        np.float32
    )
    excluded = np.argsort(-(queries @ vectors.T + biases), axis=1)[:, :20].astype(np.int32)
    history = UserRatings(excluded.ravel(), np.full(20 * USERS, 3.0, np.float32), np.arange(USERS + 1) * 20)
    return vectors, biases, SampleQueries(queries, history)


def choose_in(world, kind):
    vectors, biases, questions = world
    return choose(kind, vectors, biases, lambda: questions)


@pytest.fixture
def no_scann(monkeypatch):
    def refuse():
        raise UserError("ScaNN is not installed")

    monkeypatch.setattr(search, "scann_ops", refuse)


def test_takes_what_is_asked_for_without_measuring(world):
    chosen = choose_in(world, "brute-force")
    assert (chosen.kind, chosen.why, plain(chosen.measured)) == ("brute-force", "asked for", {})


def test_auto_without_scann_is_brute_force_and_says_so(world, no_scann, capsys):
    chosen = choose_in(world, "auto")
    assert (chosen.kind, chosen.why) == ("brute-force", "ScaNN is not installed")
    assert "brute-force: ScaNN is not installed" in capsys.readouterr().err


def test_scann_without_scann_is_refused(world, no_scann):
    with pytest.raises(UserError, match="not installed"):
        choose_in(world, "scann")


def test_a_small_catalogue_is_not_worth_a_partition(world):
    vectors, biases, questions = world
    few = (vectors[: FEWEST_MOVIES - 1], biases[: FEWEST_MOVIES - 1], questions)
    assert choose_in(few, "auto").why == "ScaNN wants 1,000 movies or more, and there are 999"
    with pytest.raises(UserError, match="999; take --index-kind brute-force"):
        choose_in(few, "scann")


class Double:
    """Stands for ScaNN: finds what exact search finds, `missed` movies further down, after `seconds`.

    With fewer than `enough` leaves and candidates it misses five more.
    """

    missed, seconds, leaves, enough = 0, 0.0, 100, (0.0, 0)

    def __init__(self, exact, vectors, biases):
        self._exact = exact
        self._further = tf.Variable(0)

    def search(self, share, reordered):
        few = share < self.enough[0] or reordered < self.enough[1]
        self._further.assign(self.missed + (5 if few else 0))

    def best(self, queries, k, rows, movies, allowed=None):
        tf.numpy_function(lambda: time.sleep(self.seconds), [], [])
        scores, found = self._exact.best(queries, k + self._further, rows, movies)
        return scores[:, self._further :], found[:, self._further :]


@pytest.fixture
def with_double(monkeypatch):
    def install(**traits):
        monkeypatch.setattr(search, "scann_ops", lambda: None)
        monkeypatch.setattr(search, "ScannSearch", type("Fake", (Double,), traits))

    return install


def test_auto_does_not_take_what_misses_two_in_a_hundred(world, with_double):
    with_double(missed=2)
    chosen = choose_in(world, "auto")
    assert (chosen.kind, chosen.why) == ("brute-force", "ScaNN finds less than 99% of the best 100 movies")
    assert chosen.measured.recall_at_100 == pytest.approx(0.98)
    assert chosen.measured.leaves_searched_share == 1.0


def test_auto_does_not_take_what_is_slower(world, with_double):
    with_double(seconds=0.02)
    chosen = choose_in(world, "auto")
    assert (chosen.kind, chosen.why) == ("brute-force", "ScaNN is not faster on this catalogue")
    assert chosen.measured.scann_p50_ms > 20 > chosen.measured.brute_force_p50_ms > 0
    assert chosen.measured.leaves_searched_share == 0.05


def test_no_more_is_searched_than_reaches_the_recall(world, with_double):
    with_double(enough=(0.3, 6))
    measured = choose_in(world, "scann").measured
    assert (measured.recall_at_100, measured.reordered, measured.leaves_searched_share) == (1.0, 20, 0.4)


def test_scann_is_taken_when_asked_for_though_it_is_slower(world, with_double):
    with_double(seconds=0.02)
    chosen = choose_in(world, "scann")
    assert (chosen.kind, chosen.why, chosen.measured.queries) == ("scann", "asked for", USERS)


def test_auto_takes_what_is_faster_and_finds_all(world, with_double, monkeypatch):
    with_double()
    milliseconds = iter([2.0, 1.0] * USERS)
    monkeypatch.setattr(search, "_milliseconds", lambda *_: next(milliseconds))
    chosen = choose_in(world, "auto")
    assert (chosen.kind, chosen.measured.recall_at_100) == ("scann", 1.0)


@pytest.fixture(scope="module")
def scann(world):
    pytest.importorskip("scann", reason="ScaNN is not installed; pip install 'twotower[scann]'")
    return choose_in(world, "scann"), choose_in(world, "brute-force")


@pytest.fixture(scope="module")
def asked(world):
    """Queries, and the rows and movies that they exclude."""
    questions = world[2]
    rows = np.repeat(np.arange(USERS, dtype=np.int64), 20)
    return tf.constant(questions.queries), tf.constant(rows), tf.constant(questions.history.movies)


def test_scann_finds_nearly_all_with_exact_scores_and_nothing_excluded(scann, asked, world):
    approximate, exact = scann
    queries, rows, movies = asked
    scores, found = approximate.best(queries, 100, rows, movies)
    _, best = exact.best(queries, 100, rows, movies)
    both = [set(one) & set(other) for one, other in zip(found.numpy(), best.numpy(), strict=True)]
    assert sum(map(len, both)) >= 0.98 * USERS * 100
    every = queries.numpy() @ world[0].T + world[1]
    np.testing.assert_allclose(scores, np.take_along_axis(every, found.numpy(), axis=1), rtol=1e-5)
    for row, own in enumerate(movies.numpy().reshape(USERS, 20)):
        assert not set(own) & set(found.numpy()[row])
        assert len(set(found.numpy()[row])) == 100


@pytest.mark.parametrize(("count", "k"), [(0, 5), (3, 0), (3, MOVIES + 5)])
def test_scann_answers_the_extremes_as_exact_search_does(scann, asked, count, k):
    queries, rows, movies = asked
    kept = tf.boolean_mask(rows, rows < count), tf.boolean_mask(movies, rows < count)
    for one, other in zip(*(chosen.best(queries[:count], k, *kept) for chosen in scann), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_restriction_is_searched_exactly(scann, asked, world):
    queries, rows, movies = asked
    allowed = tf.range(MOVIES) % 1000 == 0
    scores, found = scann[0].best(queries, 10, rows, movies, allowed)
    assert set(found.numpy().ravel()) <= {*range(0, MOVIES, 1000), MOVIES}
    assert (scores.numpy() > LOWEST_SCORE).sum() >= 7 * USERS


@pytest.mark.parametrize("every", [2, 7])
def test_a_filter_that_leaves_many_is_searched_by_scann(scann, asked, world, monkeypatch, every):
    monkeypatch.setattr(top_k, "_MOST_EXACT", 100)
    approximate, exact = scann
    queries, rows, movies = asked
    allowed = tf.range(MOVIES) % every == 0
    scores, found = approximate.best(queries, 10, rows, movies, allowed)
    _, best = exact.best(queries, 10, rows, movies, allowed)
    assert (found.numpy() % every == 0).all()
    both = [set(one) & set(other) for one, other in zip(found.numpy(), best.numpy(), strict=True)]
    assert sum(map(len, both)) >= 0.98 * USERS * 10
    every_score = queries.numpy() @ world[0].T + world[1]
    np.testing.assert_allclose(scores, np.take_along_axis(every_score, found.numpy(), axis=1), rtol=1e-5)


def test_what_a_filter_takes_from_scann_is_searched_exactly(scann, asked, world, monkeypatch):
    """A filter that leaves what the users like least."""
    monkeypatch.setattr(top_k, "_MOST_EXACT", 100)
    approximate, exact = scann
    query = [one[:1] for one in asked[:1]]
    nothing = tf.zeros([0], tf.int64), tf.zeros([0], tf.int32)
    worst = (query[0].numpy() @ world[0].T + world[1])[0]
    allowed = tf.constant(worst < np.median(worst))
    for one, other in zip(
        *(one.best(*query, 10, *nothing, allowed) for one in (approximate, exact)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_shifted_scores_are_searched_exactly(scann, asked):
    queries, rows, movies = asked
    shift = Shift(tf.linspace(0.1, 1.0, USERS), tf.cast(tf.range(MOVIES) % 3, tf.float32))
    for allowed in (None, tf.range(MOVIES) % 2 == 0):
        answers = [one.best(queries, 10, rows, movies, allowed, shift) for one in scann]
        np.testing.assert_allclose(answers[0][0], answers[1][0], rtol=1e-5)
        np.testing.assert_array_equal(answers[0][1], answers[1][1])


def test_the_partition_outlives_its_searcher(scann, asked, world, tmp_path):
    vectors, biases, _ = world
    exact = search.BiasedBruteForce().index_with_bias(vectors, biases)
    module = ScannSearch(exact, vectors, biases)
    module.exact = exact.variables
    function = tf.function(
        lambda queries: module.best(queries, 5, tf.zeros([0], tf.int64), tf.zeros([0], tf.int32))[1],
        input_signature=[tf.TensorSpec([None, 12])],
        autograph=False,
    )
    module.find = function
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
    tf.saved_model.save(module, str(tmp_path / "saved"), options=options)
    np.save(tmp_path / "queries.npy", asked[0].numpy())
    code = (
        "import scann, sys, numpy as np, tensorflow as tf; folder = sys.argv[1]; "
        "saved = tf.saved_model.load(folder + '/saved'); "
        "np.save(folder + '/found.npy', saved.find(np.load(folder + '/queries.npy')))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), function(asked[0]))

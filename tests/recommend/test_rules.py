"""Filter, boosts, variety and the discount of popular movies, beside numpy."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.recommend import index as index_module
from components.recommend.index import PublishedIndex
from components.serve import limits
from components.serve.rest import Call, RequestError
from components.serve.served_index import ServedIndex
from components.vocabulary.conditions import Rules
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow

USER = "user5"


@pytest.fixture(scope="module")
def rated(world):
    return np.array([any(row in of for of in world.known.values()) for row in range(40)])


def has(world, genre):
    return np.array([genre in genres.split("|") for genres in world.genres])


def best(world, scores, allowed, k):
    """The ids of the k best movies of `USER` among those allowed."""
    unseen = [row for row in np.argsort(-scores, kind="stable") if row not in world.history(USER, "all")]
    return [world.movie_ids[row] for row in unseen if allowed[row]][:k]


def test_a_filter_leaves_the_order(world, index):
    rules = Rules(where=["genre=comedy|War", "minutes<90", "minutes!=62"])
    allowed = (has(world, "Comedy") | has(world, "War")) & (np.arange(40) < 30) & (np.arange(40) != 2)
    answer = index.recommend([USER, "user2"], 5, rules=rules)
    assert answer.movie_id[0].tolist() == best(world, world.scores(world.history(USER, "all")), allowed, 5)
    assert answer.left == allowed.sum()


def test_a_filter_works_beside_lists_of_movies(world, index):
    rules = Rules(where=["genre=Comedy"])
    answer = index.recommend(
        [USER], 40, only=["m2", "m4", "m5", "m6"], exclude=["m4"], include_rated=True, rules=rules
    )
    assert set(answer.movie_id[0]) == {"m2", "m6", ""}
    assert answer.left == 2


def test_boosts_and_discounts_are_deviations_of_the_users_scores(world, index, rated):
    scores = world.scores(world.history(USER, "all"))
    logs = np.log1p([sum(row in of for of in world.known.values()) for row in range(40)])
    popularity = (logs - logs[rated].mean()) / logs[rated].std()
    units = 1.5 * has(world, "War") - 0.5 * has(world, "Comedy") - 0.4 * popularity
    expected = scores + scores[rated].std() * units
    rules = Rules(boost=["genre=War:1.5", "genre=Comedy:-0.5"], popularity_discount=0.4)
    answer = index.recommend([USER], 10, rules=rules)
    assert answer.movie_id[0].tolist() == best(world, expected, np.ones(40), 10)
    rows = [int(movie[1:]) for movie in answer.movie_id[0]]
    np.testing.assert_allclose(answer.score[0], expected[rows], rtol=1e-4)
    assert answer.left == 40


@pytest.mark.parametrize("order", ["score", "rating"])
def test_variety_chooses_by_marginal_relevance(world, index, order):
    answer = index.recommend([USER], 6, order=order, rules=Rules(diversity=0.6))
    plain = index.recommend([USER], 40, order=order)
    relevance = getattr(plain, order)[0][plain.movie_id[0] != ""]
    rows = [int(movie[1:]) for movie in plain.movie_id[0] if movie]
    units = world.vectors[rows] / np.linalg.norm(world.vectors[rows], axis=1, keepdims=True)
    share, chosen = (relevance - relevance.min()) / np.ptp(relevance), list[int]()
    for _ in range(6):
        closest = (units @ units[chosen].T).max(axis=1, initial=-1.0)
        gains = 0.4 * share - 0.6 * (closest if chosen else 0.0)
        gains[chosen] = -9
        chosen.append(int(np.argmax(gains)))
    assert answer.movie_id[0].tolist() == [world.movie_ids[rows[place]] for place in chosen]
    assert answer.movie_id[0].tolist() != plain.movie_id[0, :6].tolist()


def test_the_index_names_what_it_can_compare(index):
    assert index.manifest.attributes == {"minutes": "numbers", "year": "numbers", "genre": "texts"}
    assert index.attributes["genre"] == {"Comedy": 20, "Drama": 14, "War": 6}


def test_an_index_of_an_earlier_release_is_one_line(index_directory, tmp_path):
    copy = shutil.copytree(index_directory, tmp_path / "index")
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    del manifest["signatures"]["recommend_where"], manifest["attributes"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"^--diversity: .* earlier release.*`twotower export`$"):
        PublishedIndex.load(copy).recommend([USER], 3, rules=Rules(diversity=0.1))


def test_a_server_names_the_columns(index_directory, monkeypatch):
    served = ServedIndex.load(index_directory)
    inputs = {"user_id": [USER], "k": 3, "ratings": "all", "include_rated": False, "exclude": [], "only": []}
    inputs |= {"order": "score", "pool": 9, "boost": [], "diversity": 0, "popularity_discount": 0}
    answer = served.predict("recommend_where", {**inputs, "where": [b"genre=War"]})
    assert answer["left"].tolist() == [6]
    assert served.count_attributes() == 40 + 40 + 32  # genres, minutes and years
    call = Call("attributes", {}, False)
    assert limits.answer(call, served)["row"].shape == (112,)
    monkeypatch.setattr(limits, "_MOVIES", 111)
    with pytest.raises(RequestError, match="112 movies by value are more than 111"):
        limits.answer(call, served)
    with pytest.raises(UserError, match="did you mean year"):
        served.predict("recommend_where", {**inputs, "where": ["yaer>1"]})
    with pytest.raises(UserError, match='the input "diversity" must be from 0 to 1'):
        served.predict("recommend_where", {**inputs, "where": [], "diversity": 1.5})


def ask(index_directory, *words):
    return CliRunner().invoke(twotower, ["recommend", USER, "--index", str(index_directory), *words])


def test_the_command_says_what_is_left(world, index, index_directory, monkeypatch):
    monkeypatch.setattr(PublishedIndex, "open_directory", lambda _: index)
    answer = ask(index_directory, "--where", "genre=Comedy", "--where", "year>=1960", "--json")
    assert answer.exit_code == 0
    found = json.loads(answer.stdout)
    years = np.array(world.years)
    assert found["left"] == np.count_nonzero(has(world, "Comedy") & (years >= 1960))
    assert all(movie["year"] >= 1960 for movie in found["recommendations"])
    shown = ask(index_directory, "--where", "genre=Comedy|Wra", "-k", "3")
    assert (
        'warning: --where "genre=Comedy|Wra": no movie has the genre "Wra"; did you mean War?' in shown.stderr
    )
    assert "--where leaves 20 of 40 movies." in shown.stderr
    assert len(shown.stdout.splitlines()) == 4
    nothing = ask(index_directory, "--where", "minutes>1000")
    assert "Nothing to recommend: the conditions leave no movie." in nothing.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--where", "yaer>1990"], 'no column "yaer", did you mean year?; there are minutes, year, genre'),
        (["--where", "year>old"], 'year holds numbers, and "old" is none'),
        (["--boost", "genre=War"], '--boost "genre=War" is no boost'),
        (["--diversity", "2"], "--diversity 2: give a number, 0 to 1"),
    ],
)
def test_a_mistake_is_found_before_the_index_is_loaded(index_directory, monkeypatch, words, said):
    monkeypatch.setattr(index_module, "load_index", lambda _: pytest.fail("was loaded"))
    answer = ask(index_directory, *words)
    assert isinstance(answer.exception, UserError)
    assert said in str(answer.exception)


def test_rules_are_for_a_user(index, index_directory, monkeypatch):
    monkeypatch.setattr(PublishedIndex, "open_directory", lambda _: index)
    words = ["recommend", "--history", "none.csv", "--index", str(index_directory), "--where", "year>1"]
    answer = CliRunner().invoke(twotower, words)
    assert "--where is for a USER; leave it out with --history" in str(answer.exception)

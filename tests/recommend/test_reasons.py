"""Reasons in words, and from the Python interface and the shell."""

import copy
import json

import msgspec
import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.recommend.index import PublishedIndex
from components.recommend.reasons import Reasons, describe
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow


def movie(title, year=0, **figure):
    return {"movie_id": title, "title": title, "year": year, "fall": 1.0, **figure}


@pytest.mark.parametrize(
    ("reasons", "scale", "said"),
    [
        ([], (1, 5), ""),
        ([movie("Up", 2009, rating=4.0)], (1, 5), "liked Up (2009)"),
        ([movie("Up", 2009, rating=3.5)], (0.5, 5), "rated Up (2009) 3.5★"),
        ([movie("Up", rating=7.5)], (1, 10), "rated Up 7.5★"),
        ([movie("A", rating=5.0), movie("B", rating=5.0)], (1, 5), "liked A and B"),
        ([movie(name, rating=5.0) for name in "ABC"], (1, 5), "liked A, B and C"),
        (
            [movie("A", rating=1.0), movie("B", rating=5.0), movie("C", rating=3.0)],
            (1, 5),
            "liked B, and rated A 1★ and C 3★",
        ),
        ([movie("A", count=2), movie("B", count=1)], (0, 0), "watched A and B"),
    ],
)
def test_nobody_is_said_to_like_what_was_rated_badly(reasons, scale, said):
    assert describe(reasons, scale) == said


def test_it_is_said_when_not_all_ratings_were_considered():
    assert Reasons([], rated=200, considered=200).limits == ""
    assert "among 200 of the user's 1,532 movies" in Reasons([], rated=1532, considered=200).limits


def by_loop(world, history, movie):
    score = world.scores(history)[movie]
    without = {other: {one: history[one] for one in history if one != other} for other in history}
    falls = {other: score - world.scores(rest)[movie] for other, rest in without.items()}
    return sorted((other for other in falls if falls[other] > 1e-4), key=lambda other: -falls[other])[:3]


def test_the_python_interface_gives_reasons(world, index):
    history = world.history("user2", "train")
    best = world.best(history, 120)
    reasons = index.explain("user2", [world.movie_ids[movie] for movie in best], "train")
    assert (reasons.rated, reasons.considered) == (len(history), len(history))
    for found, movie in zip(reasons.movies, best, strict=True):
        expected = by_loop(world, history, movie)
        assert [one["movie_id"] for one in found] == [world.movie_ids[other] for other in expected]
        assert [one["rating"] for one in found] == [history[other] for other in expected]
    rated = {world.movie_ids[movie]: stars for movie, stars in history.items()}
    given = index.explain_from_history(rated, [world.movie_ids[best[0]]])
    assert [one["movie_id"] for one in given.movies[0]] == [one["movie_id"] for one in reasons.movies[0]]
    assert index.explain("user2", []) == Reasons([], 0, 0)


def test_more_movies_than_a_request_takes_are_asked_for_in_parts(world, index):
    twice = world.movie_ids * 3  # 120
    reasons = index.explain("user2", twice)
    assert reasons.movies[:40] == reasons.movies[40:80] == reasons.movies[80:]


@pytest.fixture
def run(index, index_directory, monkeypatch):
    monkeypatch.setattr(PublishedIndex, "open_directory", lambda _: index)

    def invoke(*words):
        words = ["recommend", *words, "--index", str(index_directory)]
        return CliRunner().invoke(twotower, words, catch_exceptions=False)

    return invoke


def test_the_shell_says_why(world, run):
    result = run("user2", "-k", "3", "--why")
    header, *rows = (line.split("\t") for line in result.stdout.splitlines())
    assert header == ["movie", "id", "predicted rating", "because the user"]
    history = world.history("user2", "all")
    for row, movie in zip(rows, world.best(history, 3), strict=True):
        for other in by_loop(world, history, movie):
            assert world.titles[other].strip().replace("\x1b", " ")[:4] in row[3]
    assert result.stderr == ""


def test_the_json_answer_has_reasons(world, run, tmp_path):
    history = world.history("user2", "all")
    answer = json.loads(run("user2", "-k", "2", "--why", "--json").stdout)
    assert (answer["rated"], answer["considered"]) == (len(history), len(history))
    expected = [by_loop(world, history, movie) for movie in world.best(history, 2)]
    assert reason_ids(answer) == [[world.movie_ids[other] for other in others] for others in expected]
    assert "reasons" not in json.loads(run("user2", "--json").stdout)["recommendations"][0]

    own = tmp_path / "own.csv"
    lines = (f"{world.movie_ids[movie]},{stars}\n" for movie, stars in history.items())
    own.write_text("".join(["movieId,rating\n", *lines]))
    words = ("--history", str(own), "--rating-scale", "1,5", "-k", "2", "--why")
    assert reason_ids(json.loads(run(*words, "--json").stdout)) == reason_ids(answer)
    assert "because the user" in run(*words).stdout


def reason_ids(answer):
    return [[reason["movie_id"] for reason in movie["reasons"]] for movie in answer["recommendations"]]


def test_a_stranger_has_no_reasons(run):
    answer = json.loads(run("stranger", "-k", "2", "--why", "--json").stdout)
    assert [movie["reasons"] for movie in answer["recommendations"]] == [[], []]
    assert (answer["rated"], answer["considered"]) == (0, 0)


def test_an_index_of_an_earlier_release_is_named(index):
    old = copy.copy(index)
    old.manifest = msgspec.structs.replace(index.manifest, signatures={})
    assert not old.explains
    with pytest.raises(UserError, match="of an earlier release and gives no reasons; export it with"):
        old.explain("user2", ["m1"])

"""Exported indexes measured outside a pipeline, against each other and against what the step measures."""

import dataclasses
import json
import shutil
import sys
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner
from serving_world import small_world

from components.documents import plain
from components.errors import UserError
from components.evaluate.gate import GateSettings
from components.evaluate.indexes import compare_indexes
from components.evaluate.measure import evaluate_challenger
from components.evaluate.scoring import ModelScorer, score
from components.evaluate.serving_rules import measure_rules
from components.evaluate.step import evaluate, evaluate_command
from components.evaluate.verdict import load_verdict
from components.export.step import export
from components.recommend.index import PublishedIndex
from components.vocabulary.conditions import Rules

pytestmark = pytest.mark.tensorflow


def _exported(world, place):
    place.mkdir()
    artifacts = world.write(place)
    inputs = {name: str(artifacts / name) for name in ("model", "vocabulary", "interactions")}
    export(**inputs, output=str(artifacts / "index"))
    return artifacts


@pytest.fixture(scope="module")
def world():
    genres = ["Even" if row % 2 == 0 else "Odd" for row in range(40)]
    return dataclasses.replace(small_world(seed=1, users=40), genres=genres)


@pytest.fixture(scope="module")
def first(world, tmp_path_factory):
    return _exported(world, tmp_path_factory.mktemp("worlds") / "first")


@pytest.fixture(scope="module")
def second(world, tmp_path_factory):
    """An index whose model is worse, has a smaller catalogue, and was trained on user2's held-out rows."""
    known = {**world.known, "user2": {**world.known["user2"], **world.held_out["user2"]}}
    held_out = {**world.held_out, "user2": {}}
    other = dataclasses.replace(world, vectors=world.vectors[::-1], known=known, held_out=held_out)
    return _exported(other, tmp_path_factory.mktemp("worlds") / "second")


def _judged(index, against="", ratings="", columns=""):
    names = {"index": str(index), "against": str(against) if against else ""}
    settings = GateSettings(min_test_users=5)
    compared = compare_indexes(
        **names, registry="", ratings=str(ratings), columns=columns, forget="", ingest_settings={}
    )
    inputs = {name: value for name, value in compared._asdict().items() if name != "indexed"}
    evaluation = evaluate_challenger(**inputs, settings=settings, gate="enforce", seed=42)
    return plain(evaluation.verdict)


def test_an_index_alone_gives_the_figures_of_the_step_that_judged_its_model(first, tmp_path):
    evaluate(
        model=str(first / "model"),
        interactions=str(first / "interactions"),
        vocabulary=str(first / "vocabulary"),
        output=str(tmp_path / "evaluation"),
    )
    theirs, mine = plain(load_verdict(tmp_path / "evaluation")), _judged(first / "index")
    for scorer in ("challenger", "baselines"):
        for name, value in theirs["metrics"][scorer].items():
            assert mine["metrics"][scorer][name] == pytest.approx(value)
    assert mine["test_rows"] == theirs["test_rows"]
    assert mine["metrics"]["champion"] is None


def test_two_indexes_are_measured_on_rows_that_neither_was_trained_on(world, first, second):
    verdict = _judged(first / "index", second / "index")
    expected = sum(len(rows) for user, rows in world.held_out.items() if user != "user2")
    assert verdict["test_rows"] == expected
    assert verdict["champion"]["version"] == str(second / "index")
    mine, theirs = verdict["metrics"]["challenger"], verdict["metrics"]["champion"]
    assert mine["rmse"] != theirs["rmse"]
    assert {rule["verdict"] for rule in verdict["rules"] if rule["name"].startswith("data_")} == {"pass"}


def test_given_ratings_are_held_out_ratings_but_for_those_that_are_known(world, first, tmp_path):
    new = [movie for movie in range(40) if movie not in world.history("user3", "all")][:2]
    known = next(iter(world.known["user3"]))
    file = tmp_path / "ratings.csv"
    rows = [("user3", f"m{new[0]}", 4), ("user3", f"m{new[1]}", 2), ("user3", f"m{known}", 5)]
    rows += [("stranger", "m1", 3), ("user3", "m_nobody_knows", 3), ("user3", f"m{new[0]}", 9)]
    file.write_text("who,what,stars\n" + "".join(f"{u},{m},{s}\n" for u, m, s in rows))
    verdict = _judged(first / "index", ratings=file, columns="user=who,movie=what,rating=stars")
    assert (verdict["test_rows"], verdict["test_users"]) == (4, 2)
    assert verdict["movies"] == 41
    assert verdict["metrics"]["challenger"]["top_100_accuracy_unseen"] == 0.75


def test_an_index_that_searches_by_scann_where_there_is_none(first, tmp_path, monkeypatch):
    copy = shutil.copytree(first / "index", tmp_path / "index")
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    (copy / "manifest.json").write_text(json.dumps({**manifest, "search": "scann"}))
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py.scann_ops", None)
    with pytest.raises(UserError, match="searches by ScaNN: ScaNN is not installed"):
        _judged(copy)


def test_no_row_to_measure_on_is_said_with_its_cure(world, first, tmp_path):
    known = next(iter(world.known["user3"]))
    file = tmp_path / "ratings.csv"
    file.write_text(f"userId,movieId,rating\nuser3,m{known},4\n")
    with pytest.raises(UserError, match="has no rating that the indexes were not trained on"):
        _judged(first / "index", ratings=file)
    file.write_text("userId,movieId,rating\nuser3,m1,44\n")
    with pytest.raises(UserError, match="holds no rating from 1 to 5"):
        _judged(first / "index", ratings=file)


def test_the_command_prints_the_tables_and_writes_an_evaluation_if_asked(first, second, tmp_path):
    arguments = ["--index", str(first / "index"), "--against", str(second / "index")]
    shown = CliRunner().invoke(evaluate_command, arguments, catch_exceptions=False)
    assert "top-100 unseen" in shown.output
    assert "champion" in shown.output
    output = tmp_path / "evaluation"
    again = CliRunner().invoke(
        evaluate_command, [*arguments, "--output", str(output)], catch_exceptions=False
    )
    assert again.stdout == shown.stdout
    assert plain(load_verdict(output))["champion"]["exists"]
    assert json.loads((output / "details.json").read_text())["users"]


def test_rules_of_serving_are_measured_and_not_judged(world, first, tmp_path):
    rules = Rules(["year>=1965", "genre=Even"], ["year<1980:0.5"], 0.4, 0.3)
    compared = compare_indexes(
        index=str(first / "index"),
        against="",
        registry="",
        ratings="",
        columns="",
        forget="",
        ingest_settings={},
        rules=rules,
    )
    held_out, index = compared.held_out, compared.indexed
    report = measure_rules(index.scoring, held_out, index.attributes(held_out.movie_ids), rules)
    allowed = np.array([year >= 1965 and row % 2 == 0 for row, year in enumerate(world.years)])
    by_id = dict(zip(world.movie_ids, allowed.tolist(), strict=True))
    assert report.left == allowed.sum()
    assert report.rows_left == sum(by_id[held_out.movie_ids[movie]] for movie in held_out.pairs.movies)
    plain_ranks = score(ModelScorer(index.scoring, held_out.movie_ids), held_out, "model").unseen_ranks
    assert report.without["top_10_accuracy_unseen"] == pytest.approx(np.mean(plain_ranks < 10))
    # The published index answers with the same lists.
    published = PublishedIndex.load(first / "index")
    lists = published.recommend(held_out.user_ids.tolist(), 10, known="train", rules=rules).movie_id
    asked = held_out.movie_ids[held_out.pairs.movies]
    hits = [movie in lists[user] for user, movie in zip(held_out.pairs.owners, asked, strict=True)]
    assert report.ruled["top_10_accuracy_unseen"] == pytest.approx(np.mean(hits))
    assert 0 < np.mean(hits) < 1
    assert report.ruled["coverage"] <= allowed.mean()


@pytest.mark.parametrize("by", ["index", "model"])
def test_the_command_shows_what_rules_cost(first, tmp_path, by):
    names = ("model", "interactions", "vocabulary")
    arguments = ["--index", str(first / "index")]
    if by == "model":
        arguments = [word for name in names for word in (f"--{name}", str(first / name))]
    arguments += ["--output", str(tmp_path / "evaluation")]
    run = partial(CliRunner().invoke, evaluate_command, catch_exceptions=False)
    plainly = run(arguments)
    verdict = load_verdict(tmp_path / "evaluation")
    shown = run([*arguments, "--where", "genre=Even|Evn", "--diversity", "0.5"])
    assert shown.stdout.startswith(plainly.stdout)
    assert "Rules of serving" in shown.stdout.removeprefix(plainly.stdout)
    assert "20 of 40" in shown.stdout
    assert 'no movie has the genre "Evn"; did you mean Even?' in shown.stderr
    assert load_verdict(tmp_path / "evaluation") == verdict
    with pytest.raises(UserError, match="there is no column"):
        run([*arguments, "--where", "yer>1"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--model, --interactions, --vocabulary, --output are missing"),
        (["--model", "m", "--interactions", "i", "--vocabulary", "v"], "--output is missing"),
        (["--index", "i", "--model", "m"], "--index and --model do not go together"),
        (["--index", "i", "--ignore-champion"], "--index and --ignore-champion do not go together"),
        (["--index", "no/where"], "there is no index at no/where"),
        (["--index", "."], "is not an index"),
        (["--index", "champion", "--registry", "none"], "none has no champion"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(evaluate_command, arguments, catch_exceptions=False)

"""A champion that says what it was trained on: on which rows it is compared, and how its data are."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from evaluation_world import SPLIT, evaluation_world

from components.documents import plain
from components.evaluate import baselines
from components.evaluate.measure import CACHE_FILE
from components.evaluate.step import evaluate
from components.evaluate.verdict import load_verdict
from components.vocabulary.data_summary import DataSummary
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def world():
    return evaluation_world(seed=3, users=160, ratings_per_user=50)


@pytest.fixture(scope="module")
def data(world, tmp_path_factory):
    return world.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture
def judge(data, tmp_path):
    def run(model, champion=""):
        evaluate(
            model=str(model),
            champion=str(champion),
            interactions=str(data / "interactions"),
            vocabulary=str(data / "vocabulary"),
            output=str(tmp_path / "evaluation"),
        )
        return plain(load_verdict(tmp_path / "evaluation"))

    return run


def _trained_on(world, model, chosen):
    """Leaves in `model` the summary of having been trained on the rows `chosen`, bool [rows]."""
    users, movies, ratings = world.users[chosen], world.movies[chosen], world.ratings[chosen]
    known = UserRatings.group(users, movies, ratings, len(world.user_ids))
    DataSummary.of(known, world.user_ids, world.movie_ids, (1.0, 5.0)).save(model)
    return model


def _rules(verdict):
    return {rule["name"]: rule for rule in verdict["rules"]}


OTHER = {**SPLIT, "seed": 7}


def test_a_champion_trained_on_other_rows_alone_is_compared_on_all_whatever_its_split(world, judge, tmp_path):
    good = _trained_on(world, world.write_model(tmp_path / "good", split=OTHER), world.splits != "test")
    verdict = judge(good, good)
    rules = _rules(verdict)
    assert verdict["blessed"], verdict["reason"]
    assert rules["top_100_vs_champion"]["verdict"] == "pass"
    assert rules["rmse_vs_champion"]["value"] == verdict["metrics"]["challenger"]["rmse"]
    assert rules["unread_test_rows"]["verdict"] == "pass"
    data = [rule for name, rule in rules.items() if name.startswith("data_")]
    assert len(data) == 5
    assert {rule["verdict"] for rule in data} == {"pass"}


@pytest.mark.parametrize("worse", [False, True])
def test_a_champion_trained_on_test_rows_is_compared_on_the_others(world, judge, tmp_path, worse):
    """The champion knows a third of the test rows by heart; on the others it is as good."""
    random = np.random.default_rng(0)
    read = (world.splits == "test") & (random.random(len(world.users)) < 1 / 3)
    by_heart = world.stars.copy()
    by_heart[world.users[read], world.movies[read]] = world.ratings[read]
    champion = world.write_model(tmp_path / "champion", stars=by_heart)
    _trained_on(world, champion, (world.splits == "train") | read)
    stars = np.clip(world.stars + 0.5 * random.normal(size=world.stars.shape), 1, 5) if worse else None
    verdict = judge(world.write_model(tmp_path / "challenger", stars=stars), champion)
    rule = _rules(verdict)["rmse_vs_champion"]
    mine, theirs = verdict["metrics"]["challenger"]["rmse"], verdict["metrics"]["champion"]["rmse"]
    part = next(part for part in verdict["slices"] if part["name"] == "rows_unread_by_champion")
    assert theirs < mine - 0.02
    assert rule["verdict"] == ("fail" if worse else "pass")
    assert rule["bound"] == part["metrics"]["champion"]["rmse"]
    assert part["rows"] == np.count_nonzero((world.splits == "test") & ~read)
    assert "Test rows that the champion was not trained on: " in rule["why"]
    assert not [name for name in _rules(verdict) if name.startswith("rmse_vs_champion_")]


def test_a_champion_trained_on_nearly_all_test_rows_is_not_compared(world, judge, tmp_path):
    read = np.flatnonzero(world.splits == "test")[900:]
    chosen = world.splits == "train"
    chosen[read] = True
    champion = _trained_on(world, world.write_model(tmp_path / "champion"), chosen)
    rules = _rules(judge(world.write_model(tmp_path / "challenger"), champion))
    for name in ("top_100_vs_champion", "rmse_vs_champion"):
        assert rules[name]["verdict"] == "skipped"
        assert "of 900 it is certain" in rules[name]["why"]


def test_a_champion_that_knows_none_of_the_movies_misses_them_all(world, judge, tmp_path):
    foreign = dataclasses.replace(world, movie_ids=np.array([f"x{movie}" for movie in range(150)], object))
    champion = _trained_on(foreign, foreign.write_model(tmp_path / "champion"), world.splits != "test")
    verdict = judge(world.write_model(tmp_path / "challenger"), champion)
    rules = _rules(verdict)
    assert verdict["metrics"]["champion"]["top_100_accuracy_unseen"] == 0
    assert rules["top_100_vs_champion"]["verdict"] == "pass"
    assert rules["rmse_vs_champion"]["verdict"] == "pass"
    assert [name for name, rule in rules.items() if rule["verdict"] == "fail"] == ["data_new_movies_share"]
    assert rules["data_new_movies_share"]["value"] == 1


@pytest.mark.parametrize("read", [0, 1])
def test_a_challenger_trained_on_test_rows_is_refused(world, judge, tmp_path, read):
    chosen = world.splits != "test"
    chosen[np.flatnonzero(~chosen)[:read]] = True
    rule = _rules(judge(_trained_on(world, world.write_model(tmp_path / "model"), chosen)))[
        "unread_test_rows"
    ]
    assert (rule["verdict"], rule["value"]) == (("pass", 0), ("fail", 1))[read]


def test_a_challenger_that_began_at_a_model_with_test_rows_is_refused(world, judge, tmp_path):
    begun_at, own = world.splits != "test", world.splits == "train"
    begun_at[np.flatnonzero(~begun_at)[:3]] = True
    begun_at &= ~own
    model = _trained_on(world, world.write_model(tmp_path / "model"), own)
    before = DataSummary.load(_trained_on(world, tmp_path, begun_at))
    assert _rules(judge(model))["unread_test_rows"]["verdict"] == "pass"
    DataSummary.load(model).with_rows_of(before).save(model)
    rule = _rules(judge(model))["unread_test_rows"]
    assert (rule["verdict"], rule["value"]) == ("fail", 3)


def test_data_that_were_cut_off_are_refused_by_the_rule_of_their_size(world, judge, tmp_path):
    champion = world.write_model(tmp_path / "champion")
    _trained_on(world, champion, world.splits != "test")
    figures = json.loads((champion / "data.json").read_text())
    (champion / "data.json").write_text(json.dumps({**figures, "ratings": 10 * figures["ratings"]}))
    verdict = judge(world.write_model(tmp_path / "challenger"), champion)
    assert [rule["name"] for rule in verdict["rules"] if rule["verdict"] == "fail"] == ["data_rows_share"]
    assert "10.0% as many known ratings" in verdict["reason"]


def test_a_champion_that_says_nothing_of_its_data_is_said_to(world, judge, tmp_path):
    model = world.write_model(tmp_path / "model")
    rules = _rules(judge(model, model))
    assert {rules[name]["verdict"] for name in rules if name.startswith("data_")} == {"skipped"}
    assert rules["data_rows_share"]["why"] == "The champion does not say what its data were like."
    assert rules["unread_test_rows"]["verdict"] == "skipped"


def test_a_second_evaluation_of_the_same_data_fits_no_baseline(world, judge, data, tmp_path, monkeypatch):
    model = world.write_model(tmp_path / "model")
    (data / "interactions" / CACHE_FILE).unlink(missing_ok=True)
    first = judge(model)
    monkeypatch.setattr(baselines.Ease, "__init__", None)
    monkeypatch.setattr(baselines.Factors, "__init__", None)
    assert judge(model) == first
    assert (data / "interactions" / CACHE_FILE).is_file()


def test_kept_baselines_of_other_data_or_in_pieces_are_fitted_anew(world, data, judge, tmp_path):
    model, kept = world.write_model(tmp_path / "model"), data / "interactions" / CACHE_FILE
    first = judge(model)["metrics"]["baselines"]
    other = evaluation_world(seed=4, users=40).write_data(tmp_path / "other")
    evaluate(
        model=str(model),
        interactions=str(other / "interactions"),
        vocabulary=str(other / "vocabulary"),
        output=str(tmp_path / "other-evaluation"),
    )
    shutil.copy(other / "interactions" / CACHE_FILE, kept)
    assert judge(model)["metrics"]["baselines"] == first
    kept.write_bytes(kept.read_bytes()[:1000])
    assert judge(model)["metrics"]["baselines"] == first

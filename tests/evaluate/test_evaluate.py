"""The step as a whole, on a small world with models that are tables."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluation_world import SPLIT, evaluation_world

from components.documents import plain
from components.errors import UserError
from components.evaluate.step import evaluate
from components.evaluate.verdict import load_verdict

pytestmark = pytest.mark.tensorflow


def _champion(directory, model):
    """What the step `champion` writes."""
    directory.mkdir()
    record = {"exists": model is not None, "version": "v7" if model else "", "sequence": 3 if model else 0}
    (directory / "champion.json").write_text(json.dumps(record))
    if model is not None:
        (directory / "model").symlink_to(model)
    return directory


@pytest.fixture
def judge(data, tmp_path):
    """Evaluates a model and returns its verdict."""

    def run(model, champion="", at=data, **arguments):
        output = tmp_path / "evaluation"
        summary = evaluate(
            model=str(model),
            champion=str(champion),
            interactions=str(at / "interactions"),
            vocabulary=str(at / "vocabulary"),
            output=str(output),
            **arguments,
        )
        verdict = plain(load_verdict(output))
        assert summary == (verdict["blessed"], verdict["publish"], verdict["reason"])
        return verdict

    return run


def _verdicts(verdict):
    return {rule["name"]: rule["verdict"] for rule in verdict["rules"]}


def _failing(verdict):
    return {name for name, outcome in _verdicts(verdict).items() if outcome == "fail"}


def test_a_first_good_model_is_blessed_and_nothing_is_said_against_it(judge, good_model, tmp_path):
    verdict = judge(good_model, _champion(tmp_path / "champion", None))
    assert verdict["blessed"], verdict["reason"]
    assert verdict["publish"]
    assert _failing(verdict) == set()
    assert _verdicts(verdict)["top_100_vs_champion"] == "skipped"
    assert verdict["champion"] == {"exists": False, "version": "", "sequence": 0, "ignored": ""}
    assert verdict["metrics"]["champion"] is None
    mine, popularity = verdict["metrics"]["challenger"], verdict["metrics"]["baselines"]["popularity"]
    assert mine["top_10_accuracy_unseen"] > 2 * popularity["top_10_accuracy_unseen"]
    assert mine["rmse"] < verdict["metrics"]["baselines"]["bias"]["rmse"]


def test_a_model_equal_to_the_champion_is_blessed(judge, good_model, tmp_path):
    verdict = judge(good_model, _champion(tmp_path / "champion", good_model))
    assert verdict["blessed"], verdict["reason"]
    assert verdict["champion"] == {"exists": True, "version": "v7", "sequence": 3, "ignored": ""}
    assert verdict["metrics"]["champion"] == verdict["metrics"]["challenger"]
    against = {rule["name"]: rule for rule in verdict["rules"] if rule["against"] == "champion"}
    assert against["rmse_vs_champion"]["difference"] == 0
    assert against["rmse_vs_champion"]["verdict"] == against["top_100_vs_champion"]["verdict"] == "pass"


def test_each_way_to_be_bad_is_refused_by_the_rule_that_names_it(world, judge, good_model, tmp_path):
    random = np.random.default_rng(1)
    one_nan = world.scores.copy()
    one_nan[world.rows("test")[0][0], 0] = np.nan
    popular = np.broadcast_to(np.bincount(world.rows("train")[1], minlength=150), world.scores.shape)
    broken = {
        "rmse_vs_bias": {"stars": random.permutation(world.stars.ravel()).reshape(world.stars.shape)},
        "rmse_vs_global_mean": {"stars": 6 - world.stars},
        "top_100_vs_popularity": {"scores": np.zeros_like(world.scores)},
        "top_100_vs_champion": {"scores": popular},
        "rmse_vs_champion": {"stars": np.full_like(world.stars, 3.3)},
        "finite": {"scores": one_nan},
    }
    champion = _champion(tmp_path / "champion", good_model)
    for rule, tables in broken.items():
        verdict = judge(world.write_model(tmp_path / rule, **tables), champion)
        assert not verdict["blessed"]
        assert not verdict["publish"]
        assert rule in _failing(verdict), (rule, verdict["reason"])
        assert verdict["reason"].startswith("Refused (")


def test_scores_that_are_all_equal_find_nothing(world, judge, tmp_path):
    verdict = judge(world.write_model(tmp_path / "model", scores=np.ones_like(world.scores)))
    mine = verdict["metrics"]["challenger"]
    assert {value for name, value in mine.items() if name.startswith(("top_", "recall_", "ndcg_"))} == {0.0}


def test_a_rating_that_is_no_number_makes_rmse_null_and_fails(world, judge, tmp_path):
    stars = world.stars.copy()
    stars[world.rows("test")[0][0]] = np.nan
    verdict = judge(world.write_model(tmp_path / "model", stars=stars))
    assert verdict["metrics"]["challenger"]["rmse"] is None
    assert verdict["intervals"]["challenger"]["rmse"] is None
    assert {"finite", "rmse_vs_bias", "rmse_vs_global_mean"} == _failing(verdict)


def test_a_model_that_knows_none_of_the_movies_is_refused(world, judge, tmp_path):
    other = evaluation_world(seed=0)
    foreign = type(other)(**{**vars(other), "movie_ids": np.array([f"x{m}" for m in range(150)], object)})
    verdict = judge(foreign.write_model(tmp_path / "model"))
    assert verdict["metrics"]["challenger"]["top_100_accuracy"] == 0
    assert "top_100_vs_popularity" in _failing(verdict)
    assert _verdicts(verdict)["finite"] == "pass"


def test_a_model_that_cannot_be_loaded_is_a_verdict_and_never_published(judge, tmp_path):
    (tmp_path / "model" / "saved_model").mkdir(parents=True)
    verdict = judge(tmp_path / "model", gate="report")
    assert _failing(verdict) == {"scorable"}
    assert not verdict["blessed"]
    assert not verdict["publish"]
    assert verdict["metrics"]["challenger"] == {}
    assert verdict["metrics"]["baselines"]["popularity"]["top_100_accuracy"] > 0


def test_a_champion_that_cannot_be_scored_refuses_unless_it_is_ignored(judge, good_model, tmp_path):
    (tmp_path / "served" / "saved_model").mkdir(parents=True)
    (tmp_path / "served" / "model.json").write_text(json.dumps({"split": SPLIT}))
    champion = _champion(tmp_path / "champion", tmp_path / "served")
    refused = judge(good_model, champion)
    assert _failing(refused) == {"champion_scorable"}
    ignored = judge(good_model, champion, ignore_champion=True)
    assert ignored["blessed"]
    assert _verdicts(ignored)["top_100_vs_champion"] == "skipped"
    why = "It was left out, as asked."
    assert ignored["champion"] == {"exists": True, "version": "v7", "sequence": 3, "ignored": why}


def test_a_champion_that_could_not_be_brought_is_ignored_with_the_reason(judge, good_model, tmp_path):
    directory = tmp_path / "champion"
    directory.mkdir()
    why = "It was left out, as asked; it could not be read: it is damaged."
    record = {"exists": True, "version": "v7", "sequence": 3, "ignored": why}
    (directory / "champion.json").write_text(json.dumps(record))
    verdict = judge(good_model, directory)
    assert verdict["blessed"]
    assert verdict["champion"] == record
    skipped = next(rule for rule in verdict["rules"] if rule["name"] == "champion_scorable")
    assert (skipped["verdict"], skipped["why"]) == ("skipped", f"The champion is ignored. {why}")


@pytest.fixture
def with_past(tmp_path):
    """A function that makes what `prepare` writes where an earlier champion is ahead."""

    def make(champion, best):
        directory = _champion(tmp_path / "champion", champion)
        record = json.loads((directory / "champion.json").read_text())
        record |= {"best_version": "v5", "best_sequence": 1}
        (directory / "champion.json").write_text(json.dumps(record))
        (directory / "best_model").symlink_to(best)
        return directory

    return make


def test_a_step_further_down_is_refused_by_the_best_champion_before(
    world, judge, good_model, with_past, tmp_path
):
    random = np.random.default_rng(0)
    noise = random.normal(size=world.scores.shape).astype(np.float32)
    worse = world.write_model(tmp_path / "worse", scores=world.scores + noise)
    verdict = judge(worse, with_past(worse, good_model))
    assert _failing(verdict) == {"top_100_vs_best_champion", "ndcg_10_vs_best_champion"}
    assert verdict["best_champion"] == {"exists": True, "version": "v5", "sequence": 1, "ignored": ""}
    # It is in the rules and nowhere else.
    assert "best_champion" not in {*verdict["metrics"]["baselines"], *verdict["intervals"]}


def test_a_best_champion_that_read_the_test_rows_or_is_broken_is_skipped(
    world, judge, good_model, with_past, tmp_path
):
    other = world.write_model(tmp_path / "other", split={**SPLIT, "seed": 7})
    directory = with_past(good_model, other)
    skipped = [rule for rule in judge(good_model, directory)["rules"] if rule["against"] == "best_champion"]
    assert {rule["verdict"] for rule in skipped} == {"skipped"}
    assert all("seed 7, here 42" in rule["why"] for rule in skipped)
    (tmp_path / "broken" / "saved_model").mkdir(parents=True)
    (tmp_path / "broken" / "model.json").write_text(json.dumps({"split": SPLIT}))
    (directory / "best_model").unlink()
    (directory / "best_model").symlink_to(tmp_path / "broken")
    verdict = judge(good_model, directory)
    assert verdict["blessed"]
    skipped = [rule for rule in verdict["rules"] if rule["against"] == "best_champion"]
    assert all("cannot be scored" in rule["why"] for rule in skipped)


def test_a_loss_that_few_rows_cannot_show_is_undecided_and_the_strict_gate_refuses_it(
    world, judge, good_model, tmp_path
):
    random = np.random.default_rng(1)
    noise = 0.2 * random.normal(size=world.scores.shape).astype(np.float32)
    near = world.write_model(tmp_path / "near", scores=world.scores + noise)
    margin = {"champion_margin": "top_100=0.005,ndcg_10=0.05"}
    verdict = judge(near, good_model, **margin)
    assert _verdicts(verdict)["top_100_vs_champion"] == "undecided"
    assert verdict["blessed"]
    assert verdict["reason"].startswith("Not proven worse (top_100_vs_champion): ")
    assert judge(near, good_model, champion_margin="top_100=0.2,ndcg_10=0.2")["reason"].startswith(
        "Good enough"
    )
    strict = judge(near, good_model, gate="strict", **margin)
    assert "top_100_vs_champion" in _failing(strict)
    assert (strict["gate"], strict["publish"]) == ("strict", False)


def test_nan_where_no_test_row_asks_is_found(world, judge, tmp_path):
    stars = world.stars.copy()
    stars[:, ~np.isin(np.arange(150), world.rows("test")[1])] = np.nan
    assert np.isnan(stars).any()
    assert _failing(judge(world.write_model(tmp_path / "model", stars=stars))) == {"finite"}


def test_a_champion_with_another_split_is_not_compared(world, judge, good_model, tmp_path):
    champion = world.write_model(tmp_path / "other", split={**SPLIT, "seed": 7})
    verdict = judge(good_model, champion)
    compared = [rule for rule in verdict["rules"] if rule["against"] == "champion"]
    assert {rule["verdict"] for rule in compared} == {"skipped"}
    assert all("seed 7, here 42" in rule["why"] for rule in compared)


def test_a_champion_with_a_smaller_catalogue_misses_what_it_cannot_know(world, judge, good_model, tmp_path):
    half = np.arange(0, 150, 2)[::-1]
    champion = world.write_model(tmp_path / "half", movies=half)
    verdict = judge(good_model, champion)
    knows = np.isin(world.rows("test")[1], half)
    assert verdict["metrics"]["champion"]["top_100_accuracy"] == pytest.approx(knows.mean())


def test_gate_report_publishes_what_it_refuses(world, judge, tmp_path):
    model = world.write_model(tmp_path / "model", scores=np.zeros_like(world.scores))
    verdict = judge(model, gate="report")
    assert not verdict["blessed"]
    assert verdict["publish"]
    assert verdict["reason"].startswith("Published although it would be refused (top_100_vs_popularity)")


def test_absolute_bounds_refuse_a_model_that_misses_them(judge, good_model):
    assert _failing(judge(good_model, min_top_100_accuracy=1.0, max_rmse=0.01)) == {
        "min_top_100_accuracy",
        "max_rmse",
    }


@pytest.mark.parametrize(
    ("shares", "users", "why"),
    [
        ((0.8, 0.2, 0.0), 120, "0 test rows of 0 users decide nothing"),
        ((0.6, 0.1, 0.3), 1, "test rows of 1 users decide nothing"),
        ((0.6, 0.1, 0.3), 29, "test rows of 29 users decide nothing"),
    ],
)
def test_too_few_test_rows_decide_nothing(judge, tmp_path, shares, users, why):
    world = evaluation_world(users=users, shares=shares)
    verdict = judge(world.write_model(tmp_path / "model"), at=world.write_data(tmp_path / "data"))
    assert "enough_test_rows" in _failing(verdict)
    assert why in verdict["reason"]


def test_the_sums_of_each_user_give_the_metrics_again(judge, good_model, tmp_path):
    verdict = judge(good_model)
    table = pq.read_table(tmp_path / "evaluation" / "users.parquet").to_pandas()
    assert table["rows"].sum() == verdict["test_rows"]
    hits = table["challenger.top_50_accuracy_unseen"].sum() / table["rows"].sum()
    assert hits == pytest.approx(verdict["metrics"]["challenger"]["top_50_accuracy_unseen"])


def test_kfp_is_given_finite_floats_of_pythons_own(world, judge, tmp_path):
    stars = world.stars.copy()
    stars[world.rows("test")[0][0]] = np.nan
    metadata = {}
    model = world.write_model(tmp_path / "model", stars=stars)
    judge(model, metrics_path=str(tmp_path / "metrics.json"), metrics_metadata=metadata)
    assert json.loads((tmp_path / "metrics.json").read_text()) == metadata
    assert "rmse" not in metadata
    assert {type(value) for value in metadata.values()} == {float}


def test_the_same_seed_gives_the_same_verdict(judge, good_model):
    assert judge(good_model, seed=5) == judge(good_model, seed=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gate": "maybe"}, "--gate maybe: give enforce, report or strict"),
        ({"min_top_100_accuracy": 1.5}, "--min-top-100-accuracy 1.5"),
        ({"max_rmse": float("nan")}, "--max-rmse nan"),
        ({"max_rmse": -1.0}, "--max-rmse -1"),
        (
            {"champion_margin": "recall=0.1"},
            "--champion-margin recall=0.1: give top_100=NUMBER,ndcg_10=NUMBER,",
        ),
        ({"model": "nowhere"}, "--model nowhere is no Model"),
        ({"champion": "nowhere"}, "--champion nowhere holds neither"),
        ({"interactions": "nowhere"}, r"cannot read nowhere/interactions\.json"),
    ],
)
def test_a_users_mistake_is_one_line_and_writes_nothing(data, good_model, tmp_path, arguments, message):
    usual = {
        "model": str(good_model),
        "interactions": str(data / "interactions"),
        "vocabulary": str(data / "vocabulary"),
    }
    with pytest.raises(UserError, match=message):
        evaluate(**{**usual, **arguments}, output=str(tmp_path / "evaluation"))
    assert list(tmp_path.iterdir()) == []


def test_data_of_two_kinds_are_refused(data, good_model, tmp_path):
    other = evaluation_world(users=40).write_data(tmp_path / "other")
    with pytest.raises(UserError, match="was not made with"):
        evaluate(
            model=str(good_model),
            interactions=str(data / "interactions"),
            vocabulary=str(other / "vocabulary"),
            output=str(tmp_path / "evaluation"),
        )

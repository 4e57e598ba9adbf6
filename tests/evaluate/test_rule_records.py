"""What each rule puts on record, whole: every field is read by the verdict, the report or a program."""

import math

import numpy as np
import pytest

from components.evaluate import rules
from components.evaluate.bootstrap import Resampled
from components.evaluate.gate import Evidence, GateSettings, Measures, decide
from components.evaluate.rules import Rule

ACCURACY, RMSE = "top_100_accuracy_unseen", "rmse"
IN_WORDS = "Top-100 accuracy among unseen movies"


@pytest.mark.parametrize(
    ("failure", "verdict", "why"),
    [
        ("", "pass", "The champion answered every row."),
        ("no signature", "fail", "The champion cannot be scored: no signature"),
    ],
)
def test_a_model_that_does_not_answer(failure, verdict, why):
    expected = Rule("champion_scorable", "", "", None, None, verdict, why)
    assert rules.scorable("champion_scorable", "champion", failure) == expected


@pytest.mark.parametrize(
    ("users", "verdict", "why"),
    [
        (0, "pass", "All scores and ratings of 2,000 users are finite numbers."),
        (1200, "fail", "1,200 of 2,000 users get a score or a rating that is NaN or infinite."),
    ],
)
def test_answers_that_are_no_numbers(users, verdict, why):
    expected = Rule("finite", "non_finite_users", "<=", float(users), 0.0, verdict, why)
    assert rules.finite(users, 2000) == expected


@pytest.mark.parametrize(
    ("users", "interval", "bound", "verdict", "why"),
    [
        (100, (0.375, 0.625), 30.0, "pass", "900 test rows of 100 users."),
        (100, None, 30.0, "pass", "900 test rows of 100 users."),
        (29, None, 30.0, "fail", "900 test rows of 29 users decide nothing; at least 30 users are needed."),
        (
            100,
            (0.25, 0.75),
            400.0,
            "fail",
            "100 test users leave top-100 accuracy uncertain by ±0.250; about 400 are needed for ±0.125.",
        ),
        (
            100,
            (0.125, 0.875),
            900.0,
            "fail",
            "100 test users leave top-100 accuracy uncertain by ±0.375; about 900 are needed for ±0.125.",
        ),
    ],
)
def test_the_test_rows(users, interval, bound, verdict, why):
    rule = rules.enough_test_rows(900, users, interval, min_users=30, max_half_width=0.125)
    assert rule == Rule("enough_test_rows", "test_users", ">=", float(users), bound, verdict, why)


@pytest.mark.parametrize(
    ("metric", "value", "bound", "expected"),
    [
        (ACCURACY, 0.5, 0.0, (">=", 0.5, None, "skipped", "No bound was set.")),
        (RMSE, math.nan, 0.0, ("<=", None, None, "skipped", "No bound was set.")),
        (
            ACCURACY,
            0.5,
            0.25,
            (">=", 0.5, 0.25, "pass", f"{IN_WORDS} is 0.5000; at least 0.2500 is asked for."),
        ),
        (
            RMSE,
            1.0,
            0.75,
            ("<=", 1.0, 0.75, "fail", "RMSE is 1.0000 stars; at most 0.7500 stars is asked for."),
        ),
        (
            RMSE,
            math.inf,
            0.75,
            ("<=", None, 0.75, "fail", "RMSE is not a finite number; at most 0.7500 stars is asked for."),
        ),
    ],
)
def test_an_absolute_bound(metric, value, bound, expected):
    interval = (0.25, 0.75)
    rule = rules.bounded("bound", metric, value, bound, interval)
    assert rule == Rule("bound", metric, *expected, interval=interval)


@pytest.mark.parametrize(
    ("metric", "value", "other", "interval", "verdict", "why"),
    [
        (
            ACCURACY,
            0.25,
            0.5,
            (-0.375, -0.125),
            "fail",
            f"{IN_WORDS} 0.2500 is worse than 0.5000 of popularity "
            "(difference -0.2500, 95% interval -0.3750 to -0.1250).",
        ),
        (
            RMSE,
            1.0,
            0.75,
            (0.125, 0.375),
            "fail",
            "RMSE 1.0000 stars is worse than 0.7500 stars of popularity "
            "(difference +0.2500, 95% interval +0.1250 to +0.3750).",
        ),
        (
            RMSE,
            0.75,
            1.0,
            (-0.375, -0.125),
            "pass",
            "RMSE 0.7500 stars is better than 1.0000 stars of popularity "
            "(difference -0.2500, 95% interval -0.3750 to -0.1250).",
        ),
        (RMSE, 0.75, 1.0, None, "pass", "RMSE 0.7500 stars is better than 1.0000 stars of popularity."),
        (RMSE, 1.0, 1.0, None, "pass", "RMSE 1.0000 stars is equal to 1.0000 stars of popularity."),
    ],
)
def test_a_comparison(metric, value, other, interval, verdict, why):
    rule = rules.not_worse(metric, "popularity", value, other, interval)
    comparison, name = ("<=", "rmse") if metric == RMSE else (">=", "top_100")
    assert rule == Rule(
        f"{name}_vs_popularity",
        metric,
        comparison,
        value,
        other,
        verdict,
        why,
        "popularity",
        value - other,
        interval,
    )


def test_a_comparison_on_a_part_of_the_rows_names_it():
    rule = rules.not_worse(RMSE, "champion", 1.0, 1.0, None, part="new_users")
    assert rule.name == "rmse_vs_champion_new_users"
    assert rule.why == "New users: RMSE 1.0000 stars is equal to 1.0000 stars of the champion."


def test_the_interval_saves_what_the_difference_alone_would_not():
    assert rules.not_worse(RMSE, "bias", 1.0, 0.75, (-0.125, 0.625)).verdict == "pass"


@pytest.mark.parametrize(
    ("value", "other", "expected"),
    [
        (math.nan, 0.75, (None, 0.75, "fail", "RMSE is not a finite number.")),
        (
            0.75,
            math.inf,
            (0.75, None, "pass", "RMSE of the champion is not a finite number, the challenger's is."),
        ),
    ],
)
def test_a_comparison_with_what_is_no_number(value, other, expected):
    rule = rules.not_worse(RMSE, "champion", value, other, (0.0, 1.0))
    assert rule == Rule("rmse_vs_champion", RMSE, "<=", *expected, "champion")


@pytest.mark.parametrize(("metric", "comparison"), [("", ""), (ACCURACY, ">="), (RMSE, "<=")])
def test_a_rule_that_cannot_be_applied(metric, comparison):
    expected = Rule("name", metric, comparison, None, None, "skipped", "No reason.", "")
    assert rules.skipped("name", metric, "No reason.") == expected


def test_all_that_differs_between_two_splits_is_said():
    split = {"kind": "random", "seed": 42, "validation_fraction": 0.1, "test_fraction": 0.1}
    assert rules.split_mismatch({**split, "kind": "time", "seed": 7}, split) == (
        "The champion had another split (kind time, here random; seed 7, here 42): "
        "it may have trained on these test rows."
    )
    assert rules.split_mismatch(None, split) == (
        "The champion does not say how its data were split: it may have trained on these test rows."
    )


def _draws(**scorers):
    """Draws of which the 95% interval is ±0.02 about each value: 41 of them, 0.001 apart but for two."""
    spread = np.linspace(-0.02, 0.02, 41)
    return Resampled(
        {name: {key: v + spread for key, v in values.items()} for name, values in scorers.items()}
    )


def _measures(rows=2000, users=100, **scorers):
    return Measures(rows=rows, users=users, metrics=scorers, resampled=_draws(**scorers))


_MINE = {ACCURACY: 0.5, RMSE: 0.875}
_THEIRS = {ACCURACY: 0.25, RMSE: 1.0}
_BASELINES = {"popularity": {ACCURACY: 0.25}, "global_mean": {RMSE: 1.125}, "bias": {RMSE: 0.9375}}


def _decided(evidence, settings=None):
    return {rule.name: rule for rule in decide(evidence, settings or GateSettings())}


def test_the_gate_compares_value_bound_and_interval_of_each_rule():
    decided = _decided(Evidence(_measures(challenger=_MINE, champion=_THEIRS, **_BASELINES)))
    for name, metric, against, other in (
        ("top_100_vs_popularity", ACCURACY, "popularity", 0.25),
        ("rmse_vs_global_mean", RMSE, "global_mean", 1.125),
        ("rmse_vs_bias", RMSE, "bias", 0.9375),
        ("top_100_vs_champion", ACCURACY, "champion", 0.25),
        ("rmse_vs_champion", RMSE, "champion", 1.0),
    ):
        rule = decided[name]
        assert (rule.metric, rule.against, rule.value, rule.bound) == (metric, against, _MINE[metric], other)
        # The draws are paired: the spread that all have in common cancels.
        assert rule.interval == pytest.approx((rule.difference, rule.difference)), name
    for name, metric in (("min_top_100_accuracy", ACCURACY), ("max_rmse", RMSE)):
        low, high = decided[name].interval
        assert (low, high) == pytest.approx((_MINE[metric] - 0.019, _MINE[metric] + 0.019)), name


def test_the_gate_measures_by_the_challengers_own_interval_whether_there_are_enough_rows():
    evidence = Evidence(_measures(challenger=_MINE), no_champion="none")
    assert _decided(evidence)["enough_test_rows"].verdict == "pass"
    assert _decided(evidence, GateSettings(max_half_width=0.0095))["enough_test_rows"].bound == pytest.approx(
        400, abs=1
    )


def test_what_was_not_measured_is_skipped_with_the_reason():
    nothing = "There is nothing to measure it by: the challenger was not scored, or there are no test rows."
    decided = _decided(Evidence(_measures(), failure="broken", no_champion="There is no champion yet."))
    for name, metric, against in (
        ("min_top_100_accuracy", ACCURACY, ""),
        ("max_rmse", RMSE, ""),
        ("top_100_vs_popularity", ACCURACY, "popularity"),
        ("rmse_vs_global_mean", RMSE, "global_mean"),
        ("rmse_vs_bias", RMSE, "bias"),
    ):
        assert decided[name] == rules.skipped(name, metric, nothing, against)
    for name, metric in (("top_100_vs_champion", ACCURACY), ("rmse_vs_champion", RMSE)):
        assert decided[name] == rules.skipped(name, metric, "There is no champion yet.", "champion")
    expected = rules.skipped("champion_scorable", "", "There is no champion yet.", "champion")
    assert decided["champion_scorable"] == expected


def test_a_champion_that_fails_is_the_reason_for_what_is_skipped():
    decided = _decided(Evidence(_measures(challenger=_MINE, **_BASELINES), champion_failure="no signature"))
    assert decided["champion_scorable"].why == "The champion cannot be scored: no signature"
    for name, metric in (("top_100_vs_champion", ACCURACY), ("rmse_vs_champion", RMSE)):
        expected = rules.skipped(name, metric, "The champion was not scored.", "champion")
        assert decided[name] == expected


def _with_slice(**part):
    whole = _measures(challenger=_MINE, champion=_THEIRS, **_BASELINES)
    return Evidence(whole, slices={"new_users": _measures(**part)})


def test_a_slice_is_compared_with_the_champion_within_its_own_tolerance():
    worse = {ACCURACY: 0.45, RMSE: 0.925}
    evidence = _with_slice(challenger=worse, champion=_MINE)
    strict, lenient = (
        _decided(evidence, GateSettings(slice_tolerance=tolerance)) for tolerance in (0.04, 0.06)
    )
    for name, metric in (
        ("top_100_vs_champion_new_users", ACCURACY),
        ("rmse_vs_champion_new_users", RMSE),
    ):
        rule = strict[name]
        assert (rule.verdict, lenient[name].verdict) == ("fail", "pass")
        assert (rule.metric, rule.against, rule.value, rule.bound) == (
            metric,
            "champion",
            worse[metric],
            _MINE[metric],
        )
        assert rule.why.startswith("New users: ")


@pytest.mark.parametrize(
    ("rows", "users", "verdict"), [(1000, 30, "pass"), (999, 30, "skipped"), (1000, 29, "skipped")]
)
def test_a_slice_of_too_few_rows_or_users_is_not_judged(rows, users, verdict):
    decided = _decided(_with_slice(rows=rows, users=users, challenger=_MINE, champion=_THEIRS))
    for name, metric in (
        ("top_100_vs_champion_new_users", ACCURACY),
        ("rmse_vs_champion_new_users", RMSE),
    ):
        assert decided[name].verdict == verdict
        if verdict == "skipped":
            why = f"{rows:,} test rows of {users} users are too few to judge new users by."
            assert decided[name] == rules.skipped(name, metric, why, "champion")


def test_a_metric_that_a_slice_lacks_is_skipped_under_its_own_name():
    decided = _decided(_with_slice(challenger={RMSE: 0.875}, champion=_THEIRS))
    assert decided["top_100_vs_champion_new_users"].verdict == "skipped"
    assert decided["rmse_vs_champion_new_users"].verdict == "pass"


@pytest.mark.parametrize("scorer", ["challenger", "champion"])
def test_a_slice_that_only_one_of_the_two_was_scored_on_is_left_out(scorer):
    decided = _decided(_with_slice(**{scorer: _MINE}))
    assert not [name for name in decided if name.endswith("new_users")]

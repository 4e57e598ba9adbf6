"""What each rule puts on record, whole: every field is read by the verdict, the report or a program."""

import math

import pytest

from components.evaluate import rules
from components.evaluate.champion import split_mismatch
from components.evaluate.verdict import Rule
from components.ingest.dataset import SplitSettings

ACCURACY, RMSE = "top_100_accuracy_unseen", "rmse"
IN_WORDS = "Top-100 accuracy among unseen movies"


def _rule(name, metric, comparison, value, bound, verdict, why, against="", difference=None, interval=None):
    return Rule(
        name=name,
        metric=metric,
        comparison=comparison,
        value=value,
        bound=bound,
        verdict=verdict,
        why=why,
        against=against,
        difference=difference,
        interval=interval,
    )


@pytest.mark.parametrize(
    ("failure", "verdict", "why"),
    [
        (None, "pass", "The champion answered every row."),
        ("no signature", "fail", "The champion cannot be scored: no signature"),
    ],
)
def test_a_model_that_does_not_answer(failure, verdict, why):
    expected = _rule("champion_scorable", "", "", None, None, verdict, why)
    assert rules.scorable("champion_scorable", "champion", failure) == expected


@pytest.mark.parametrize(
    ("users", "verdict", "why"),
    [
        (0, "pass", "All scores and ratings of 2,000 users are finite numbers."),
        (1200, "fail", "1,200 of 2,000 users get a score or a rating that is NaN or infinite."),
    ],
)
def test_answers_that_are_no_numbers(users, verdict, why):
    expected = _rule("finite", "non_finite_users", "<=", float(users), 0.0, verdict, why)
    assert rules.finite(users, 2000) == expected


def test_a_movie_that_is_no_number_spoils_the_scores_of_all_users():
    why = "1,200 movies have a vector or a bias that is NaN or infinite."
    expected = _rule("finite", "non_finite_users", "<=", 2000.0, 0.0, "fail", why)
    assert rules.finite(3, 2000, 1200) == expected
    why = "3 movies have a vector or a bias that is NaN or infinite."
    expected = _rule("finite", "non_finite_users", "<=", 3.0, 0.0, "fail", why)
    assert rules.finite(0, 0, 3) == expected  # also without users


@pytest.mark.parametrize(
    ("metric", "values", "interval", "verdict", "end"),
    [
        (
            RMSE,
            (1.0, 0.75),
            (-0.125, 0.625),
            "undecided",
            (
                "95% interval -0.1250 to +0.6250). Undecided: 900 test rows may not show a loss of less "
                "than 0.5360; about 16,160 are needed for the margin of 0.1265."
            ),
        ),
        (RMSE, (1.0, 0.75), (0.125, 0.375), "fail", "A loss of up to 0.3750 is beyond the margin of 0.1265."),
        (
            ACCURACY,
            (0.5, 0.6),
            (-0.12, -0.08),
            "pass",
            "A loss of up to 0.1200 is within the margin of 0.1265.",
        ),
        (ACCURACY, (0.5, 0.4), (-0.12, 0.32), "pass", "95% interval -0.1200 to +0.3200)."),
        (ACCURACY, (0.5, 0.5), (-0.5, 0.5), "pass", "95% interval -0.5000 to +0.5000)."),
        # A loss of 0 is none that was shown.
        (ACCURACY, (0.5, 0.55), (-0.1, 0.0), "pass", "95% interval -0.1000 to +0.0000)."),
    ],
)
def test_a_comparison_within_a_margin(metric, values, interval, verdict, end):
    rule = rules.within_margin(metric, "champion", *values, interval, 0.1265, 900, part="new_users")
    measured = "RMSE" if metric == RMSE else "Top-100 accuracy among unseen movies"
    assert rule.why.startswith(f"New users: {measured} ")
    assert rule.why.endswith(end)
    assert rule.name == f"{'rmse' if metric == RMSE else 'top_100'}_vs_champion_new_users"
    assert (rule.verdict, rule.margin, rule.interval) == (verdict, 0.1265, interval)
    assert (rule.value, rule.bound, rule.difference) == (*values, values[0] - values[1])


@pytest.mark.parametrize(
    ("decided", "verdict", "why"),
    [
        (True, "pass", "A rule about what it recommends decided."),
        (False, "fail", "No rule about what it recommends could decide, with lists of 7."),
    ],
)
def test_a_rule_about_recommendations_must_decide(decided, verdict, why):
    assert rules.retrieval_decided(decided, 7) == _rule("retrieval_decided", "", "", None, None, verdict, why)


@pytest.mark.parametrize("k", [7, 100])
def test_each_rule_about_retrieval_says_its_k(k):
    start = f"Top-{k} accuracy among unseen movies"
    for value in (0.5, math.nan):
        compared = (ACCURACY, "champion", value, 0.5, (0.0, 0.0))
        assert rules.not_worse(*compared, k=k).why.startswith(start)
        assert rules.within_margin(*compared, 0.01, 900, k=k).why.startswith(start)
    assert rules.not_worse(ACCURACY, "champion", 0.5, math.nan, None, k=k).why.startswith(start)
    assert rules.bounded("bound", ACCURACY, 0.5, 0.25, None, k).why.startswith(start)
    rule = rules.enough_test_rows(900, 300, (0.0, 1.0), 30, 0.125, k)
    assert rule.why.startswith(f"300 test users leave top-{k} accuracy uncertain")
    assert {rules.not_worse(ACCURACY, "champion", 0.5, 0.5, None, k=k).metric} == {ACCURACY}


@pytest.mark.parametrize(
    ("rows", "value", "bound", "verdict", "why"),
    [
        (None, None, None, "skipped", "The model does not say which rows it was trained on."),
        (0, 0.0, 0.0, "pass", "The challenger was trained on none of the test rows."),
        (
            1200,
            1200.0,
            0.0,
            "fail",
            "The challenger was trained on test rows, at least 1,200: it says what it has read.",
        ),
    ],
)
def test_a_model_that_was_trained_on_the_test_rows(rows, value, bound, verdict, why):
    expected = _rule("unread_test_rows", "trained_test_rows", "<=", value, bound, verdict, why)
    assert rules.not_trained_on(rows) == expected


@pytest.mark.parametrize(
    ("value", "bound", "comparison", "known", "verdict"),
    [
        (0.5, 0.5, ">=", 0.5, "pass"),
        (0.5, 0.5, "<=", 0.5, "pass"),
        (0.25, 0.5, ">=", 0.25, "fail"),
        (0.25, 0.5, "<=", 0.25, "pass"),
        (0.75, 0.5, "<=", 0.75, "fail"),
        (math.inf, 0.5, "<=", None, "fail"),
    ],
)
def test_a_figure_of_the_data(value, bound, comparison, known, verdict):
    cure = "; if that is meant, publish it with --gate report" if verdict == "fail" else ""
    rule = rules.within("data", "share", value, bound, comparison, "What was found")
    assert rule == _rule("data", "share", comparison, known, bound, verdict, f"What was found{cure}.")


@pytest.mark.parametrize(
    ("users", "interval", "bound", "verdict", "why"),
    [
        (100, (0.375, 0.625), 30.0, "pass", "900 test rows of 100 users."),
        (100, None, 30.0, "pass", "900 test rows of 100 users."),
        (30, None, 30.0, "pass", "900 test rows of 30 users."),
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
    assert rule == _rule("enough_test_rows", "test_users", ">=", float(users), bound, verdict, why)


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
    assert rule == _rule("bound", metric, *expected, interval=interval)


@pytest.mark.parametrize(
    ("tolerance", "verdict", "end"),
    [
        (0.12, "fail", "to +0.3750)."),
        (0.125, "pass", "to +0.3750). The nearer end, 0.1250, is within the tolerance of 0.125."),
    ],
)
def test_what_is_worse_and_still_passes_says_why(tolerance, verdict, end):
    rule = rules.not_worse(RMSE, "champion", 1.0, 0.75, (0.125, 0.375), tolerance)
    assert (rule.verdict, rule.margin) == (verdict, None)
    assert rule.why.endswith(end)


def test_what_is_within_chance_needs_no_tolerance():
    rule = rules.not_worse(RMSE, "champion", 1.0, 0.75, (-0.125, 0.625), tolerance=0.5)
    assert rule.why == (
        "RMSE 1.0000 stars is within chance of 0.7500 stars of the champion "
        "(difference +0.2500, 95% interval -0.1250 to +0.6250)."
    )


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
    assert rule == _rule(
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
    assert rule == _rule("rmse_vs_champion", RMSE, "<=", *expected, "champion")


@pytest.mark.parametrize("against", ["", "champion"])
@pytest.mark.parametrize(("metric", "comparison"), [("", ""), (ACCURACY, ">="), (RMSE, "<=")])
def test_a_rule_that_cannot_be_applied(metric, comparison, against):
    expected = _rule("name", metric, comparison, None, None, "skipped", "No reason.", against)
    assert rules.skipped("name", metric, "No reason.", *[against] * bool(against)) == expected


def test_all_that_differs_between_two_splits_is_said():
    split = {"kind": "random", "seed": 42, "validation_fraction": 0.1, "test_fraction": 0.1}
    assert split_mismatch(SplitSettings(**{**split, "kind": "time", "seed": 7}), SplitSettings(**split)) == (
        "The champion had another split (kind time, here random; seed 7, here 42): "
        "it may have trained on these test rows."
    )
    assert split_mismatch(None, SplitSettings(**split)) == (
        "The champion does not say how its data were split: it may have trained on these test rows."
    )

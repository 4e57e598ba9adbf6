"""What the gate puts on record: which rules, of which values, and why one is skipped."""

import numpy as np
import pytest
from gate_evidence import evidence as given
from gate_evidence import resampled

from components.evaluate import rules
from components.evaluate.champion import NO_PAST, DataChange
from components.evaluate.gate import DataBounds, GateSettings, conclude, data_rules, decide
from components.evaluate.verdict import Rule

ACCURACY, NDCG, RMSE = "top_100_accuracy_unseen", "ndcg_10", "rmse"
_COMPARED = (("top_100", ACCURACY), ("ndcg_10", NDCG), ("rmse", RMSE))


# 41 draws, 0.001 apart, of which the 95% interval is ±0.019 about each value.
_SPREAD = np.linspace(-0.02, 0.02, 41)


def _measures(rows=2000, users=100, **scorers):
    return resampled(scorers, rows, users, _SPREAD)


_MINE = {ACCURACY: 0.5, NDCG: 0.25, RMSE: 0.875}
_THEIRS = {ACCURACY: 0.25, NDCG: 0.125, RMSE: 1.0}
_BASELINES = {
    "popularity": {ACCURACY: 0.25, NDCG: 0.0625},
    "global_mean": {RMSE: 1.125},
    "bias": {RMSE: 0.9375},
}


_NOTHING = "There is nothing to measure it by: the challenger was not scored, or there are no test rows."


def _decided(evidence, settings=None):
    return {rule.name: rule for rule in decide(evidence, settings or GateSettings())}


def test_the_gate_compares_value_bound_and_interval_of_each_rule():
    decided = _decided(given(_measures(challenger=_MINE, champion=_THEIRS, **_BASELINES)))
    for name, metric, against, other in (
        ("top_100_vs_popularity", ACCURACY, "popularity", 0.25),
        ("ndcg_10_vs_popularity", NDCG, "popularity", 0.0625),
        ("rmse_vs_global_mean", RMSE, "global_mean", 1.125),
        ("rmse_vs_bias", RMSE, "bias", 0.9375),
        ("top_100_vs_champion", ACCURACY, "champion", 0.25),
        ("ndcg_10_vs_champion", NDCG, "champion", 0.125),
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
    evidence = given(_measures(challenger=_MINE), absence="none")
    assert _decided(evidence)["enough_test_rows"].verdict == "pass"
    assert _decided(evidence, GateSettings(max_half_width=0.0095))["enough_test_rows"].bound == pytest.approx(
        400, abs=1
    )


def test_what_was_not_measured_is_skipped_with_the_reason():
    decided = _decided(given(_measures(), failure="broken", absence="There is no champion yet."))
    for name, metric, against in (
        ("min_top_100_accuracy", ACCURACY, ""),
        ("max_rmse", RMSE, ""),
        ("top_100_vs_popularity", ACCURACY, "popularity"),
        ("ndcg_10_vs_popularity", NDCG, "popularity"),
        ("rmse_vs_global_mean", RMSE, "global_mean"),
        ("rmse_vs_bias", RMSE, "bias"),
    ):
        assert decided[name] == rules.skipped(name, metric, _NOTHING, against)
    for start, metric in _COMPARED:
        for against, why in (("champion", "There is no champion yet."), ("best_champion", NO_PAST.absence)):
            name = f"{start}_vs_{against}"
            assert decided[name] == rules.skipped(name, metric, why, against)
    assert decided["retrieval_decided"] == rules.skipped("retrieval_decided", "", _NOTHING)
    expected = rules.skipped("champion_scorable", "", "There is no champion yet.", "champion")
    assert decided["champion_scorable"] == expected


def test_a_champion_that_fails_is_the_reason_for_what_is_skipped():
    decided = _decided(given(_measures(challenger=_MINE, **_BASELINES), champion_failure="no signature"))
    assert decided["champion_scorable"].why == "The champion cannot be scored: no signature"
    for name, metric in ((f"{start}_vs_champion", metric) for start, metric in _COMPARED):
        expected = rules.skipped(name, metric, "The champion was not scored.", "champion")
        assert decided[name] == expected


def test_a_champion_without_a_metric_has_nothing_to_be_compared_in():
    decided = _decided(given(_measures(challenger=_MINE, champion={RMSE: 1.0}, **_BASELINES)))
    expected = rules.skipped("ndcg_10_vs_champion", NDCG, _NOTHING, "champion")
    assert decided["ndcg_10_vs_champion"] == expected
    expected = rules.skipped("top_100_vs_champion", ACCURACY, _NOTHING, "champion")
    assert decided["top_100_vs_champion"] == expected


def _with_slice(**part):
    whole = _measures(challenger=_MINE, champion=_THEIRS, **_BASELINES)
    return given(whole, slices={"new_users": _measures(**part)})


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
    rule = decided["top_100_vs_champion_new_users"]
    assert rule == rules.skipped("top_100_vs_champion_new_users", ACCURACY, _NOTHING, "champion")
    assert decided["rmse_vs_champion_new_users"].verdict == "pass"


@pytest.mark.parametrize("scorer", ["challenger", "champion"])
def test_a_slice_that_only_one_of_the_two_was_scored_on_is_left_out(scorer):
    decided = _decided(_with_slice(**{scorer: _MINE}))
    assert not [name for name in decided if name.endswith("new_users")]


@pytest.mark.parametrize("rows", [None, 0, 7])
def test_the_gate_is_told_on_how_many_test_rows_the_challenger_was_trained(rows):
    decided = _decided(given(_measures(challenger=_MINE), absence="none", trained_on=rows))
    assert decided["unread_test_rows"] == rules.not_trained_on(rows)


def test_a_metric_has_the_interval_that_was_found_for_it_and_else_that_of_the_draws():
    intervals = {"challenger": {ACCURACY: (0.125, 0.25)}}
    measures = resampled({"challenger": _MINE}, spread=_SPREAD, intervals=intervals)
    assert measures.interval("challenger", ACCURACY) == (0.125, 0.25)
    assert measures.interval("challenger", RMSE) == pytest.approx((0.856, 0.894))
    assert measures.interval("nobody", ACCURACY) is None
    assert measures.interval("nobody", RMSE) is None


def _compared_on_a_part(rows=1000, users=30, **facts):
    """Evidence of a champion that was trained on all test rows but those of the slice `unread`."""
    scored = {"challenger": {ACCURACY: 0.496, RMSE: 0.879}, "champion": _MINE}
    whole = _measures(challenger=_MINE, champion=_THEIRS, **_BASELINES)
    slices = {"unread": _measures(rows, users, **scored), "new_users": _measures(**scored)}
    return given(whole, slices=slices, part="unread", **facts)


def test_a_champion_that_read_test_rows_is_compared_on_the_others_alone():
    strict, lenient = (
        _decided(_compared_on_a_part(), GateSettings(margins=dict.fromkeys(("top_100", "rmse"), margin)))
        for margin in (0.0035, 0.0045)
    )
    for name, value, bound in (("top_100_vs_champion", 0.496, 0.5), ("rmse_vs_champion", 0.879, 0.875)):
        assert (strict[name].value, strict[name].bound) == (value, bound)
        assert (strict[name].verdict, lenient[name].verdict) == ("fail", "pass")
        assert strict[name].why.startswith("Unread: ")
    assert not [name for name in strict if name.endswith(("unread", "new_users"))]


@pytest.mark.parametrize(("rows", "users"), [(999, 30), (1000, 29)])
def test_a_champion_that_read_nearly_all_test_rows_is_not_compared(rows, users):
    decided = _decided(_compared_on_a_part(rows, users))
    why = (
        f"The champion was trained on some of the test rows; of {rows:,} it is certain that "
        "it was not, too few to compare on."
    )
    for name, metric in ((f"{start}_vs_champion", metric) for start, metric in _COMPARED):
        assert decided[name] == rules.skipped(name, metric, why, "champion")


def test_a_champion_that_fails_is_that_before_it_has_too_few_rows():
    whole = _measures(challenger=_MINE, **_BASELINES)
    decided = _decided(given(whole, part="unread", champion_failure="no signature"))
    for name, metric in ((f"{start}_vs_champion", metric) for start, metric in _COMPARED):
        assert decided[name] == rules.skipped(name, metric, "The champion was not scored.", "champion")


def test_the_data_are_held_to_the_bounds_that_are_set():
    change = DataChange(0.5, 0.0, 0.0, 0.0, 0.0, scale=4.0)
    bounds = DataBounds(min_rows_share=0.25)
    evidence = given(_measures(challenger=_MINE, champion=_THEIRS), data=change)
    decided = _decided(evidence, GateSettings(data=bounds))
    for rule in data_rules(change, "", bounds):
        assert decided[rule.name] == rule
    assert _decided(evidence)["data_rows_share"].verdict == "fail"


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"no_data": "It does not say.", "absence": "There is no champion yet."}, "It does not say."),
        ({"no_data": "It does not say."}, "It does not say."),
        ({"absence": "There is no champion yet."}, "There is no champion yet."),
        ({}, _NOTHING),
    ],
)
def test_data_that_are_compared_with_none_are_skipped_with_the_nearest_reason(facts, why):
    decided = _decided(given(_measures(challenger=_MINE), **facts))
    for rule in data_rules(None, why, DataBounds()):
        assert decided[rule.name] == rule


def _within(metric, value, bound, comparison, why):
    return rules.within(f"data_{metric}", metric, value, bound, comparison, why)


def test_each_rule_of_the_data_says_what_was_found_and_what_is_expected():
    change = DataChange(0.75, 0.25, 0.125, 0.5, 0.75, scale=4.0)
    bounds = DataBounds(0.5, 0.125, 0.25, 0.25, 0.5)
    assert list(data_rules(change, "", bounds)) == [
        _within(
            "rows_share",
            0.75,
            0.5,
            ">=",
            "There are 75.0% as many known ratings as the champion was trained on, "
            "and at least 50% are expected",
        ),
        _within(
            "rating_mean_shift",
            0.25,
            0.5,
            "<=",
            "The mean rating is 0.250 stars from that of the champion's data, and at most 0.500 are expected",
        ),
        _within(
            "rating_histogram_distance",
            0.125,
            0.25,
            "<=",
            "The histogram of ratings differs from that of the champion's data in 12.5% of the ratings, "
            "and at most 25% are expected",
        ),
        _within(
            "new_users_share",
            0.5,
            0.25,
            "<=",
            "50.0% of the users have no rating in the champion's data, and at most 25% are expected",
        ),
        _within(
            "new_movies_share",
            0.75,
            0.5,
            "<=",
            "75.0% of the rated movies have no rating in the champion's data, and at most 50% are expected",
        ),
    ]


def test_data_that_are_compared_with_none_keep_the_side_of_each_bound():
    comparisons = {
        "rows_share": ">=",
        "rating_mean_shift": "<=",
        "rating_histogram_distance": "<=",
        "new_users_share": "<=",
        "new_movies_share": "<=",
    }
    assert list(data_rules(None, "It does not say.", DataBounds())) == [
        rules.skipped(f"data_{metric}", metric, "It does not say.", comparison=comparison)
        for metric, comparison in comparisons.items()
    ]


def _outcome(name, verdict):
    return Rule(name=name, verdict=verdict, why=f"{name} says so.")


@pytest.mark.parametrize(
    ("others", "more"), [(0, ""), (1, " 1 more rule fails."), (2, " 2 more rules fail.")]
)
@pytest.mark.parametrize(
    ("gate", "scored", "start"),
    [
        ("enforce", True, "Refused"),
        ("report", True, "Published although it would be refused"),
        ("report", False, "Refused"),
    ],
)
def test_a_refusal_names_the_first_rule_that_fails_and_counts_the_others(others, more, gate, scored, start):
    failing = [_outcome(name, "fail") for name in ("finite", "max_rmse", "rmse_vs_bias")[: 1 + others]]
    decided = [_outcome("scorable", "pass"), *failing, _outcome("top_100_vs_champion", "skipped")]
    expected = (False, start != "Refused", f"{start} (finite): finite says so.{more}")
    assert conclude(decided, gate, scored) == expected


@pytest.mark.parametrize(
    ("verdicts", "telling"),
    [
        ({"rmse_vs_bias": "pass", "top_100_vs_champion": "pass"}, "top_100_vs_champion says so."),
        (
            {"top_100_vs_champion": "skipped", "top_100_vs_popularity": "pass"},
            "top_100_vs_popularity says so.",
        ),
        ({"rmse_vs_bias": "pass", "top_100_vs_champion": "skipped"}, "rmse_vs_bias says so."),
        ({"scorable": "pass", "top_100_vs_champion": "skipped"}, "every rule passes."),
    ],
)
def test_a_model_that_passes_is_explained_by_the_most_telling_rule(verdicts, telling):
    decided = [_outcome(name, verdict) for name, verdict in verdicts.items()]
    assert conclude(decided, "enforce", True) == (True, True, f"Good enough: {telling}")


def test_a_model_that_passes_undecided_says_so_and_what_else_is():
    decided = [_outcome("top_100_vs_champion", "pass"), _outcome("ndcg_10_vs_champion", "undecided")]
    start = "Not proven worse (ndcg_10_vs_champion): ndcg_10_vs_champion says so."
    assert conclude(decided, "enforce", True) == (True, True, start)
    for others, more in ((1, " 1 more is undecided."), (2, " 2 more are undecided.")):
        more_of_them = [_outcome("rmse_vs_champion", "undecided")] * others
        assert conclude([*decided, *more_of_them], "enforce", True) == (True, True, start + more)


def _small(k, **facts):
    """Evidence of a catalogue whose gate measures retrieval at `k`."""
    measured = {f"top_{k}_accuracy_unseen": 0.5, NDCG: 0.25, RMSE: 0.875}
    scorers = {"challenger": measured, "champion": measured, "best_champion": measured}
    return given(
        _measures(**scorers, popularity={f"top_{k}_accuracy_unseen": 0.25, NDCG: 0.125}), k=k, **facts
    )


def test_the_rules_keep_their_names_and_say_the_k_that_they_measure_at():
    decided = _decided(_small(7), GateSettings(min_top_100_accuracy=0.25, max_half_width=0.001))
    for name in (
        "min_top_100_accuracy",
        "top_100_vs_popularity",
        "top_100_vs_champion",
        "top_100_vs_best_champion",
    ):
        assert (decided[name].metric, decided[name].value) == (ACCURACY, 0.5), name
        assert decided[name].why.startswith("Top-7 accuracy among unseen movies"), name
    assert "leave top-7 accuracy uncertain" in decided["enough_test_rows"].why
    assert decided["retrieval_decided"] == rules.retrieval_decided(True, 7)


@pytest.mark.parametrize(("choices", "length", "outcome"), [(7, 7, "skipped"), (8, 7, "pass")])
def test_lists_that_hold_every_movie_decide_nothing(choices, length, outcome):
    decided = _decided(_small(7, choices=choices), GateSettings(min_top_100_accuracy=0.25))
    names = (
        "min_top_100_accuracy",
        "top_100_vs_popularity",
        "top_100_vs_champion",
        "top_100_vs_best_champion",
    )
    assert {decided[name].verdict for name in names} == {outcome}
    if outcome == "skipped":
        why = f"With lists of {length}, each user is recommended all movies that are left."
        assert {decided[name].why for name in names} == {why}
    assert decided["retrieval_decided"].verdict == "pass"  # NDCG still counts the order


def test_a_verdict_without_a_rule_on_retrieval_fails():
    decided = _decided(_small(7, choices=1))
    assert decided["retrieval_decided"] == rules.retrieval_decided(False, 7)
    assert decided["ndcg_10_vs_popularity"].why.startswith("With lists of 1, ")
    assert decided["rmse_vs_champion"].verdict == "pass"


def test_margins_in_stars_grow_with_the_rating_scale():
    metrics = {"challenger": {RMSE: 20.0}, "champion": {RMSE: 19.8}}
    for scale, margin, verdict in ((4.0, 0.01, "fail"), (100.0, 0.25, "pass")):
        rule = _decided(given(resampled(metrics), scale=scale))["rmse_vs_champion"]
        assert (rule.margin, rule.verdict) == (pytest.approx(margin), verdict)
    given_margin = GateSettings(margins={"rmse": 0.1})
    rule = _decided(given(resampled(metrics), scale=100.0), given_margin)["rmse_vs_champion"]
    assert (rule.margin, rule.verdict) == (0.1, "fail")
    slices = {"new_users": resampled(metrics, rows=1000)}
    for scale, verdict in ((4.0, "fail"), (100.0, "pass")):
        decided = _decided(given(resampled(metrics), slices=slices, scale=scale))
        assert decided["rmse_vs_champion_new_users"].verdict == verdict


def test_margins_in_movies_do_not():
    metrics = {"challenger": {ACCURACY: 0.45}, "champion": {ACCURACY: 0.5}}
    slices = {"new_users": resampled(metrics, rows=1000)}
    decided = _decided(given(resampled(metrics), slices=slices, scale=100.0))
    assert decided["top_100_vs_champion"].margin == 0.01
    assert decided["top_100_vs_champion_new_users"].verdict == "fail"


def test_of_feedback_without_stars_no_rule_of_the_data_asks_for_stars():
    change = DataChange(1.0, 0.0, 0.0, 0.0, 0.0, scale=4.0)
    decided = _decided(given(_measures(challenger=_MINE), data=change, feedback="implicit"))
    of_data = {name: rule for name, rule in decided.items() if name.startswith("data_")}
    skipped = {name: rule.why for name, rule in of_data.items() if rule.verdict == "skipped"}
    why = "The feedback has no stars (--feedback implicit)."
    assert skipped == {"data_rating_mean_shift": why, "data_rating_histogram_distance": why}
    assert {rule.verdict for name, rule in of_data.items() if name not in skipped} == {"pass"}


def test_the_best_champion_that_cannot_be_scored_is_skipped_with_the_reason():
    evidence = given(_measures(challenger=_MINE, champion=_THEIRS), best_champion_failure="no signature")
    why = "The best of the champions before cannot be scored: no signature"
    for start, metric in _COMPARED:
        name = f"{start}_vs_best_champion"
        assert _decided(evidence)[name] == rules.skipped(name, metric, why, "best_champion")


def test_the_rules_about_all_users_count_those_of_the_data():
    decided = _decided(given(_measures(challenger=_MINE), users=3000, non_finite_users=2, absence="none"))
    assert decided["finite"] == rules.finite(2, 3000)
    decided = _decided(given(_measures(challenger=_MINE), users=3000, non_finite_movies=2, absence="none"))
    assert decided["finite"] == rules.finite(0, 3000, 2)

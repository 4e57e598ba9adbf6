"""Every rule at its boundary: equal, just under, just over."""

import math

import numpy as np
import pytest
from gate_evidence import evidence, resampled

from components.evaluate import rules
from components.evaluate.bootstrap import Resampled
from components.evaluate.champion import split_mismatch
from components.evaluate.gate import GateSettings, conclude, decide
from components.evaluate.rules import is_worse
from components.ingest.dataset import SplitSettings

ACCURACY, NDCG, RMSE = "top_100_accuracy_unseen", "ndcg_10", "rmse"
STEP = 1e-9


@pytest.mark.parametrize(
    ("difference", "interval", "metric", "tolerance", "worse"),
    [
        # A tie is not worse, whatever the interval.
        (0.0, (0.0, 0.0), ACCURACY, 0.0, False),
        (0.0, (-0.1, -0.05), ACCURACY, 0.0, False),
        (0.0, (0.05, 0.1), RMSE, 0.0, False),
        # The whole interval has to be on the worse side.
        (-0.1, (-0.2, 0.0), ACCURACY, 0.0, False),
        (-0.1, (-0.2, -STEP), ACCURACY, 0.0, True),
        (-0.1, (-0.2, STEP), ACCURACY, 0.0, False),
        (0.1, (0.0, 0.2), RMSE, 0.0, False),
        (0.1, (STEP, 0.2), RMSE, 0.0, True),
        (0.1, (-STEP, 0.2), RMSE, 0.0, False),
        # Better is not worse.
        (0.1, (0.05, 0.2), ACCURACY, 0.0, False),
        (-0.1, (-0.2, -0.05), RMSE, 0.0, False),
        # The tolerance moves the boundary.
        (-0.1, (-0.2, -0.003), ACCURACY, 0.003, False),
        (-0.1, (-0.2, -0.003 - STEP), ACCURACY, 0.003, True),
        (0.1, (0.003, 0.2), RMSE, 0.003, False),
        (0.1, (0.003 + STEP, 0.2), RMSE, 0.003, True),
        # Without an interval the difference decides.
        (-STEP, None, ACCURACY, 0.0, True),
        (STEP, None, RMSE, 0.0, True),
        (STEP, None, ACCURACY, 0.0, False),
        (-STEP, None, RMSE, 0.0, False),
    ],
)
def test_worse_is_worse_beyond_the_interval_and_the_tolerance(difference, interval, metric, tolerance, worse):
    assert is_worse(difference, interval, metric, tolerance) is worse


@pytest.mark.parametrize(
    ("difference", "interval", "metric", "verdict"),
    [
        # The worse end of the interval has to lie within the margin of 0.01.
        (-0.005, (-0.01, -0.001), ACCURACY, "pass"),
        (-0.005, (-0.01 - STEP, -0.001), ACCURACY, "fail"),
        (0.005, (0.001, 0.01), RMSE, "pass"),
        (0.005, (0.001, 0.01 + STEP), RMSE, "fail"),
        # Beyond it, a difference that is significant fails, and another is undecided.
        (-0.02, (-0.04, -STEP), ACCURACY, "fail"),
        (-0.02, (-0.04, 0.0), ACCURACY, "undecided"),
        (0.02, (STEP, 0.04), RMSE, "fail"),
        (0.02, (0.0, 0.04), RMSE, "undecided"),
        (0.02, (-0.011, 0.05), ACCURACY, "undecided"),
        (-0.02, (-0.05, 0.011), RMSE, "undecided"),
        # Better for certain, or not a whole margin worse at worst.
        (0.02, (0.01, 0.03), ACCURACY, "pass"),
        (0.02, (-0.01, 0.05), ACCURACY, "pass"),
        # Equal is equal, whatever the interval.
        (0.0, (-0.1, 0.1), ACCURACY, "pass"),
        # Without an interval the difference decides.
        (-0.01, None, ACCURACY, "pass"),
        (-0.0101, None, ACCURACY, "fail"),
        (0.01, None, RMSE, "pass"),
        (0.0101, None, RMSE, "fail"),
    ],
)
def test_a_loss_beyond_the_margin_is_excluded_shown_or_undecided(difference, interval, metric, verdict):
    # Of zero, so that the difference is exact.
    rule = rules.within_margin(metric, "champion", difference, 0.0, interval, 0.01, 1000)
    assert (rule.verdict, rule.margin) == (verdict, 0.01)


@pytest.mark.parametrize(
    ("mine", "best", "spread", "verdict"),
    [
        (0.5, 0.505, 0.0, "pass"),
        (0.5, 0.52, 0.0, "fail"),
        # Undecided: what is measured worse is another step down.
        (0.5, 0.501, 0.02, "fail"),
        (0.501, 0.5, 0.02, "pass"),
        (0.5, 0.5, 0.02, "pass"),
    ],
)
def test_many_steps_down_do_not_add_up(mine, best, spread, verdict):
    """The best of the champions before decides by measured values what the rows are too few for."""
    metrics = {
        "challenger": {ACCURACY: mine, NDCG: mine, RMSE: 1 - mine},
        "champion": {ACCURACY: mine, NDCG: mine, RMSE: 1 - mine},
        "best_champion": {ACCURACY: best, NDCG: best, RMSE: 1 - best},
    }
    whole = resampled(metrics)
    # Of the challenger alone, so that the differences have the spread.
    whole.draws["challenger"] = {
        name: value + np.linspace(-spread, spread, 5) for name, value in metrics["challenger"].items()
    }
    decided = {rule.name: rule for rule in decide(evidence(whole), GateSettings())}
    names = [f"{metric}_vs_best_champion" for metric in ("top_100", "ndcg_10", "rmse")]
    assert {decided[name].verdict for name in names} == {verdict}
    if spread and mine != best:
        end = "It is measured no worse." if verdict == "pass" else "Another step down is refused."
        for name in names:
            assert decided[name].why.endswith(f" {end}")
            assert "Undecided: " in decided[name].why


def test_the_strict_gate_refuses_what_is_undecided():
    whole = resampled({"challenger": {ACCURACY: 0.5}, "champion": {ACCURACY: 0.51}})
    whole.draws["challenger"] = {ACCURACY: np.linspace(0.48, 0.52, 5)}
    outcomes = {}
    for strict in (False, True):
        decided = decide(evidence(whole), GateSettings(strict=strict))
        outcomes[strict] = next(rule for rule in decided if rule.name == "top_100_vs_champion")
    assert (outcomes[False].verdict, outcomes[True].verdict) == ("undecided", "fail")
    assert outcomes[True].why == f"{outcomes[False].why} The strict gate refuses that."


@pytest.mark.parametrize(
    ("metric", "value", "bound", "verdict"),
    [
        (ACCURACY, 0.5, 0.5, "pass"),
        (ACCURACY, 0.5 - STEP, 0.5, "fail"),
        (ACCURACY, 0.5 + STEP, 0.5, "pass"),
        (RMSE, 0.9, 0.9, "pass"),
        (RMSE, 0.9 - STEP, 0.9, "pass"),
        (RMSE, 0.9 + STEP, 0.9, "fail"),
        (RMSE, math.nan, 0.9, "fail"),
        (ACCURACY, math.nan, 0.1, "fail"),
        (RMSE, 9.0, 0.0, "skipped"),
        (ACCURACY, 0.0, 0.0, "skipped"),
    ],
)
def test_an_absolute_bound_may_be_reached(metric, value, bound, verdict):
    assert rules.bounded("bound", metric, value, bound, None).verdict == verdict


@pytest.mark.parametrize(("users", "verdict"), [(0, "pass"), (1, "fail")])
def test_one_user_without_a_finite_answer_fails(users, verdict):
    assert rules.finite(users, 100).verdict == verdict


@pytest.mark.parametrize(
    ("users", "half_width", "verdict", "needed"),
    [(29, 0.0, "fail", 30), (30, 0.0, "pass", 30), (100, 0.05, "pass", 30), (100, 0.1, "fail", 400)],
)
def test_too_few_test_rows_fail_and_say_how_many_are_needed(users, half_width, verdict, needed):
    interval = (0.5 - half_width, 0.5 + half_width)
    rule = rules.enough_test_rows(9 * users, users, interval, min_users=30, max_half_width=0.0500001)
    assert rule.verdict == verdict
    assert rule.bound == pytest.approx(needed, abs=1)
    assert verdict == "pass" or f"{rule.bound:,.0f}" in rule.why


@pytest.mark.parametrize(("trained", "verdict"), [(None, "skipped"), (0, "pass"), (1, "fail")])
def test_one_test_row_that_was_trained_on_fails(trained, verdict):
    assert rules.not_trained_on(trained).verdict == verdict


@pytest.mark.parametrize(
    ("rows", "users", "verdict"), [(999, 30, "skipped"), (1000, 29, "skipped"), (1000, 30, "fail")]
)
def test_the_rows_that_the_champion_did_not_read_must_be_enough_to_compare_on(rows, users, verdict):
    """Worse on the part, better on the whole: the part alone counts, if it can."""
    better, worse = {ACCURACY: 0.5, NDCG: 0.4, RMSE: 0.85}, {ACCURACY: 0.4, NDCG: 0.3, RMSE: 0.95}
    whole = resampled({"challenger": better, "champion": worse})
    part = resampled({"challenger": worse, "champion": better}, rows, users)
    decided = {
        rule.name: rule for rule in decide(evidence(whole, {"part": part}, part="part"), GateSettings())
    }
    compared = ("top_100_vs_champion", "ndcg_10_vs_champion", "rmse_vs_champion")
    assert {decided[name].verdict for name in compared} == {verdict}
    assert not [name for name in decided if "_vs_champion_" in name]


@pytest.mark.parametrize(
    ("value", "other", "verdict"),
    [(math.nan, 0.5, "fail"), (math.inf, 0.5, "fail"), (0.5, math.nan, "pass"), (math.nan, math.nan, "fail")],
)
def test_what_is_no_number_loses_against_what_is(value, other, verdict):
    rule = rules.not_worse(RMSE, "champion", value, other, None)
    assert rule.verdict == verdict
    assert rule.value is None or math.isfinite(rule.value)


@pytest.mark.parametrize(
    ("difference", "interval", "relation"),
    [
        (0.02, (0.01, 0.03), "better than"),
        (-0.02, (-0.03, -0.01), "worse than"),
        (0.02, (-0.01, 0.03), "within chance of"),
        (-0.02, (-0.03, 0.01), "within chance of"),
        (0.0, (-0.01, 0.01), "equal to"),
    ],
)
def test_the_sentence_says_how_the_two_compare(difference, interval, relation):
    rule = rules.not_worse(ACCURACY, "popularity", 0.5 + difference, 0.5, interval)
    assert f" is {relation} 0.5000 of popularity" in rule.why


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"seed": 7}, "seed 7, here 42"),
        ({"kind": "time"}, "kind time, here random"),
        ({"test_fraction": 0.3}, "test fraction 0.3, here 0.1"),
        ({"validation_fraction": 0.2}, "validation fraction 0.2, here 0.1"),
    ],
)
def test_a_champion_with_another_split_may_have_seen_the_test_rows(changed, reason):
    split = {"kind": "random", "seed": 42, "validation_fraction": 0.1, "test_fraction": 0.1}
    found = split_mismatch(SplitSettings(**{**split, **changed}), SplitSettings(**split))
    assert bool(found) == bool(reason)
    assert reason in found
    assert "does not say" in split_mismatch(None, SplitSettings(**split))


def _margins(margin):
    return GateSettings(margins={"top_100": margin, "ndcg_10": margin, "rmse": margin})


def _evidence(mine=None, champion=None, **facts):
    """Evidence with certain differences: every resample gives the measured value."""
    metrics = {
        "challenger": {ACCURACY: 0.5, NDCG: 0.4, RMSE: 0.85} | (mine or {}),
        "popularity": {ACCURACY: 0.3, NDCG: 0.2},
        "global_mean": {RMSE: 1.1},
        "bias": {RMSE: 0.9},
    }
    if champion:
        metrics["champion"] = champion
    facts = {"absence": "" if champion else "There is no champion yet.", **facts}
    return evidence(resampled(metrics, users=facts.pop("users", 100)), **facts)


@pytest.mark.parametrize(
    ("given", "settings", "failing"),
    [
        (_evidence(), GateSettings(), []),
        (_evidence({ACCURACY: 0.3}), GateSettings(), []),
        (_evidence({ACCURACY: 0.3 - STEP}), GateSettings(), ["top_100_vs_popularity"]),
        (_evidence({RMSE: 0.9 + STEP}), GateSettings(), ["rmse_vs_bias"]),
        (_evidence({RMSE: 1.1 + STEP}), GateSettings(), ["rmse_vs_global_mean", "rmse_vs_bias"]),
        (_evidence(non_finite_users=1), GateSettings(), ["finite"]),
        (_evidence(users=29), GateSettings(), ["enough_test_rows"]),
        (_evidence(), GateSettings(min_top_100_accuracy=0.51), ["min_top_100_accuracy"]),
        (_evidence(), GateSettings(max_rmse=0.84), ["max_rmse"]),
        (_evidence(champion={ACCURACY: 0.503, RMSE: 0.847}), _margins(0.0031), []),
        (
            _evidence(champion={ACCURACY: 0.503, RMSE: 0.847}),
            _margins(0.0029),
            ["top_100_vs_champion", "rmse_vs_champion"],
        ),
        (_evidence({NDCG: 0.2 - STEP}), GateSettings(), ["ndcg_10_vs_popularity"]),
        (_evidence({NDCG: 0.3}, {ACCURACY: 0.5, NDCG: 0.32}), _margins(0.019), ["ndcg_10_vs_champion"]),
        (_evidence({NDCG: 0.3}, {ACCURACY: 0.5, NDCG: 0.32}), _margins(0.021), []),
        (_evidence(non_finite_movies=1), GateSettings(), ["finite"]),
        (_evidence(choices=100), GateSettings(), []),
        (_evidence(choices=1), GateSettings(), ["retrieval_decided"]),
        (_evidence({ACCURACY: 0.0}, choices=100), GateSettings(), []),
        (_evidence({ACCURACY: 0.0}, choices=101), GateSettings(), ["top_100_vs_popularity"]),
        (_evidence({NDCG: 0.0}, choices=1), GateSettings(), ["retrieval_decided"]),
        (_evidence({NDCG: 0.0}, choices=2), GateSettings(), ["ndcg_10_vs_popularity"]),
        (_evidence(champion_failure="broken"), GateSettings(), []),
        (_evidence(champion_failure="broken", absence=""), GateSettings(), ["champion_scorable"]),
        (_evidence(failure="broken"), GateSettings(), ["scorable"]),
    ],
)
def test_the_gate_names_the_rules_that_fail(given, settings, failing):
    decided = list(decide(given, settings))
    assert [rule.name for rule in decided if rule.verdict == "fail"] == failing, decided
    blessed, _, _ = conclude(decided, "enforce", True)
    assert blessed == (not failing)


def test_the_gate_always_has_the_same_rules():
    nothing = evidence(Resampled(), failure="broken", absence="none")
    names = [rule.name for rule in decide(_evidence(), GateSettings())]
    assert [rule.name for rule in decide(nothing, GateSettings())] == names
    assert [rule.name for rule in decide(_evidence(champion={ACCURACY: 0.5}), GateSettings())] == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("given", "gate", "scored", "expected"),
    [
        (_evidence(), "enforce", True, (True, True)),
        (_evidence(), "report", True, (True, True)),
        (_evidence(non_finite_users=1), "enforce", True, (False, False)),
        (_evidence(non_finite_users=1), "report", True, (False, True)),
        (_evidence(failure="broken"), "report", False, (False, False)),
    ],
)
def test_what_follows_from_the_rules(given, gate, scored, expected):
    blessed, publish, _ = conclude(list(decide(given, GateSettings())), gate, scored)
    assert (blessed, publish) == expected

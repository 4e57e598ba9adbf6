"""Headline of a run: the decision, the rules that decided, and hints on the cause of a failure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from components.display import sentence
from components.evaluate.details import Details
from components.evaluate.verdict import PASS, UNDECIDED, Rule, Verdict
from components.ingest.settings import STARS
from components.metrics import (
    CHALLENGER,
    CHAMPION,
    GATE_METRICS,
    GLOBAL_MEAN,
    METRICS,
    NDCG_10,
    POPULARITY,
    RMSE,
    STAND_INS,
    TOP_100_UNSEEN,
    label,
    title,
)
from components.train.artifact import LogEntry

# A model whose error on training rows is less than this share of that on validation rows is overfitted.
_OVERFITTED = 0.6
# Lists that show hardly more of the catalogue than one list for everybody does.
_SAME_FOR_ALL = 2.0
# Finding less than twice what random lists would find.
_RANDOM = 2.0
# The number of failing rules in the first lines.
_DECIDING = 2


def hints(verdict: Verdict, details: Details, training_log: Sequence[LogEntry]) -> Iterator[str]:
    """Yields symptoms of a failing model, a sentence each; none for a model that passes."""
    metrics = {rule.metric for rule in verdict.failing}
    ranks, rates = bool(metrics & {TOP_100_UNSEEN, NDCG_10}), RMSE in metrics
    if ranks and not rates and verdict.feedback == STARS:
        yield "Only what it recommends is at fault; its ratings pass every rule."
    if rates and not ranks:
        yield "Only its ratings are at fault; what it recommends passes every rule."
    if ranks:
        yield from _ranking_hints(verdict, details)
    if rates:
        yield from _rating_hints(verdict, training_log)


def _ranking_hints(verdict: Verdict, details: Details) -> Iterator[str]:
    metric = verdict.gate_metrics[0]
    found = verdict.metrics.challenger.get(metric.name)
    random = verdict.k / max(verdict.movies, verdict.k)
    if found is not None and found < _RANDOM * random < 1:
        yield (
            f"It ranks hardly better than random lists, which find {metric.figure(random, 1)} of 100: "
            f"it finds {metric.figure(found, 1)}."
        )
    if found == 0:
        yield "A movie that ties with others counts as missed: it may score all movies alike."
    mine, popular = (details.lists.get(name, {}).get("coverage") for name in (CHALLENGER, POPULARITY))
    if mine and popular and mine < _SAME_FOR_ALL * popular:
        yield (
            f"It recommends much the same to everybody: its lists show {100 * mine:.1f}% of all movies, "
            f"those of popularity {100 * popular:.1f}%."
        )


def _rating_hints(verdict: Verdict, training_log: Sequence[LogEntry]) -> Iterator[str]:
    mine = verdict.metrics.challenger.get(RMSE)
    mean = verdict.metrics.baselines.get(GLOBAL_MEAN, {}).get(RMSE)
    if mine is not None and mean is not None and mine >= mean:
        yield "Its ratings are no better than the same mean for every movie."
    if not training_log or mean is None:
        return
    # The loss is in units of the ratings' variance, and the mean is off by its root.
    last = training_log[-1]
    training, validation = math.sqrt(max(last.rating_loss or 0, 0)) * mean, last.validation_rmse
    if training and validation and training < _OVERFITTED * validation:
        yield (
            f"It is overfitted: {training:.2f} stars off on training rows, {validation:.2f} on "
            "validation rows."
        )


@dataclass(frozen=True)
class DecidingRule:
    """A rule of the headline."""

    text: str  # its outcome in people's units
    rule: str
    exact: str  # the rule's own sentence


@dataclass(frozen=True)
class Headline:
    """The first lines about a run."""

    state: Literal["pass", "warn", "fail"]  # its colour
    title: str  # what was decided
    reasons: list[DecidingRule]  # the rules that decided
    more: str  # the number of other failing rules, as a sentence; "" if there are none
    hints: list[str]  # probable causes of a failure


def headline(
    verdict: Verdict, details: Details | None = None, training_log: Sequence[LogEntry] = ()
) -> Headline:
    """Makes the headline of a verdict; `details` and `training_log` are for the hints."""
    failing = verdict.failing
    left = len(failing) - _DECIDING
    state: Literal["pass", "warn", "fail"]
    if verdict.blessed and verdict.undecided:
        state, decision = "warn", "Goes live, not proven to be as good as the champion"
    elif verdict.blessed:
        state, decision = "pass", "Good enough to go live"
    elif verdict.publish:
        state, decision = "warn", "Would be refused, published all the same"
    else:
        state, decision = "fail", "Refused: it does not go live"
    return Headline(
        state=state,
        title=decision,
        reasons=[
            DecidingRule(in_words(rule, verdict.k, verdict.verb), rule.name, rule.why)
            for rule in (_deciding(failing) if failing else _telling(verdict))
        ],
        more=f"{left} more {'rule fails' if left == 1 else 'rules fail'}, see below." if left > 0 else "",
        hints=list(hints(verdict, details or Details(), training_log)),
    )


def in_words(rule: Rule, k: int = 100, verb: str = "rate") -> str:
    """States a rule's outcome in people's units, where it is about one of the gate's metrics.

    `k` is the length of the gate's lists, `verb` what users do with a movie.
    """
    metric = METRICS.get(rule.metric)
    if (
        metric is None
        or not metric.rule
        or rule.value is None
        or rule.bound is None
        or rule.verdict == UNDECIDED
    ):
        return rule.why
    mine, theirs = metric.apart(rule.value, rule.bound)
    later = f"{verb.removesuffix('e')}ed later, in lists of {k}"
    asked = f"that users went on to {verb}" if k == 100 else later
    clause = f"it finds {mine} of 100 movies {asked}"
    if metric.in_stars:
        clause = f"its ratings are {mine} stars off"
    elif rule.metric == NDCG_10:
        clause = f"the order of its best ten scores {mine} of 100"
    if not rule.against:
        asked = "at most" if metric.better == "less" else "at least"
        return f"{sentence(clause)}; {asked} {metric.in_people_units(rule.bound):g} is asked for."
    start = f"{title(rule.slice)}: {clause}" if rule.slice else sentence(clause)
    against = label(rule.against)
    other = f"{against} finds"
    if metric.in_stars:
        other = f"those of {against} are"
    elif rule.metric == NDCG_10:
        other = f"that of {against} scores"
    return f"{start}; {other} {theirs}{_chance(rule)}."


def _deciding(failing: Sequence[Rule]) -> list[Rule]:
    """Picks the first failing rule, and of the others the one that adds most to it."""
    first, *others = failing

    def added(rule: Rule) -> tuple[bool, bool, bool]:
        other_task = (rule.metric == RMSE) != (first.metric == RMSE)
        return not rule.slice, other_task, rule.against == CHAMPION

    return [first, *sorted(others, key=added, reverse=True)[: _DECIDING - 1]]


def _telling(verdict: Verdict) -> Iterator[Rule]:
    """Picks the rules that say most of a blessed model: against the champion, or against baselines."""
    yield from verdict.undecided[:_DECIDING]
    passing = [rule for rule in verdict.rules if rule.verdict == PASS and not rule.slice]
    decisive = RMSE if verdict.feedback == STARS else TOP_100_UNSEEN
    compared = any(rule.against == CHAMPION and rule.metric == decisive for rule in passing)
    for metric in GATE_METRICS:
        against = CHAMPION if compared else STAND_INS[metric.name]
        yield from (rule for rule in passing if (rule.metric, rule.against) == (metric.name, against))


def _chance(rule: Rule) -> str:
    low, high = rule.interval or (0.0, 0.0)
    if rule.value == rule.bound or not low <= 0 <= high or low == high:
        return ""
    return ", which may be chance"

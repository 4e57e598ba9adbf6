"""The rules that a model can be held to: pure functions from measured values to a verdict."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from components.display import sentence
from components.evaluate.bootstrap import Interval
from components.evaluate.names import ERRORS, RMSE, shown, words

Verdict = Literal["pass", "fail", "skipped"]
PASS: Verdict = "pass"
FAIL: Verdict = "fail"
SKIPPED: Verdict = "skipped"


@dataclass(frozen=True)
class Rule:
    """One rule and what came of it.

    Attributes:
      name: stable, for programs.
      metric: what was measured; "" if the rule is about none.
      comparison: what `value` has to be to `bound`: ">=" or "<=", or "" if the rule is about no number.
      value: measured of the challenger; None if it could not be, or is not finite.
      bound: the number set, or the measured value of `against`.
      verdict: "pass", "fail" or "skipped".
      why: one sentence for people.
      against: the scorer that the challenger is compared with, or "".
      difference: value - bound, where there is an `against`.
      interval: the 95% interval of the difference if there is an `against`, else of the value.
    """

    name: str
    metric: str
    comparison: str
    value: float | None
    bound: float | None
    verdict: Verdict
    why: str
    against: str = ""
    difference: float | None = None
    interval: Interval | None = None


def is_worse(difference: float, interval: Interval | None, metric: str, tolerance: float = 0.0) -> bool:
    """Whether a difference (mine minus the other's) is to my disadvantage beyond chance and `tolerance`.

    It is if both the difference and the whole interval exceed the tolerance on the worse side. A tie is not
    worse. Without an interval the difference alone decides.
    """
    low, high = interval or (difference, difference)
    if metric in ERRORS:
        return min(difference, low) > tolerance
    return max(difference, high) < -tolerance


def scorable(name: str, who: str, failure: str) -> Rule:
    """A model must answer at all; `failure` says why it did not, or is ""."""
    why = (
        f"{sentence(words(who))} cannot be scored: {failure}"
        if failure
        else f"{sentence(words(who))} answered every row."
    )
    return Rule(name, "", "", None, None, FAIL if failure else PASS, why)


def finite(non_finite_users: int, users: int) -> Rule:
    """No user may get a score or a rating that is NaN or infinite."""
    why = f"All scores and ratings of {users:,} users are finite numbers."
    if non_finite_users:
        why = f"{non_finite_users:,} of {users:,} users get a score or a rating that is NaN or infinite."
    verdict = FAIL if non_finite_users else PASS
    return Rule("finite", "non_finite_users", "<=", float(non_finite_users), 0.0, verdict, why)


def unread(trained_on: int | None) -> Rule:
    """The model may not have been trained on the rows that it is measured on.

    Args:
      trained_on: on how many of them it was, of those that can be told; None if none can.
    """
    name, metric = "unread_test_rows", "trained_test_rows"
    if trained_on is None:
        return skipped(name, metric, "The model does not say which rows it was trained on.", comparison="<=")
    why = "The challenger was trained on none of the test rows."
    if trained_on:
        why = f"The challenger was trained on test rows, at least {trained_on:,}: it says what it has read."
    verdict = FAIL if trained_on else PASS
    return Rule(name, metric, "<=", float(trained_on), 0.0, verdict, why)


def enough_test_rows(
    rows: int, users: int, interval: Interval | None, min_users: int, max_half_width: float
) -> Rule:
    """The test rows must be able to tell a good model from a bad one.

    Args:
      rows, users: how many test rows there are, of how many users.
      interval: of the challenger's top-100 accuracy among unseen movies.
      min_users: with fewer, the interval itself cannot be trusted.
      max_half_width: with a wider interval, hardly any difference would be seen.
    """
    half_width = (interval[1] - interval[0]) / 2 if interval else 0.0
    needed, verdict = min_users, PASS
    why = f"{rows:,} test rows of {users:,} users."
    if users < min_users:
        verdict = FAIL
        why = f"{rows:,} test rows of {users:,} users decide nothing; at least {needed:,} users are needed."
    elif half_width > max_half_width:
        verdict, needed = FAIL, math.ceil(users * (half_width / max_half_width) ** 2)
        why = (
            f"{users:,} test users leave top-100 accuracy uncertain by ±{half_width:.3f}; "
            f"about {needed:,} are needed for ±{max_half_width:g}."
        )
    return Rule("enough_test_rows", "test_users", ">=", float(users), float(needed), verdict, why)


def bounded(name: str, metric: str, value: float, bound: float, interval: Interval | None) -> Rule:
    """An absolute bound, which the value may reach; a bound of 0 is none."""
    comparison = "<=" if metric in ERRORS else ">="
    known = finite_or_none(value)
    if bound == 0:
        why = "No bound was set."
        return Rule(name, metric, comparison, known, None, SKIPPED, why, interval=interval)
    holds = value <= bound if metric in ERRORS else value >= bound
    asked = "at most" if metric in ERRORS else "at least"
    why = f"{sentence(words(metric))} is {shown(known, metric)}; {asked} {shown(bound, metric)} is asked for."
    return Rule(name, metric, comparison, known, bound, PASS if holds else FAIL, why, interval=interval)


def within(name: str, metric: str, value: float, bound: float, comparison: str, why: str) -> Rule:
    """A figure of the data, which may reach its bound.

    Args:
      comparison: what the value has to be to the bound, ">=" or "<=".
      why: what was found, as the beginning of a sentence.
    """
    holds = value >= bound if comparison == ">=" else value <= bound
    if not holds:
        why += "; if that is meant, publish it with --gate report"
    known = finite_or_none(value)
    return Rule(name, metric, comparison, known, bound, PASS if holds else FAIL, f"{why}.")


def not_worse(
    metric: str,
    against: str,
    value: float,
    other: float,
    interval: Interval | None,
    tolerance: float = 0.0,
    part: str = "",
) -> Rule:
    """Not worse than another scorer on the same rows, beyond the interval of the difference and `tolerance`.

    A value that is not finite fails; a finite one is no worse than one that is not. `part` names the slice
    that the values are of, if they are not of all rows.
    """
    name, comparison = comparison_name(metric, against, part), "<=" if metric in ERRORS else ">="
    mine, theirs = finite_or_none(value), finite_or_none(other)
    if mine is None:
        why = f"{sentence(words(metric))} is not a finite number."
        return Rule(name, metric, comparison, None, theirs, FAIL, why, against)
    if theirs is None:
        why = f"{sentence(words(metric))} of {words(against)} is not a finite number, the challenger's is."
        return Rule(name, metric, comparison, mine, None, PASS, why, against)
    worse = is_worse(mine - theirs, interval, metric, tolerance)
    why = (f"{sentence(words(part))}: " if part else "") + _compared(metric, against, mine, theirs, interval)
    if not worse and is_worse(mine - theirs, interval, metric):
        why += f" That is within the tolerance of {tolerance:g}."
    return Rule(
        name, metric, comparison, mine, theirs, FAIL if worse else PASS, why, against, mine - theirs, interval
    )


def skipped(name: str, metric: str, why: str, against: str = "", comparison: str = "") -> Rule:
    """A rule that cannot be applied."""
    if metric and not comparison:
        comparison = "<=" if metric in ERRORS else ">="
    return Rule(name, metric, comparison, None, None, SKIPPED, why, against)


def comparison_name(metric: str, against: str, part: str = "") -> str:
    """The name of the rule that compares the challenger with `against`, on the slice `part` if named."""
    return f"{'rmse' if metric == RMSE else 'top_100'}_vs_{against}" + (f"_{part}" if part else "")


def split_mismatch(champion: Mapping[str, object] | None, challenger: Mapping[str, object]) -> str:
    """Why the champion may have trained on these test rows, or "".

    Args:
      champion: the split that the champion was trained with; None if it is not known.
      challenger: the split of the data at hand.
    """
    if champion is None:
        return "The champion does not say how its data were split: it may have trained on these test rows."
    differing = [
        f"{key.replace('_', ' ')} {champion.get(key)}, here {challenger.get(key)}"
        for key in ("kind", "seed", "validation_fraction", "test_fraction")
        if champion.get(key) != challenger.get(key)
    ]
    if not differing:
        return ""
    return f"The champion had another split ({'; '.join(differing)}): it may have trained on these test rows."


def finite_or_none(value: float) -> float | None:
    """The value, or None in the place of NaN and infinity, which JSON cannot carry."""
    return value if math.isfinite(value) else None


def _compared(metric: str, against: str, mine: float, theirs: float, interval: Interval | None) -> str:
    difference = mine - theirs
    opposite = (-interval[1], -interval[0]) if interval else None
    if is_worse(difference, interval, metric):
        relation = "worse than"
    elif is_worse(-difference, opposite, metric):
        relation = "better than"
    else:
        relation = "equal to" if difference == 0 else "within chance of"
    subject, other = (
        f"{sentence(words(metric))} {shown(mine, metric)}",
        f"{shown(theirs, metric)} of {words(against)}",
    )
    text = f"{subject} is {relation} {other}"
    if interval is None:
        return f"{text}."
    return f"{text} (difference {difference:+.4f}, 95% interval {interval[0]:+.4f} to {interval[1]:+.4f})."

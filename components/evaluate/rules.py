"""The rules that a model can be held to: pure functions from measured values to an outcome."""

import math
from collections.abc import Callable
from functools import partial

import msgspec

from components.evaluate.verdict import FAIL, PASS, SKIPPED, UNDECIDED, Comparison, Interval, Outcome, Rule
from components.metrics import METRICS, at_k, label, title
from components.power import detectable_loss, rows_needed


def is_worse(difference: float, interval: Interval | None, metric: str, tolerance: float = 0.0) -> bool:
    """Returns whether a difference, mine minus the other's, is worse beyond chance and `tolerance`.

    It is if both the difference and the whole interval exceed the tolerance on the worse side. A tie is not
    worse. Without an interval the difference alone decides.
    """
    low, high = interval or (difference, difference)
    if METRICS[metric].better == "less":
        return min(difference, low) > tolerance
    return max(difference, high) < -tolerance


def scorable(name: str, who: str, failure: str | None) -> Rule:
    """A model must answer at all; `failure` says why it did not, None if it did."""
    why = f"{title(who)} cannot be scored: {failure}" if failure else f"{title(who)} answered every row."
    return Rule(name=name, verdict=FAIL if failure else PASS, why=why)


def finite(non_finite_users: int, users: int, non_finite_movies: int = 0) -> Rule:
    """No user may get a score or a rating that is NaN or infinite, and no movie give one to all users."""
    why = f"All scores and ratings of {users:,} users are finite numbers."
    if non_finite_movies:
        non_finite_users = users
        why = f"{non_finite_movies:,} movies have a vector or a bias that is NaN or infinite."
    elif non_finite_users:
        why = f"{non_finite_users:,} of {users:,} users get a score or a rating that is NaN or infinite."
    return _hold("finite", "non_finite_users", max(non_finite_users, non_finite_movies), "<=", 0, why)


def not_trained_on(trained_on: int | None) -> Rule:
    """The model may not have been trained on the test rows: `trained_on` counts those, None if not known."""
    name, metric = "unread_test_rows", "trained_test_rows"
    if trained_on is None:
        return skipped(name, metric, "The model does not say which rows it was trained on.", comparison="<=")
    why = "The challenger was trained on none of the test rows."
    if trained_on:
        why = f"The challenger was trained on test rows, at least {trained_on:,}: it says what it has read."
    return _hold(name, metric, trained_on, "<=", 0, why)


def enough_test_rows(
    rows: int, users: int, interval: Interval | None, min_users: int, max_half_width: float, k: int = 100
) -> Rule:
    """The test rows must be able to tell a good model from a bad one.

    `interval` is that of the challenger's top-k accuracy among unseen movies. With fewer users than
    `min_users` it cannot be trusted; if wider than `max_half_width`, hardly any difference would be seen.
    """
    half_width = (interval[1] - interval[0]) / 2 if interval else 0.0
    needed, why = min_users, f"{rows:,} test rows of {users:,} users."
    if users < min_users:
        why = f"{rows:,} test rows of {users:,} users decide nothing; at least {needed:,} users are needed."
    elif half_width > max_half_width:
        needed = math.ceil(users * (half_width / max_half_width) ** 2)
        why = (
            f"{users:,} test users leave top-{k} accuracy uncertain by ±{half_width:.3f}; "
            f"about {needed:,} are needed for ±{max_half_width:g}."
        )
    return _hold("enough_test_rows", "test_users", users, ">=", needed, why)


def bounded(
    name: str, metric: str, value: float, bound: float, interval: Interval | None, k: int = 100
) -> Rule:
    """An absolute bound, which the value may reach; a bound of 0 is none. Retrieval is measured at `k`."""
    kind, known = METRICS[metric], finite_or_none(value)
    if bound == 0:
        rule = skipped(name, metric, "No bound was set.")
        return msgspec.structs.replace(rule, value=known, interval=interval)
    asked = "at most" if kind.comparison == "<=" else "at least"
    why = f"{title(at_k(metric, k))} is {kind.exact(known)}; {asked} {kind.exact(bound)} is asked for."
    return _hold(name, metric, value, kind.comparison, bound, why, interval)


def within(name: str, metric: str, value: float, bound: float, comparison: Comparison, why: str) -> Rule:
    """A figure of the data, which may reach its bound; `why` says what was found, as a sentence begins."""
    rule = _hold(name, metric, value, comparison, bound, f"{why}.")
    if rule.verdict == PASS:
        return rule
    return msgspec.structs.replace(rule, why=f"{why}; if that is meant, publish it with --gate report.")


def _hold(
    name: str,
    metric: str,
    value: float,
    comparison: Comparison,
    bound: float,
    why: str,
    interval: Interval | None = None,
) -> Rule:
    """Holds a value to a bound, which it may reach."""
    return Rule(
        name=name,
        metric=metric,
        comparison=comparison,
        value=finite_or_none(float(value)),
        bound=float(bound),
        verdict=PASS if (value >= bound if comparison == ">=" else value <= bound) else FAIL,
        why=why,
        interval=interval,
    )


def not_worse(
    metric: str,
    against: str,
    value: float,
    other: float,
    interval: Interval | None,
    tolerance: float = 0.0,
    part: str = "",
    k: int = 100,
) -> Rule:
    """Not worse than another scorer on the same rows, beyond the interval of the difference and `tolerance`.

    A value that is not finite fails; a finite one is no worse than one that is not. `part` names the slice
    that the values are of, if they are not of all rows. Retrieval is measured at `k`.
    """

    def judge(difference: float) -> tuple[Outcome, str]:
        if is_worse(difference, interval, metric, tolerance):
            return FAIL, ""
        if not is_worse(difference, interval, metric):
            return PASS, ""
        nearer = min(map(abs, interval or (difference,)))
        return PASS, f" The nearer end, {nearer:.4f}, is within the tolerance of {tolerance:g}."

    return _beside(metric, against, (value, other), interval, part, k, judge)


def within_margin(
    metric: str,
    against: str,
    value: float,
    other: float,
    interval: Interval | None,
    margin: float,
    rows: int,
    part: str = "",
    k: int = 100,
) -> Rule:
    """Not worse than another scorer on the same `rows` by more than `margin`, which is more than 0.

    A test of non-inferiority. It passes if the worse end of the interval of the difference lies within the
    margin, or the two are equal. Else it fails if the difference is significant, and is undecided if not:
    then the interval is wider than the margin. For `part` and what is not finite, see `not_worse`.
    """
    sign = 1 if METRICS[metric].better == "less" else -1

    def judge(difference: float) -> tuple[Outcome, str]:
        least, most = sorted(sign * end for end in interval or (difference, difference))
        if difference == 0 or most <= margin:
            within = f" A loss of up to {most:.4f} is within the margin of {margin:g}."
            return PASS, within if least > 0 else ""
        if least > 0:
            return FAIL, f" A loss of up to {most:.4f} is beyond the margin of {margin:g}."
        shown = detectable_loss((least, most))
        return UNDECIDED, (
            f" Undecided: {rows:,} test rows may not show a loss of less than {shown:.4f}; about "
            f"{rows_needed(rows, shown, margin):,} are needed for the margin of {margin:g}."
        )

    rule = _beside(metric, against, (value, other), interval, part, k, judge)
    return msgspec.structs.replace(rule, margin=margin)


def _beside(
    metric: str,
    against: str,
    values: tuple[float, float],
    interval: Interval | None,
    part: str,
    k: int,
    judge: Callable[[float], tuple[Outcome, str]],
) -> Rule:
    """Compares the challenger's value with another scorer's; `judge` concludes from their difference."""
    mine, theirs = map(finite_or_none, values)
    rule = partial(
        Rule,
        name=comparison_name(metric, against, part),
        metric=metric,
        comparison=METRICS[metric].comparison,
        value=mine,
        bound=theirs,
        against=against,
    )
    measured = at_k(metric, k)
    if mine is None:
        return rule(verdict=FAIL, why=f"{title(measured)} is not a finite number.")
    if theirs is None:
        why = f"{title(measured)} of {label(against)} is not a finite number, the challenger's is."
        return rule(verdict=PASS, why=why)
    verdict, more = judge(mine - theirs)
    why = (f"{title(part)}: " if part else "") + _compare(metric, against, mine, theirs, interval, measured)
    return rule(verdict=verdict, why=why + more, difference=mine - theirs, interval=interval)


def retrieval_decided(decided: bool, k: int) -> Rule:
    """A rule about recommendations must have decided: a model is not blessed for its ratings alone."""
    why = "A rule about what it recommends decided."
    if not decided:
        why = f"No rule about what it recommends could decide, with lists of {k}."
    return Rule(name="retrieval_decided", verdict=PASS if decided else FAIL, why=why)


def skipped(name: str, metric: str, why: str, against: str = "", comparison: Comparison = "") -> Rule:
    """A rule that cannot be applied. `comparison` may be left out for a registered metric."""
    if metric in METRICS:
        comparison = METRICS[metric].comparison
    return Rule(name=name, metric=metric, comparison=comparison, verdict=SKIPPED, why=why, against=against)


def comparison_name(metric: str, against: str, part: str = "") -> str:
    """The name of the rule that compares the challenger with `against`, on the slice `part` if named."""
    return f"{METRICS[metric].rule}_vs_{against}" + (f"_{part}" if part else "")


def finite_or_none(value: float) -> float | None:
    """The value, or None in the place of NaN and infinity, which JSON cannot carry."""
    return value if math.isfinite(value) else None


def _compare(
    metric: str, against: str, mine: float, theirs: float, interval: Interval | None, measured: str
) -> str:
    kind, difference = METRICS[metric], mine - theirs
    opposite = (-interval[1], -interval[0]) if interval else None
    if is_worse(difference, interval, metric):
        relation = "worse than"
    elif is_worse(-difference, opposite, metric):
        relation = "better than"
    else:
        relation = "equal to" if difference == 0 else "within chance of"
    other = f"{kind.exact(theirs)} of {label(against)}"
    text = f"{title(measured)} {kind.exact(mine)} is {relation} {other}"
    if interval is None:
        return f"{text}."
    return f"{text} (difference {difference:+.4f}, 95% interval {interval[0]:+.4f} to {interval[1]:+.4f})."

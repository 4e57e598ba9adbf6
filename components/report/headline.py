"""Headline of a run: the decision, its reasons, and hints on the cause of a failure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.display import sentence
from components.evaluate.names import (
    BIAS,
    CHAMPION,
    ERRORS,
    GLOBAL_MEAN,
    POPULARITY,
    RMSE,
    TOP_100_UNSEEN,
    apart,
    figure,
    words,
)

# A model whose error on training rows is less than this share of that on validation rows knows them by heart.
_BY_HEART = 0.6
# Lists that show hardly more of the catalogue than one list for everybody does.
_SAME_FOR_ALL = 2.0
# Finding less than twice what lists drawn by lot would find.
_BY_LOT = 2.0


def hints(
    verdict: Mapping[str, Any], details: Mapping[str, Any], training_log: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """What a failing model looks like, a sentence each; nothing of a model that passes.

    Args:
      verdict: docs/verdict.md.
      details: details.json of the evaluation.
      training_log: one entry for each validation.
    """
    failing = [rule for rule in verdict["rules"] if rule["verdict"] == "fail"]
    metrics = {rule.get("metric") for rule in failing}
    ranks, rates = TOP_100_UNSEEN in metrics, RMSE in metrics
    if ranks and not rates:
        yield "Only what it recommends is at fault; its ratings pass every rule."
    if rates and not ranks:
        yield "Only its ratings are at fault; what it recommends passes every rule."
    if ranks:
        yield from _ranking_hints(verdict, details)
    if rates:
        yield from _rating_hints(verdict, training_log)


def _ranking_hints(verdict: Mapping[str, Any], details: Mapping[str, Any]) -> Iterator[str]:
    found = verdict["metrics"]["challenger"].get(TOP_100_UNSEEN)
    by_lot = 100 / max(verdict["movies"], 100)
    if found is not None and found < _BY_LOT * by_lot < 1:
        mine, lot = (figure(value, TOP_100_UNSEEN, 1) for value in (found, by_lot))
        yield f"It ranks hardly better than lists drawn by lot, which find {lot} of 100: it finds {mine}."
    if found == 0:
        yield "A movie that ties with others counts as missed: it may score all movies alike."
    shown = [details.get("lists", {}).get(name, {}).get("coverage") for name in ("challenger", POPULARITY)]
    if all(shown) and shown[0] < _SAME_FOR_ALL * shown[1]:
        yield (
            f"It recommends much the same to everybody: its lists show {100 * shown[0]:.1f}% of all movies, "
            f"those of popularity {100 * shown[1]:.1f}%."
        )


def _rating_hints(verdict: Mapping[str, Any], training_log: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    metrics = verdict["metrics"]
    mine, mean = metrics["challenger"].get(RMSE), metrics["baselines"].get(GLOBAL_MEAN, {}).get(RMSE)
    if mine is not None and mean is not None and mine >= mean:
        yield "Its ratings are no better than the same mean for every movie."
    last = training_log[-1] if training_log else {}
    loss, validation = last.get("rating_loss"), last.get("validation_rmse")
    if loss and validation and math.sqrt(max(loss, 0)) < _BY_HEART * validation:
        yield (
            f"It knows its training rows by heart: {math.sqrt(loss):.2f} stars off on those, "
            f"{validation:.2f} on validation rows."
        )


# So many failing rules stand in the first lines.
_DECIDING = 2


@dataclass(frozen=True)
class Reason:
    """One rule that decided.

    Attributes:
      text: in people's words.
      rule: its name.
      exact: the rule's own sentence.
    """

    text: str
    rule: str
    exact: str


@dataclass(frozen=True)
class Headline:
    """What stands first.

    Attributes:
      state: "pass", "warn" or "fail".
      title: what was decided.
      reasons: the rules that decided.
      more: how many more rules fail, as a sentence; "" if none.
      hints: what probably lies behind a failure.
    """

    state: str
    title: str
    reasons: list[Reason]
    more: str
    hints: list[str]


def headline(
    verdict: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
    training_log: Sequence[Mapping[str, Any]] = (),
) -> Headline:
    """The verdict's headline.

    Args:
      verdict: docs/verdict.md.
      details: details.json of the evaluation, for the hints.
      training_log: one entry for each validation, for the hints.
    """
    state, title = _state(verdict)
    failing = [rule for rule in verdict["rules"] if rule["verdict"] == "fail"]
    left = len(failing) - _DECIDING
    return Headline(
        state=state,
        title=title,
        reasons=[_reason(rule) for rule in (_deciding(failing) if failing else _telling(verdict))],
        more=f"{left} more {'rule fails' if left == 1 else 'rules fail'}, see below." if left > 0 else "",
        hints=list(hints(verdict, details or {}, training_log)),
    )


def in_words(rule: Mapping[str, Any]) -> str:
    """A rule's outcome in people's units, where it is about one of the gate's two metrics."""
    value, bound, metric = rule.get("value"), rule.get("bound"), rule.get("metric")
    if metric not in (TOP_100_UNSEEN, RMSE) or value is None or bound is None:
        return str(rule["why"])
    mine, theirs = apart(value, bound, metric)
    against = rule.get("against", "")
    if not against:
        asked = f"at most {bound:g}" if metric in ERRORS else f"at least {100 * bound:g}"
        return f"{sentence(did(metric, mine))}; {asked} is asked for."
    part = _part(rule, against)
    start = f"{sentence(words(part))}: {did(metric, mine)}" if part else sentence(did(metric, mine))
    other = f"those of {words(against)} are" if metric in ERRORS else f"{words(against)} finds"
    return f"{start}; {other} {theirs}{_chance(rule)}."


def did(metric: str, figure: str) -> str:
    """What the model did, as a clause: `figure` is in people's units."""
    if metric in ERRORS:
        return f"its ratings are {figure} stars off"
    return f"it finds {figure} of 100 movies that users went on to rate"


def _state(verdict: Mapping[str, Any]) -> tuple[str, str]:
    if verdict["blessed"]:
        return "pass", "Good enough to go live"
    if verdict["publish"]:
        return "warn", "Would be refused, published all the same"
    return "fail", "Refused: it does not go live"


def _reason(rule: Mapping[str, Any]) -> Reason:
    return Reason(in_words(rule), rule["name"], rule["why"])


def _deciding(failing: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first failing rule, and of the others the one that adds most to it."""
    first, *others = failing

    def added(rule: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        against = rule.get("against", "")
        return not _part(rule, against), rule.get("metric") != first.get("metric"), against == CHAMPION

    return [first, *sorted(others, key=added, reverse=True)[: _DECIDING - 1]]


def _telling(verdict: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The rules that say most of a blessed model: how it compares with the champion, or with baselines."""
    passing = {rule["name"]: rule for rule in verdict["rules"] if rule["verdict"] == "pass"}
    champion = f"rmse_vs_{CHAMPION}" in passing
    ranked, rated = (CHAMPION, CHAMPION) if champion else (POPULARITY, BIAS)
    for name in (f"top_100_vs_{ranked}", f"rmse_vs_{rated}"):
        if name in passing:
            yield passing[name]


def _part(rule: Mapping[str, Any], against: str) -> str:
    """The slice that a rule is about; "" for all test rows."""
    return str(rule["name"]).partition(f"_vs_{against}_")[2] if against else ""


def _chance(rule: Mapping[str, Any]) -> str:
    low, high = rule.get("interval") or (0.0, 0.0)
    if rule["value"] == rule["bound"] or not low <= 0 <= high or low == high:
        return ""
    return ", which may be chance"

"""What was decided and why, in people's words; for the page, the model card and the terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.evaluate.names import BIAS, CHAMPION, ERRORS, POPULARITY, RMSE, TOP_100_UNSEEN, words
from components.report.hints import hints
from components.report.units import apart, sentence

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

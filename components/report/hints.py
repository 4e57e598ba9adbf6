"""What probably lies behind a failure: facts that can be checked on the page, not guesses."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.evaluate.names import GLOBAL_MEAN, POPULARITY, RMSE, TOP_100_UNSEEN
from components.report.units import figure

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

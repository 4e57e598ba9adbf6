"""Evidence for the gate, with figures that are certain or have a known spread."""

import numpy as np

from components.evaluate.bootstrap import Resampled, resample_parts
from components.evaluate.champion import ChampionComparison
from components.evaluate.gate import Evidence
from components.evaluate.held_out import Slice


def resampled(metrics, rows=1000, users=100, spread=(0.0,) * 5, intervals=None):
    """Metrics of every scorer, scorer -> metric -> value, and draws that are `spread` about each value."""
    draws = {
        scorer: {name: value + np.asarray(spread) for name, value in values.items()}
        for scorer, values in metrics.items()
    }
    return Resampled(rows, users, metrics, draws, intervals or {})


def resample(sums, **options):
    """Resamples the rows that the `sums`, by scorer, are of."""
    return resample_parts({"": sums}, **options)[""]


def evidence(whole, slices=None, failure="", champion_failure="", part="", best_champion_failure="", **facts):
    """Evidence with `failure` of the challenger, and `part` as the slice on which alone to compare.

    The other `facts` are those of the comparison with the champion, or of the evidence itself.
    """
    comparison = {name: facts.pop(name) for name in ("absence", "data", "no_data") if name in facts}
    failures = {
        "challenger": failure,
        "champion": champion_failure,
        "best_champion": best_champion_failure,
    }
    return Evidence(
        whole,
        slices or {},
        failures={name: why for name, why in failures.items() if why},
        comparison=ChampionComparison(part=Slice(part, np.zeros(0, bool)) if part else None, **comparison),
        **facts,
    )

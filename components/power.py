"""Power of the gate's comparisons: the loss that test rows can show, and the rows that a margin needs."""

import math
from statistics import NormalDist

from components.metrics import METRICS, TOP_100_UNSEEN

# A test of non-inferiority on so many standard errors' difference (Chow, Shao & Wang 2008, 4.2): one that is
# there lies outside the 95% interval in four cases of five.
_CONFIDENCE = NormalDist().inv_cdf(0.975)
_ERRORS = _CONFIDENCE + NormalDist().inv_cdf(0.8)
# Test rows whose movie is in the list of one of two models that differ by chance, and not of the other: an
# eighth, on MovieLens and on generated data.
_DISAGREEING = 0.125


def detectable_loss(interval: tuple[float, float]) -> float:
    """Returns the least loss that is shown in four cases of five, by the 95% interval of a difference."""
    return _ERRORS * (interval[1] - interval[0]) / 2 / _CONFIDENCE


def rows_needed(rows: int, loss: float, margin: float) -> int:
    """Returns the test rows that show a loss of `margin`, where `rows` show one of `loss`."""
    return math.ceil(rows * (loss / margin) ** 2)


def foretell(rows: int) -> str:
    """Says that `rows` test rows cannot tell a challenger from a champion; "" if they can."""
    margin = METRICS[TOP_100_UNSEEN].margin
    half = _CONFIDENCE * math.sqrt(_DISAGREEING / max(rows, 1))
    loss = detectable_loss((-half, half))
    if loss <= margin:
        return ""
    return (
        f"{rows:,} test rows decide little: the gate would miss losses of less than about {100 * loss:.1f} "
        f"of 100 movies found; about {rows_needed(max(rows, 1), loss, margin):,} test rows are needed for "
        f"{100 * margin:g}"
    )

"""Feedback without stars: counts of events, the weights that are made of them, and its signs in a file."""

import math
from typing import Any

from components.ingest.database import one_row
from components.ingest.dataset import USUAL_SCALES, Scale, fit_scale
from components.ingest.rejects import RejectReason

# That of no event.
LEAST_WEIGHT = 1.0
# No count is off the scale.
ANY_COUNT: Scale = (-math.inf, math.inf)
# The greatest of counts is so many times their median; of stars, it is a few times.
_LONG_TAIL = 10
# An exact one would hold all values.
_MEDIAN = "approx_quantile(rating, 0.5)"


def weight_of(count: float) -> float:
    """Returns the weight of so many events, as `split.WEIGHT` does."""
    return 1 + math.log1p(count)


def count_of(weight: float) -> float:
    """Returns the number of events of which `weight` was made."""
    return math.expm1(weight - 1)


def find_events(connection: Any, scale: Scale, asked: bool) -> str | None:
    """Returns a message if the ratings of `rows` seem to be likes or counts, and no stars, else None.

    `scale` is theirs; `asked` says whether the user named it.
    """
    if asked or scale[0] < 0 or scale in USUAL_SCALES:
        return None
    if scale == (0, 1):
        return "the ratings are zeros and ones; if they are likes or purchases, add --feedback implicit"
    median, greatest = one_row(connection, f"SELECT {_MEDIAN}, max(rating) FROM rows WHERE reason = 0")
    if greatest < _LONG_TAIL * max(median, 1):
        return None
    return (
        f"half of the ratings are at most {median:g}, and the greatest is {greatest:g}: if they are counts "
        "(plays, hours, purchases), add --feedback implicit"
    )


def read_counts(connection: Any, counts: bool) -> str | None:
    """Makes the ratings of `rows` counts of events: of stars, which are dropped, each is one event.

    A count at or below 0 is no feedback. `counts` says that they are no stars, by the name of their column.
    Returns a message if stars were dropped.
    """
    fine = f"reason = {RejectReason.FINE:d}"
    rows, binary, median, least, greatest = one_row(
        connection,
        f"""
        SELECT count(*), count(*) FILTER (rating IN (0, 1)), {_MEDIAN}, min(rating), max(rating)
        FROM rows WHERE {fine}
        """,
    )
    tail = rows and greatest >= _LONG_TAIL * max(median, 1)
    if counts or tail or binary == rows or not fit_scale(connection, sorted(USUAL_SCALES), rows):
        connection.execute(
            f"UPDATE rows SET reason = {RejectReason.NOT_RATED:d} WHERE {fine} AND rating <= 0"
        )
        return None
    connection.execute(f"UPDATE rows SET rating = 1 WHERE {fine}")
    return (
        f"the ratings from {least:g} to {greatest:g} look like stars, which --feedback implicit drops: each "
        "row counts as one event; if they are counts, name their column with --columns"
    )


def weight_scale(connection: Any) -> Scale:
    """Returns the least weight that there can be, and the greatest of `classified`."""
    (greatest,) = one_row(connection, "SELECT max(rating) FROM classified WHERE reason <= 0")
    return LEAST_WEIGHT, greatest or math.nextafter(LEAST_WEIGHT, 2)

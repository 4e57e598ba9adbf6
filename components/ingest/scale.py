"""The scale of the ratings: what the user says, what the layout says, or what the data show."""

from collections.abc import Sequence
from typing import Any

from components.errors import UserError
from components.ingest.database import one_row
from components.ingest.layouts import Layout
from components.progress import log

Scale = tuple[float, float]

# Scales in use, the likelier first: the first one that nearly all ratings lie on is taken.
_WHOLE: Sequence[Scale] = ((1, 5), (0, 5), (1, 10), (0, 10), (-5, 5), (-10, 10), (0, 100), (-100, 100))
_PARTS: Sequence[Scale] = ((0.5, 5), *_WHOLE[1:])
# A share of the ratings below this may be slips; they are then rejected as off the scale.
_SLIPS = 0.01


def find(connection: Any, asked: Scale | None, layouts: Sequence[Layout]) -> Scale:
    """The least and the greatest rating of `rows`, in stars.

    Args:
      connection: holds the table `rows`.
      asked: what `--rating-scale` says, if anything.
      layouts: those of the files.

    Raises:
      UserError: if there is no telling.
    """
    if asked:
        return asked
    known = {layout.scale for layout in layouts}
    if len(known) == 1 and (scale := known.pop()):
        return scale
    rows, parts, least, greatest = one_row(
        connection,
        """
        SELECT count(*), count(*) FILTER (rating <> round(rating)), min(rating), max(rating)
        FROM rows WHERE reason = 0
        """,
    )
    if not rows:
        return 1.0, 5.0
    scale = _fitting(connection, _PARTS if parts > _SLIPS * rows else _WHOLE, rows) or (least, greatest)
    if scale[0] == scale[1]:
        raise UserError(
            f"every rating is {least:g}, which is on no scale in use; name the scale with --rating-scale"
        )
    log(f"ratings lie from {scale[0]:g} to {scale[1]:g}; --rating-scale says otherwise")
    return scale


def _fitting(connection: Any, scales: Sequence[Scale], rows: int) -> Scale | None:
    (zeros_and_ones,) = one_row(connection, "SELECT count(*) FROM rows WHERE reason = 0 AND rating IN (0, 1)")
    (ones,) = one_row(connection, "SELECT count(*) FROM rows WHERE reason = 0 AND rating = 1")
    if zeros_and_ones == rows and ones < rows:
        return 0, 1
    for low, high in scales:
        (inside,) = one_row(
            connection, "SELECT count(*) FROM rows WHERE reason = 0 AND rating BETWEEN ? AND ?", [low, high]
        )
        if inside >= (1 - _SLIPS) * rows:
            return low, high
    return None

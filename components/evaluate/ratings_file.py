"""Held-out ratings from files in any layout that `ingest` knows."""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

from components.errors import UserError
from components.progress import log

_FLAG = "--ratings"
_MEMORY_GB = 3.0


class Ratings(NamedTuple):
    """Ratings one by one: user and movie ids (str objects [n]) and stars (float32 [n])."""

    users: npt.NDArray[Any]
    movies: npt.NDArray[Any]
    stars: npt.NDArray[Any]


def read_ratings(names: str, columns: str, rating_scale: tuple[float, float]) -> Ratings:
    """Reads the files `names`; of several ratings of one user and movie the last one is taken.

    Args:
      names: paths or gs:// URIs, several by comma, or a pattern.
      columns: user=…,movie=…,rating=…; "" for the layouts that are known.
      rating_scale: ratings beyond it are left out, as are lines that are none; the log says how many.

    Raises:
      UserError: if a file cannot be read, or holds no rating.
    """
    from components.ingest import formats, inputs, lines, rows
    from components.ingest.database import database
    from components.ingest.settings import parse_columns

    with tempfile.TemporaryDirectory(prefix="twotower-evaluate-") as directory:
        scratch = Path(directory)
        files = [
            (file, formats.layout_of(file, "", parse_columns(columns)))
            for file in inputs.open_all(names, _FLAG, scratch)
        ]
        timed = any("time" in layout.positions for _, layout in files)
        with database(scratch, _MEMORY_GB) as connection:
            lines.create_macros(connection)
            rows.create_tables(connection, timed)
            for file, layout in files:
                rows.append(connection, file, layout, timed, for_test=True)
            found = _of(connection, rating_scale)
    if len(found.stars) == 0:
        low, high = rating_scale
        raise UserError(
            f"{_FLAG} {names} holds no rating from {low:g} to {high:g}; "
            "name a file of ratings on the scale of the indexes"
        )
    return found


def _of(connection: Any, rating_scale: tuple[float, float]) -> Ratings:
    fine = "reason = 0 AND rating BETWEEN $low AND $high"
    scale = dict(zip(("low", "high"), rating_scale, strict=True))
    (refused,) = connection.execute(
        f"SELECT count(*) FROM rows WHERE reason > 0 OR (reason = 0 AND NOT ({fine}))", scale
    ).fetchone()
    if refused:
        log(f"{refused:,} lines are left out: they are no ratings, or beyond the scale")
    columns = connection.execute(
        f"""
        SELECT user_id, movie_id, last(rating ORDER BY rowid) AS stars
        FROM rows WHERE {fine}
        GROUP BY user_id, movie_id ORDER BY user_id, movie_id
        """,
        scale,
    ).fetchnumpy()
    return Ratings(*(columns[name] for name in ("user_id", "movie_id", "stars")))

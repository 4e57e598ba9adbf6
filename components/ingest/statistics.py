"""What the ratings of a dataset look like in figures."""

from typing import Any

from components.ingest.database import has_column, one_row
from components.ingest.scale import Scale

_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
# A histogram of more levels than this is drawn on so many equal parts of the scale.
_LEVELS = 200


def of_ratings(connection: Any, movies: int, scale: Scale) -> dict[str, Any]:
    """Statistics of the rows in `taken`, with the keys of statistics.json that docs/layouts.md explains.

    Args:
      connection: holds the view `taken`.
      movies: how many there are in the catalogue.
      scale: the least and the greatest rating, in stars.
    """
    rows, mean = one_row(connection, "SELECT count(*), avg(rating::DOUBLE) FROM taken")
    users, per_user = _counts(connection, "user")
    rated, per_movie = _counts(connection, "movie")
    return {
        "users": users,
        "movies_rated": rated,
        "share_of_movies_rated": rated / movies if movies else 0.0,
        "density": rows / (users * rated) if rows else 0.0,
        "rating_mean": mean,
        "rating_histogram": _histogram(connection, scale),
        "ratings_per_user": per_user,
        "ratings_per_movie": per_movie,
        "time_span": _time_span(connection),
    }


def _counts(connection: Any, column: str) -> tuple[int, dict[str, int]]:
    """How many values `column`, which is one of ours, has; and quantiles of how many rows each has."""
    number, values = one_row(
        connection,
        f"""
        SELECT count(*), quantile_disc(n, ?) FROM (SELECT count(*) AS n FROM taken GROUP BY "{column}")
        """,
        [list(_QUANTILES)],
    )
    quantiles = zip(_QUANTILES, values or (), strict=False)
    return number, {f"{quantile:g}": value for quantile, value in quantiles}


def _histogram(connection: Any, scale: Scale) -> dict[str, int]:
    """Rating -> how many."""
    found = connection.execute(
        "SELECT rating, count(*) FROM taken GROUP BY rating ORDER BY rating LIMIT ?", [_LEVELS + 1]
    ).fetchall()
    if len(found) > _LEVELS:
        low, high = scale
        found = connection.execute(
            """
            SELECT $low + round((rating - $low) / $step) * $step AS level, count(*)
            FROM taken GROUP BY level ORDER BY level
            """,
            {"low": low, "step": (high - low) / _LEVELS},
        ).fetchall()
    return {f"{rating:g}": count for rating, count in found}


def _time_span(connection: Any) -> list[int] | None:
    """The first and the last time, in seconds since 1970; None where no row has one."""
    if not has_column(connection, "judged", "time"):
        return None
    first, last = one_row(connection, "SELECT min(time), max(time) FROM taken")
    return None if first is None else [first, last]

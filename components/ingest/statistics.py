"""What the kept ratings look like in figures."""

from pathlib import Path
from typing import Any

from components.ingest.database import one_row

_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def of_ratings(connection: Any, files: list[Path]) -> dict[str, Any]:
    """Statistics of the ratings in Parquet `files`, with the keys of statistics.json."""
    names = [str(file) for file in files]
    rows, users, movies, mean = one_row(
        connection,
        """
        SELECT count(*), count(DISTINCT user_id), count(DISTINCT movie_id), avg(rating::DOUBLE)
        FROM read_parquet(?)
        """,
        [names],
    )
    histogram = connection.execute(
        "SELECT rating, count(*) FROM read_parquet(?) GROUP BY rating ORDER BY rating", [names]
    ).fetchall()
    return {
        "users": users,
        "movies_rated": movies,
        "rating_mean": mean,
        "rating_histogram": {f"{rating:g}": count for rating, count in histogram},
        "ratings_per_user": _quantiles(connection, names, "user_id"),
        "ratings_per_movie": _quantiles(connection, names, "movie_id"),
        "density": rows / (users * movies),
    }


def _quantiles(connection: Any, names: list[str], column: str) -> dict[str, int]:
    """Quantiles of the number of ratings for each value of `column`, which is one of ours."""
    (values,) = one_row(
        connection,
        f"""
        SELECT quantile_disc(n, $quantiles)
        FROM (SELECT count(*) AS n FROM read_parquet($names) GROUP BY {column})
        """,
        {"quantiles": list(_QUANTILES), "names": names},
    )
    return {f"{quantile:g}": value for quantile, value in zip(_QUANTILES, values, strict=True)}

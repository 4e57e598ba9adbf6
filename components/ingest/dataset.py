"""RatingsDataset: what `ingest` writes and `vocabulary` reads, its statistics and rating scale."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.errors import UserError
from components.ingest.database import has_column, one_row
from components.ingest.layouts import Layout
from components.progress import log

FORMAT = 1
SPLITS = ("train", "validation", "test")
STATISTICS_FILE = "statistics.json"
REJECTS_FILE = "rejects.csv"
MOVIES_FILE = "movies.parquet"


@dataclass(frozen=True)
class RatingsDataset:
    """A directory of validated ratings.

    `train.parquet`, `validation.parquet` and `test.parquet` hold the columns user_id (string), movie_id
    (string) and rating (float32), and time (int64, seconds since 1970) where the file had it;
    `movies.parquet` holds the whole catalogue in the order of the movie table: movie_id (string), title
    (string) and year (int32, null where unknown). `rejects.csv` lists each row that was not kept.
    """

    path: Path
    statistics: dict[str, Any]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Opens the dataset at `path`.

        Raises:
          UserError: if `path` is not a whole dataset that this version can read.
        """
        directory = Path(path)
        try:
            statistics = json.loads((directory / STATISTICS_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(
                f"{directory} is not a ratings dataset: it has no readable {STATISTICS_FILE}; "
                "make one with `twotower ingest`"
            ) from error
        if not isinstance(statistics, dict) or statistics.get("format") != FORMAT:
            raise UserError(
                f"{directory} was written by another version of `twotower ingest`; make it anew with this one"
            )
        dataset = cls(directory, statistics)
        for file in (dataset.movies, *map(dataset.split, SPLITS)):
            if not file.is_file():
                raise UserError(f"{directory} lacks {file.name}; make it anew with `twotower ingest`")
        return dataset

    def split(self, name: str) -> Path:
        """The Parquet file of the split `name`: train, validation or test."""
        return self.path / f"{name}.parquet"

    @property
    def movies(self) -> Path:
        """The Parquet file of the catalogue."""
        return self.path / MOVIES_FILE


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

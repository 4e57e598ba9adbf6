"""Small ratings files, and the dataset that `ingest` makes of them."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.ingest.dataset import SPLITS
from components.ingest.step import ingest

MOVIE_IDS = [f"m{movie}" for movie in range(20)]
MOVIES = "Movie_ID,Year,Name\n" + "".join(f"{movie},1999,Movie {movie}\n" for movie in MOVIE_IDS)

Row = tuple[Any, Any, Any]


class Dataset:
    """A RatingsDataset in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.statistics: dict[str, Any] = json.loads((path / "statistics.json").read_text())
        self.movies: list[dict[str, Any]] = pq.read_table(path / "movies.parquet").to_pylist()
        with (path / "rejects.csv").open(newline="", encoding="utf-8") as stream:
            self.rejects = list(csv.DictReader(stream))

    def split(self, name: str) -> list[dict[str, Any]]:
        """The rows of one split."""
        rows: list[dict[str, Any]] = pq.read_table(self.path / f"{name}.parquet").to_pylist()
        return rows

    def sides(self) -> dict[tuple[str, str], str]:
        """User and movie -> the split of their rating."""
        return {(row["user_id"], row["movie_id"]): name for name in SPLITS for row in self.split(name)}

    def ratings(self) -> dict[tuple[str, str], float]:
        """User and movie -> their rating, of all splits."""
        rows = [row for name in SPLITS for row in self.split(name)]
        found = {(row["user_id"], row["movie_id"]): row["rating"] for row in rows}
        assert len(found) == len(rows), "a user and movie stand in two rows"
        return found

    def reasons(self) -> dict[int, str]:
        """Line -> why it was rejected."""
        return {int(reject["line"]): reject["reason"] for reject in self.rejects}


def ingest_text(
    folder: Path,
    ratings: str | bytes,
    movies: str | bytes | None = MOVIES,
    name: str = "ratings.csv",
    **flags: Any,
) -> Dataset:
    """Runs `ingest` on the content of a ratings file and of a movie table (None: without one)."""
    write(folder / name, ratings)
    if movies is not None:
        write(folder / "movies.csv", movies)
        flags["movies"] = str(folder / "movies.csv")
    output = folder / "dataset"
    ingest(ratings=str(folder / name), output=str(output), **flags)
    return Dataset(output)


def write(path: Path, content: str | bytes) -> str:
    """Writes a file and returns its path."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def parquet(columns: dict[str, Any]) -> bytes:
    """A Parquet file of these columns."""
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def netflix(rows: Iterable[Row]) -> str:
    """A ratings file of rows (user, rating, movie)."""
    return "User_ID,Rating,Movie_ID\n" + "".join(f"{user},{rating},{movie}\n" for user, rating, movie in rows)


def full(users: int = 20) -> list[Row]:
    """Rows in which each user rates each movie."""
    return [
        (f"u{user}", (user + place) % 5 + 1, movie)
        for user in range(users)
        for place, movie in enumerate(MOVIE_IDS)
    ]

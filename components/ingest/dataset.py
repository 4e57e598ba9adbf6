"""RatingsDataset: what `ingest` writes and `vocabulary` reads."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from components.errors import UserError

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

"""From input files to a RatingsDataset, or to a description of what it would be."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.ingest import dataset, inputs, layouts, movie_tables, rejects, rows, split
from components.ingest.database import database, one_row
from components.ingest.dataset import FORMAT, MOVIES_FILE, REJECTS_FILE, SPLITS
from components.ingest.inputs import InputFile, fingerprint_of
from components.ingest.layouts import Layout
from components.ingest.rejects import Reason, Rejects
from components.ingest.settings import Settings
from components.progress import log


@dataclass(frozen=True)
class Sources:
    """The input files, opened and looked at.

    Attributes:
      ratings: each ratings file with its layout; those of the test split come last.
      test_files: how many of them are of the test split.
      movies: the movie table; None if there is none.
    """

    ratings: Sequence[tuple[InputFile, Layout]]
    test_files: int
    movies: InputFile | None

    @property
    def timed(self) -> bool:
        """Whether any of the ratings have a time."""
        return any("time" in layout.positions for _, layout in self.ratings)


def open_sources(ratings: str, movies: str, test_ratings: str, settings: Settings, scratch: Path) -> Sources:
    """Finds out what the input files are, before anything is read whole; gs:// objects go to `scratch`.

    Raises:
      UserError: if one of them cannot be used.
    """
    tables = inputs.open_all(movies, "--movies", scratch) if movies else []
    if len(tables) > 1:
        raise UserError(f"--movies {movies} names {len(tables)} files; name one movie table")
    training = inputs.open_all(ratings, "--ratings", scratch)
    testing = inputs.open_all(test_ratings, "--test-ratings", scratch) if test_ratings else []
    found = [
        (file, layouts.layout_of(file, settings.format, settings.columns)) for file in (*training, *testing)
    ]
    sources = Sources(found, len(testing), tables[0] if tables else None)
    if settings.split != "random" and not sources.timed:
        raise UserError(
            f"--split {settings.split} needs a column with times; use --split random, or name the column"
        )
    return sources


@dataclass(frozen=True)
class Examined:
    """What a RatingsDataset of the input files holds.

    Attributes:
      statistics: the content of statistics.json.
      rejects: the rows that are not kept.
      refusal: why there can be no such dataset; None if there can.
    """

    statistics: dict[str, Any]
    rejects: Rejects
    refusal: str | None


def examine(connection: Any, sources: Sources, settings: Settings, rejects_file: Path) -> Examined:
    """Reads, judges and divides all rows; lists the rejects in `rejects_file`, the rest is in `connection`.

    Raises:
      UserError: if a file cannot be read.
    """
    table = movie_tables.read(sources.movies) if sources.movies else None
    _read(connection, sources)
    table = table or movie_tables.rated(connection)
    movie_tables.create_table(connection, table)
    bounds = dataset.find(connection, settings.rating_scale, [layout for _, layout in sources.ratings])
    split.judge(connection, bounds, settings)
    rejected = rejects.write(connection, [file for file, _ in sources.ratings], rejects_file)
    kept = one_row(connection, "SELECT count(*) FROM judged WHERE reason <= 0")[0]
    rows_read = kept + rejected.total
    log(f"{rows_read:,} rows read, {kept:,} kept, {rejected.total:,} rejected")
    taken = split.take(connection, settings)
    found = {
        "format": FORMAT,
        "rows_read": rows_read,
        "rows_kept": kept,
        "rows_rejected": rejected.total,
        "rejected_by_reason": {reason.text: count for reason, count in rejected.by_reason.most_common()},
        "duplicates": rejected.by_reason[Reason.DUPLICATE],
        "rows_left_out": kept - sum(taken.values()),
        "movies": len(table.movie_ids),
        "movie_table": table.counts,
        "rating_scale": [float(bound) for bound in bounds],
        "splits": taken,
        "split": {
            "kind": "given" if sources.test_files else settings.split,
            "seed": settings.seed,
            "validation_fraction": settings.validation_fraction,
            "test_fraction": settings.test_fraction,
        },
        **dataset.of_ratings(connection, len(table.movie_ids), bounds),
    }
    refusal = rejected.excess(rows_read, settings.max_reject_rate) or split.shortage(
        taken, found["rows_left_out"]
    )
    return Examined(found, rejected, refusal)


def prepare(connection: Any, sources: Sources, settings: Settings, directory: Path) -> dict[str, Any]:
    """Writes all of a RatingsDataset but its statistics, which it returns.

    Raises:
      UserError: if a file cannot be read, too many rows are rejected, or too few are left.
    """
    examined = examine(connection, sources, settings, directory / REJECTS_FILE)
    if examined.refusal:
        raise UserError(examined.refusal)
    movie_tables.write(connection, directory / MOVIES_FILE)
    for name in SPLITS:
        split.write(connection, name, directory / f"{name}.parquet")
    counts = examined.statistics["splits"].items()
    log(", ".join(f"{name}: {count:,} rows" for name, count in counts))
    return examined.statistics


def _read(connection: Any, sources: Sources) -> None:
    rows.create_macros(connection)
    rows.create_tables(connection, sources.timed)
    first_test_file = len(sources.ratings) - sources.test_files
    for number, (file, layout) in enumerate(sources.ratings):
        log(f"reading {file.name} ({layout.name})")
        rows.append(connection, file, layout, sources.timed, for_test=number >= first_test_file)


def describe(
    ratings: str, movies: str, test_ratings: str, settings: Settings, memory_gb: float
) -> tuple[Sources, Examined]:
    """Reads the files as `ingest` does, spilling to the directory for temporary files (TMPDIR).

    Returns:
      The files, and what a RatingsDataset of them would hold or why there can be none.

    Raises:
      UserError: if a file cannot be read.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="twotower-describe-") as directory:
        scratch = Path(directory)
        sources = open_sources(ratings, movies, test_ratings, settings, scratch)
        with database(scratch, memory_gb) as connection:
            examined = examine(connection, sources, settings, scratch / REJECTS_FILE)
        examined.statistics["fingerprint"] = fingerprint_of(ratings, movies, test_ratings)
        examined.statistics["seconds"] = round(time.monotonic() - started, 3)
        return sources, examined

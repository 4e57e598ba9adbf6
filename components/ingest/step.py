"""The step `ingest`, its subcommand, and `describe`."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import click

from components.command import Subcommand, flags, json_option, print_json, setting_flags, subcommand
from components.declaration import Choice, Range, Several
from components.ingest.database import MemoryGb, database, scratch_directory
from components.ingest.layouts import FORMATS
from components.ingest.settings import INGEST_SETTINGS, ReadOptions
from components.outputs import output_directory
from components.progress import log
from components.step import step

Share = Annotated[float, Range(0, 1, exclusive=True)]
Bound = Annotated[int, Range(0)]


@step
def ingest(
    *,
    ratings: Annotated[str, Several()],
    output: str,
    movies: Annotated[str, Several()] = "",
    test_ratings: Annotated[str, Several()] = "",
    forget: Annotated[str, Several()] = "",
    fingerprint: str = "",
    format: Annotated[str, Choice("", *FORMATS)] = "",
    columns: str = "",
    rating_scale: str = "",
    split: Annotated[str, Choice("random", "leave-last-out", "time")] = "random",
    validation_fraction: Share = 0.1,
    test_fraction: Share = 0.1,
    seed: int = 42,
    max_train_rows: Bound = 0,
    max_test_rows: Bound = 0,
    min_user_ratings: Bound = 0,
    min_movie_ratings: Bound = 0,
    max_reject_rate: Annotated[float, Range(0, 1)] = 0.01,
    memory_gb: MemoryGb = 1.5,
    ingest_settings: dict[str, Any] = {},  # noqa: B006  # never changed; kfp passes it on
) -> None:
    """Validates ratings, joins them with the movies, and divides them into train, validation and test.

    Args:
      ratings: Ratings: a path, gs:// or s3:// URI, several by comma or by repeating the flag, or a pattern
        with *.
      output: RatingsDataset: the directory to write.
      movies: Movie table: a path, gs:// or s3:// URI; "" takes the rated movies, with their ids for titles.
      test_ratings: Ready-made test split in the layout of the ratings; "" divides the ratings.
      forget: Users to leave out, in a text file with one id a line: a path, gs:// or s3:// URI; "" for none.
      fingerprint: Identifies the input files, as `prepare` does; "" computes it.
      format: Layout of the ratings; "" finds it from the content.
      columns: Columns of ratings in another layout, names or numbers: user=…,movie=…,rating=…[,time=…]; ""
        knows the usual ones.
      rating_scale: Least and greatest rating, such as "1,5"; "" finds them in the data.
      split: Choice of the test rows: "random" (by a hash of user, movie and seed), "leave-last-out" (each
        user's last rating) or "time" (the latest ratings).
      validation_fraction: Share of the rows not for testing that are for early stopping.
      test_fraction: Share of the rows for testing; not used with ready-made test ratings.
      seed: Decides the side of the split on which each row falls.
      max_train_rows: Trains on a uniform sample of at most so many rows; validation rows are cut in the same
        proportion; 0 takes all.
      max_test_rows: Tests on a uniform sample of at most so many rows; 0 takes all.
      min_user_ratings: Leaves out users with fewer ratings; 0 takes all.
      min_movie_ratings: Leaves out the ratings of movies with fewer; 0 takes all.
      max_reject_rate: Fails if a greater share of the rows must be rejected; duplicates do not count.
      memory_gb: Memory that the step may hold, in GB; beyond it the work spills to the output's disk.
      ingest_settings: Options of reading the files by name, a JSON object; each is a flag as well.

    Raises:
      UserError: if a file cannot be used, too many rows are rejected or too few are left.
    """
    from msgspec import structs

    from components.documents import write_document
    from components.ingest.dataset import STATISTICS_FILE
    from components.ingest.prepare import open_sources, prepare, read_settings

    started = time.monotonic()
    settings = read_settings(
        format=format,
        columns=columns,
        rating_scale=rating_scale,
        split=split,
        seed=seed,
        test_fraction=test_fraction,
        validation_fraction=validation_fraction,
        max_train_rows=max_train_rows,
        max_test_rows=max_test_rows,
        min_user_ratings=min_user_ratings,
        min_movie_ratings=min_movie_ratings,
        max_reject_rate=max_reject_rate,
        ingest_settings=ingest_settings,
    )
    with scratch_directory(output) as scratch, output_directory(output) as directory:
        sources = open_sources(ratings, movies, test_ratings, settings, scratch, fingerprint, forget)
        with database(scratch, memory_gb) as connection:
            statistics = prepare(connection, sources, settings, directory)
        seconds = round(time.monotonic() - started, 3)
        write_document(directory / STATISTICS_FILE, structs.replace(statistics, seconds=seconds))
    log(f"ratings dataset in {Path(output)}")


@subcommand(ingest)
@setting_flags(ReadOptions, INGEST_SETTINGS)
def ingest_command(**inputs: Any) -> None:
    ingest(**inputs)


@click.command(cls=Subcommand)
@flags(ingest, without=("output", "fingerprint"))
@setting_flags(ReadOptions, INGEST_SETTINGS)
@json_option
def describe(
    ratings: str,
    movies: str,
    test_ratings: str,
    forget: str,
    memory_gb: float,
    as_json: bool,
    **settings: Any,
) -> None:
    """Prints what `ingest` would find in these files and what it would reject, without writing anything."""
    from components.documents import plain
    from components.ingest import prepare
    from components.power import foretell

    sources, examined = prepare.describe(
        ratings, movies, test_ratings, forget, prepare.read_settings(**settings), memory_gb
    )
    if as_json:
        power = foretell(examined.statistics.splits.test)
        found = {"refusal": examined.refusal, "notices": list(examined.notices), "power": power}
        print_json({**plain(examined.statistics), **found})
    else:
        from rich.console import Console

        console = Console(highlight=False)
        for block in prepare.description(sources, examined):
            console.print()
            console.print(block)
    if examined.refusal:
        sys.exit(2)

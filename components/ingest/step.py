"""The steps `fingerprint` and `ingest`."""

import time
from pathlib import Path

from components.outputs import output_directory, write_json
from components.progress import log
from components.step import step


@step
def fingerprint(*, ratings: str, movies: str = "", test_ratings: str = "", output: str = "") -> str:
    """Identifies the input files, without reading them: another content, another string.

    Args:
      ratings: The ratings file: path or gs:// URI, several by comma or pattern.
      movies: The movie table; "" if there is none.
      test_ratings: The ready-made test split; "" if there is none.
      output: The directory to write: `fingerprint.json`; "" writes none.

    Raises:
      UserError: if a file is absent.
    """
    from components.ingest.inputs import fingerprint_of

    identified = fingerprint_of(ratings, movies, test_ratings)
    if output:
        with output_directory(output) as directory:
            write_json(directory / "fingerprint.json", {"fingerprint": identified})
    return identified


@step
def ingest(
    *,
    ratings: str,
    output: str,
    movies: str = "",
    test_ratings: str = "",
    fingerprint: str = "",
    format: str = "",
    columns: str = "",
    rating_scale: str = "",
    split: str = "random",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 42,
    max_train_rows: int = 0,
    max_test_rows: int = 0,
    min_user_ratings: int = 0,
    min_movie_ratings: int = 0,
    max_reject_rate: float = 0.01,
    memory_gb: float = 1.5,
) -> None:
    """Validates ratings, joins them with the movies, and divides them into train, validation and test.

    Args:
      ratings: The ratings file: path or gs:// URI, several by comma or pattern.
      output: RatingsDataset, the directory to write.
      movies: The movie table; "" takes the movies that are rated, with their ids for titles.
      test_ratings: A ready-made test split; "" divides the ratings.
      fingerprint: What identifies the input files; "" computes it.
      format: The layout of the ratings, one of `formats.FORMATS`; "" finds it from the content.
      columns: user=…,movie=…,rating=…[,time=…]: names or numbers of columns; "" knows the usual ones.
      rating_scale: Least and greatest rating, such as "1,5"; "" finds it from the data.
      split: random (by a hash of user, movie and seed), leave-last-out (each user's last rating) or time
        (the latest ratings).
      validation_fraction: Share of the rows not for testing that are for early stopping, 0 to 1.
      test_fraction: Share of the rows for testing, 0 to 1; not used with `test_ratings`.
      seed: Decides which row falls on which side.
      max_train_rows: Trains on a uniform sample of at most so many rows; validation rows are cut in the same
        proportion; 0 takes all.
      max_test_rows: Tests on a uniform sample of at most so many rows; 0 takes all.
      min_user_ratings: Leaves out users with fewer ratings; 0 takes all.
      min_movie_ratings: Leaves out the ratings of movies with fewer; 0 takes all.
      max_reject_rate: Fails if a greater share of the rows must be rejected; duplicates do not count.
      memory_gb: What the step may hold in memory, in GB; beyond it the work spills to the output's disk.

    Raises:
      UserError: if a file cannot be used, too many rows are rejected or too few are left.
    """
    from components.ingest.database import database, scratch_directory
    from components.ingest.dataset import STATISTICS_FILE
    from components.ingest.inputs import fingerprint_of
    from components.ingest.prepare import open_sources, prepare
    from components.ingest.settings import Settings

    started = time.monotonic()
    settings = Settings.of(
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
    )
    with scratch_directory(output) as scratch, output_directory(output) as directory:
        sources = open_sources(ratings, movies, test_ratings, settings, scratch)
        identified = fingerprint or fingerprint_of(ratings, movies, test_ratings)
        with database(scratch, memory_gb) as connection:
            statistics = prepare(connection, sources, settings, directory)
        statistics["fingerprint"] = identified
        statistics["seconds"] = round(time.monotonic() - started, 3)
        write_json(directory / STATISTICS_FILE, statistics)
    log(f"ratings dataset in {Path(output)}")

"""The step `sample`."""

from pathlib import Path
from typing import Annotated

from components.declaration import Choice, Range
from components.errors import UserError
from components.outputs import output_directory, resumable_directory
from components.progress import log
from components.step import step

CSV, PARQUET = "csv", "parquet"


@step
def sample(
    *,
    output: str,
    users: int = 2000,
    movies: int = 1500,
    ratings: int = 120_000,
    rated_movies: int = 0,
    seed: int = 42,
    format: Annotated[str, Choice(CSV, PARQUET)] = CSV,
    parts: Annotated[int, Range(1)] = 1,
) -> None:
    """Generates a ratings file and a movie table, in the layout of the Netflix files.

    Users have preferences by genre, and a title's words tell its genre.

    Args:
      output: The directory to write: movies.csv, and ratings.csv or the directory ratings/ of Parquet files.
      users: How many users.
      movies: How many movies the table has.
      ratings: How many ratings, of 1 to 5 stars.
      rated_movies: How many of the movies are rated; 0 means all.
      seed: Decides all that is random; as Parquet, the ratings are others than as CSV.
      format: "csv" holds all ratings in memory. "parquet" draws a million at a time, so that a billion take
        2 GB of memory; the same command goes on where it was killed.
      parts: Parquet files to write, with the same rows however many they are.

    Raises:
      UserError: if no such files can be made, or the output cannot be written.
    """
    from components.sample import parts as of_parquet
    from components.sample import world

    rated = rated_movies or movies
    world.check(users, movies, ratings, rated)
    size = {"users": users, "movies": movies, "ratings": ratings, "rated_movies": rated, "seed": seed}
    if format == PARQUET:
        if parts > ratings:
            raise UserError(f"--parts {parts} must be at most --ratings {ratings}")
        with resumable_directory(output, {**size, "parts": parts}) as directory:
            of_parquet.write_parts(directory, **size, parts=parts)
    elif parts > 1:
        raise UserError(f"--parts {parts} needs --format parquet")
    else:
        with output_directory(output) as directory:
            world.write(directory, **size)
    written = f"{of_parquet.PARTS_DIRECTORY}/" if format == PARQUET else world.RATINGS_FILE
    log(f"sample in {Path(output)}: {written} and {world.MOVIES_FILE}")

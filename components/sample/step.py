"""The step `sample`."""

from pathlib import Path

from components.outputs import output_directory
from components.progress import log
from components.step import step


@step
def sample(
    *,
    output: str,
    users: int = 2000,
    movies: int = 1500,
    ratings: int = 120_000,
    rated_movies: int = 0,
    seed: int = 42,
) -> None:
    """Generates a ratings file and a movie table, in the layout of the Netflix files.

    Users have preferences by genre, and a title's words tell its genre.

    Args:
      output: The directory to write: ratings.csv and movies.csv.
      users: How many users.
      movies: How many movies the table has.
      ratings: How many ratings, of 1 to 5 stars.
      rated_movies: How many of the movies are rated; 0 means all.
      seed: Decides all that is random.

    Raises:
      UserError: if no such files can be made, or the output cannot be written.
    """
    from components.sample import world

    rated = rated_movies or movies
    world.check(users, movies, ratings, rated)
    with output_directory(output) as directory:
        world.write(directory, users, movies, ratings, rated, seed)
    log(f"sample in {Path(output)}: {world.RATINGS_FILE} and {world.MOVIES_FILE}")

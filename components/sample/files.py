"""Writes a generated world in the layout of the Netflix files."""

from pathlib import Path

import numpy as np

from components.errors import UserError
from components.progress import log
from components.sample import titles, world

RATINGS_FILE = "ratings.csv"
MOVIES_FILE = "movies.csv"
# Ids are drawn from a range so many times larger than there are users: they have gaps, as real ones.
_USER_ID_GAPS = 18


def check(users: int, movies: int, ratings: int, rated_movies: int) -> None:
    """Raises `UserError` unless such a world can be made."""
    for flag, value in (("--users", users), ("--movies", movies), ("--ratings", ratings)):
        if value < 1:
            raise UserError(f"{flag} {value} must be at least 1")
    if not 0 < rated_movies <= movies:
        raise UserError(f"--rated-movies {rated_movies} must be from 1 to --movies {movies}, or 0 for all")
    if not users <= ratings <= users * rated_movies:
        raise UserError(
            f"--ratings {ratings} must be from {users} (one a user) to {users * rated_movies} "
            "(each user rates each movie); change it, --users or --movies"
        )


def write(directory: Path, users: int, movies: int, ratings: int, rated_movies: int, seed: int) -> None:
    """Writes ratings.csv (User_ID,Rating,Movie_ID) and movies.csv (Movie_ID,Year,Name)."""
    import pyarrow as pa
    from pyarrow import csv

    random = np.random.default_rng(seed)
    log(f"drawing {ratings:,} ratings by {users:,} users of {rated_movies:,} movies")
    generated = world.create(random, users, movies, rated_movies, ratings)
    user, movie, stars = world.rate(random, generated)
    user_ids = random.permutation(users * _USER_ID_GAPS)[:users].astype(np.int32) + 1
    log(f"writing {directory.name}")
    columns = {"User_ID": user_ids[user], "Rating": stars, "Movie_ID": movie + 1}
    csv.write_csv(pa.table(columns), directory / RATINGS_FILE, csv.WriteOptions(quoting_header="none"))
    table = pa.table(
        {
            "Movie_ID": np.arange(1, movies + 1),
            "Year": titles.years(random, movies),
            "Name": titles.titles(random, generated.genres),
        }
    )
    # As most tools write it: quotes only where a title needs them.
    table.to_pandas().to_csv(directory / MOVIES_FILE, index=False, lineterminator="\n")

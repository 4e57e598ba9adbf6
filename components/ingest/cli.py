"""The subcommands `twotower fingerprint` and `twotower ingest`."""

import click

_RATINGS = "Ratings file: path or gs:// URI, several by comma or pattern."
_MOVIES = "Movie table: path or gs:// URI; without it, ids serve as titles."
_TEST_RATINGS = "Ready-made test split; without it, the ratings are divided."


@click.command()
@click.option("--ratings", required=True, help=_RATINGS)
@click.option("--movies", default="", help=_MOVIES)
@click.option("--test-ratings", default="", help=_TEST_RATINGS)
def fingerprint(ratings: str, movies: str, test_ratings: str) -> None:
    """Prints a string that changes when one of the input files does."""
    from components.ingest.step import fingerprint as step

    click.echo(step(ratings=ratings, movies=movies, test_ratings=test_ratings))


@click.command()
@click.option("--ratings", required=True, help=_RATINGS)
@click.option("--movies", default="", help=_MOVIES)
@click.option("--test-ratings", default="", help=_TEST_RATINGS)
@click.option("--output", required=True, help="RatingsDataset: the directory to write.")
@click.option("--fingerprint", default="", help="What identifies the input files; computed if not given.")
@click.option(
    "--format",
    default="",
    help="netflix, netflix-prize, movielens, movielens-dat, movielens-tab, csv, tsv or parquet; found from "
    "the content.",
)
@click.option(
    "--columns",
    default="",
    help="user=…,movie=…,rating=…[,time=…]: names or numbers of columns; usual ones are known.",
)
@click.option("--rating-scale", default="", help="Least and greatest rating, e.g. 1,5; found from the data.")
@click.option(
    "--split",
    type=click.Choice(["random", "leave-last-out", "time"]),
    default="random",
    help="By a hash of user, movie and seed; each user's last rating; or the latest ratings.",
)
@click.option("--validation-fraction", default=0.1, help="Share of the rows not for testing, 0 to 1.")
@click.option("--test-fraction", default=0.1, help="Share of the rows, 0 to 1; unused with --test-ratings.")
@click.option("--seed", default=42, help="Decides which row falls on which side of the split.")
@click.option("--max-train-rows", default=0, help="Uniform sample of the training rows; 0 takes all.")
@click.option("--max-test-rows", default=0, help="Uniform sample of the test rows; 0 takes all.")
@click.option("--min-user-ratings", default=0, help="Leaves out users with fewer ratings; 0 takes all.")
@click.option("--min-movie-ratings", default=0, help="Leaves out ratings of movies with fewer; 0 takes all.")
@click.option(
    "--max-reject-rate",
    default=0.01,
    help="Fails if a greater share of the rows, 0 to 1, must be rejected; duplicates do not count.",
)
@click.option("--memory-gb", default=3.0, help="Memory that the step may hold, in GB.")
def ingest(**arguments: str | int | float) -> None:
    """Validates ratings, joins them with the movies, and divides them into train, validation and test."""
    from components.ingest.step import ingest as step

    step(**arguments)  # type: ignore[arg-type]  # click has checked every flag's type

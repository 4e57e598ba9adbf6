"""The subcommand `twotower sample`."""

import click


@click.command()
@click.option("--output", required=True, help="The directory to write: ratings.csv and movies.csv.")
@click.option("--users", default=2000, help="How many users.")
@click.option("--movies", default=1500, help="How many movies the table has.")
@click.option("--ratings", default=120_000, help="How many ratings, of 1 to 5 stars.")
@click.option("--rated-movies", default=0, help="How many of the movies are rated; 0 means all.")
@click.option("--seed", default=42, help="Another seed, another world.")
def sample(**arguments: int | str) -> None:
    """Generates a ratings file and a movie table, in the layout of the Netflix files.

    Users have tastes by genre, and a title's words tell its genre.
    """
    from components.sample.step import sample as step

    step(**arguments)  # type: ignore[arg-type]  # click has checked every flag's type

"""The subcommands `twotower fingerprint`, `twotower describe` and `twotower ingest`."""

from collections.abc import Callable
from typing import Any

import click

_FILES = (
    click.option(
        "--ratings", required=True, help="Ratings file: path or gs:// URI, several by comma or pattern."
    ),
    click.option(
        "--movies", default="", help="Movie table: path or gs:// URI; without it, ids serve as titles."
    ),
    click.option(
        "--test-ratings", default="", help="Ready-made test split; without it, the ratings are divided."
    ),
)
_SETTINGS = (
    click.option(
        "--format",
        default="",
        help="netflix, netflix-prize, movielens, movielens-dat, movielens-tab, csv, tsv or parquet; found "
        "from the content.",
    ),
    click.option(
        "--columns",
        default="",
        help="user=…,movie=…,rating=…[,time=…]: names or numbers of columns; usual ones are known.",
    ),
    click.option(
        "--rating-scale", default="", help="Least and greatest rating, e.g. 1,5; found from the data."
    ),
    click.option(
        "--split",
        type=click.Choice(["random", "leave-last-out", "time"]),
        default="random",
        help="By a hash of user, movie and seed; each user's last rating; or the latest ratings.",
    ),
    click.option("--validation-fraction", default=0.1, help="Share of the rows not for testing, 0 to 1."),
    click.option(
        "--test-fraction", default=0.1, help="Share of the rows, 0 to 1; unused with --test-ratings."
    ),
    click.option("--seed", default=42, help="Decides which row falls on which side of the split."),
    click.option("--max-train-rows", default=0, help="Uniform sample of the training rows; 0 takes all."),
    click.option("--max-test-rows", default=0, help="Uniform sample of the test rows; 0 takes all."),
    click.option("--min-user-ratings", default=0, help="Leaves out users with fewer ratings; 0 takes all."),
    click.option(
        "--min-movie-ratings", default=0, help="Leaves out ratings of movies with fewer; 0 takes all."
    ),
    click.option(
        "--max-reject-rate",
        default=0.01,
        help="Fails if a greater share of the rows, 0 to 1, must be rejected; duplicates do not count.",
    ),
)
_MEMORY = click.option("--memory-gb", default=1.5, help="Memory that the step may hold, in GB.")


def _with(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Gives a command these options, in this order."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.command()
@_with(*_FILES)
@click.option("--output", default="", help="The directory to write for `twotower report`; none by default.")
def fingerprint(ratings: str, movies: str, test_ratings: str, output: str) -> None:
    """Prints a string that changes when one of the input files does."""
    from components.ingest.step import fingerprint as step

    click.echo(step(ratings=ratings, movies=movies, test_ratings=test_ratings, output=output))


@click.command()
@_with(*_FILES, *_SETTINGS, _MEMORY)
@click.option(
    "--json", "as_json", is_flag=True, help="Print what statistics.json would hold, and the refusal."
)
def describe(
    ratings: str, movies: str, test_ratings: str, memory_gb: float, as_json: bool, **settings: Any
) -> None:
    """Prints what `ingest` would find in these files and what it would reject, without writing anything."""
    from components.ingest.prepare import describe as described
    from components.ingest.settings import Settings

    sources, examined = described(ratings, movies, test_ratings, Settings.of(**settings), memory_gb)
    if as_json:
        import json

        click.echo(json.dumps({**examined.statistics, "refusal": examined.refusal}, indent=2))
        return
    from rich.console import Console

    from components.ingest.console import description

    console = Console(highlight=False)
    for block in description(sources, examined):
        console.print()
        console.print(block)


@click.command()
@_with(*_FILES)
@click.option("--output", required=True, help="RatingsDataset: the directory to write.")
@click.option("--fingerprint", default="", help="What identifies the input files; computed if not given.")
@_with(*_SETTINGS, _MEMORY)
def ingest(**arguments: str | int | float) -> None:
    """Validates ratings, joins them with the movies, and divides them into train, validation and test."""
    from components.ingest.step import ingest as step

    step(**arguments)  # type: ignore[arg-type]  # click has checked every flag's type

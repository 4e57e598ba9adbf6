"""Subcommands that ask a published index: `recommend`, `rate`, `history` and `similar`."""

import functools
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from components.command import Subcommand, json_option, print_json
from components.display import printable, stars, table
from components.errors import UserError
from components.recommend.titles import titled
from components.vocabulary.rule_options import rule_options

if TYPE_CHECKING:
    from components.recommend.index import PublishedIndex
    from components.recommend.reasons import Reasons
    from components.vocabulary.conditions import Rules


def version_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that name the index."""
    options = [
        click.option("--registry", default="registry", help="Registry: a directory, gs:// or s3:// prefix."),
        click.option("--version", default="", show_default="the champion", help="Version in the registry."),
        click.option(
            "--index", default="", show_default=False, help="Index directory to read instead of a registry."
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _reads_an_index(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that name the index, which the command gets as `published`, and --json."""

    @functools.wraps(command)
    def ask(registry: str, version: str, index: str, **arguments: Any) -> None:
        published = open_index(registry, version, index)
        if "rules" in arguments:
            published.check_rules(arguments["rules"])  # before anything is loaded or fetched
        command(published=published, **arguments)

    return version_options(json_option(ask))


# The user's ratings that an answer may read.
KNOWN = ("all", "train")

ORDERS = ("score", "rating")

# Flags by their names of the last release.
OLD_NAMES = {"--ratings": "--known"}

_known = click.option(
    "--known",
    type=click.Choice(KNOWN),
    default="all",
    help="Ratings of the user that are read: all, or those of training and validation.",
)

_k = click.option("-k", "--k", default=10, type=click.IntRange(min=1), help="Number of movies.")


@click.command(cls=Subcommand, renamed=OLD_NAMES)
@click.argument("user", default="")
@click.option(
    "--history",
    default="",
    metavar="FILE",
    help="In place of USER, the ratings of somebody who is in no training data, with titles: CSV or JSON "
    "as Letterboxd, IMDb and Trakt export it.",
)
@click.option(
    "--rating-scale",
    default="",
    metavar="LEAST,GREATEST",
    help="Scale of the ratings in --history, where it is not the service's usual one.",
)
@_k
@_known
@click.option("--exclude", multiple=True, metavar="MOVIE", help="Leave out this movie; may be repeated.")
@click.option("--only", multiple=True, metavar="MOVIE", help="Choose among these movies; may be repeated.")
@click.option("--with-rated", is_flag=True, help="Also recommend what USER has rated.")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    default="score",
    help="Order by retrieval score, or the best 100 of these by predicted rating.",
)
@click.option("--why", is_flag=True, help="Name the rated movies without which the scores would fall most.")
@rule_options
@_reads_an_index
def recommend(
    published: "PublishedIndex",
    user: str,
    history: str,
    rating_scale: str,
    k: int,
    known: Any,
    exclude: tuple[str, ...],
    only: tuple[str, ...],
    with_rated: bool,
    order: Any,
    why: bool,
    rules: "Rules",
    as_json: bool,
) -> None:
    """Recommend movies to USER, without those that USER has rated; or for the ratings in a file."""
    if bool(user) == bool(history):
        raise UserError("give a USER, or a file of ratings with --history")
    if history:
        others = {"--exclude": exclude, "--only": only, "--with-rated": with_rated, "--known": known != "all"}
        others[rules.first_flag] = rules.any
        if used := [flag for flag, value in others.items() if value]:
            raise UserError(f"{used[0]} is for a USER; leave it out with --history")
        _recommend_to_own(published, history, rating_scale, k, order, why, as_json)
        return
    for line in published.warnings(rules):
        click.echo(f"warning: {line}", err=True)
    answer = published.recommend(
        [user],
        k,
        known,
        include_rated=with_rated,
        exclude=[published.find_movie(movie)["movie_id"] for movie in exclude],
        only=[published.find_movie(movie)["movie_id"] for movie in only],
        order=order,
        rules=rules,
    )
    movies, known_user = answer.movies(0), bool(answer.known_user[0])
    reasons = published.explain(user, _ids(movies), known) if why else None
    if as_json:
        count = {} if answer.left is None else {"left": answer.left}
        print_json({"user_id": user, "known_user": known_user, **count, **_with_reasons(movies, reasons)})
        return
    if not known_user:
        click.echo(f"Nothing is known of user {user}: these are the most popular movies.", err=True)
    if rules.where:
        click.echo(f"--where leaves {answer.left:,} of {len(published.movie_ids):,} movies.", err=True)
    if not movies:
        left = "--only and --exclude leave no other movie" if only or exclude else "there is no other"
        left = "the conditions leave no other movie" if rules.where else left
        why_none = f"user {user} has rated every movie that can be; {left}"
        if rules.where and not answer.left:
            why_none = "the conditions leave no movie"
        click.echo(f"Nothing to recommend: {why_none}.", err=True)
    _show_recommendations(f"For user {user}", movies, published, reasons)


def _recommend_to_own(
    published: "PublishedIndex", file: str, rating_scale: str, k: int, order: str, why: bool, as_json: bool
) -> None:
    from components.ingest.dataset import parse_scale
    from components.ingest.implicit import weight_of
    from components.recommend.index import POOL
    from components.recommend.own_ratings import read_own_ratings

    if order == "rating":
        published.require_ratings("--order rating")
    scale = published.manifest.rating_scale
    own = read_own_ratings(file, published.titles, scale, parse_scale(rating_scale))
    seen = own.stars if published.rates else dict.fromkeys(own.stars, weight_of(1))  # one event each
    movies = published.recommend_from_history(seen, max(k, POOL) if order == "rating" else k)
    if order == "rating":
        movies = sorted(movies, key=lambda movie: -movie["rating"])[:k]
    reasons = published.explain_from_history(seen, _ids(movies)) if why else None
    if as_json:
        print_json({"known": own.stars, "missing": own.missing, **_with_reasons(movies, reasons)})
        return
    found = f"{len(own.stars)} of {len(own.stars) + len(own.missing)} rated movies are in the catalogue"
    click.echo(f"{found}; their scale is {own.scale[0]:g} to {own.scale[1]:g}", err=True)
    if own.missing:
        shown = ", ".join(map(printable, own.missing[:_MISSING_SHOWN]))
        more = len(own.missing) - _MISSING_SHOWN
        click.echo(f"not found: {shown}{f' and {more} more' if more > 0 else ''}", err=True)
    _show_recommendations(f"For the ratings in {file}", movies, published, reasons)


# Titles that are named, of those that the catalogue has not.
_MISSING_SHOWN = 10


@click.command(cls=Subcommand, renamed=OLD_NAMES)
@click.argument("user")
@click.argument("movie")
@_known
@_reads_an_index
def rate(published: "PublishedIndex", user: str, movie: str, known: Any, as_json: bool) -> None:
    """Predict the rating of MOVIE, an id or a title, by USER, whose own rating of MOVIE is not read."""
    found = published.find_movie(movie)
    rating = float(published.rate([user], [found["movie_id"]], known)[0])
    given = {rated["movie_id"]: rated["rating"] for rated in published.histories([user])[0]}
    actual = given.get(found["movie_id"])
    if as_json:
        print_json({"user_id": user, **found, "rating": rating, "known_user": bool(given), "rated": actual})
        return
    if not given:
        click.echo(f"Nothing is known of user {user}: this is what the average user would say.", err=True)
    rows = [[*_movie_cells(found), stars(rating), "" if actual is None else stars(actual)]]
    _show_table(f"User {user}", ["movie", "id", "predicted rating", "rated"], rows)


@click.command()
@click.argument("user")
@_reads_an_index
def history(published: "PublishedIndex", user: str, as_json: bool) -> None:
    """List the ratings of USER, the best rated movies first."""
    movies = published.history(user)
    figure_of = stars if published.rates else "{:g}".format
    if as_json:
        print_json({"user_id": user, "history": movies})
        return
    figure, heading = ("rating", "rated") if published.rates else ("count", "count")
    rows = [
        [*_movie_cells(movie), figure_of(movie[figure]), "test" if movie["held_out"] else ""]
        for movie in movies
    ]
    what = "ratings" if published.rates else "movies"
    _show_table(f"User {user}: {len(movies)} {what}", ["movie", "id", heading, "split"], rows)


@click.command()
@click.argument("movie")
@_k
@_reads_an_index
def similar(published: "PublishedIndex", movie: str, k: int, as_json: bool) -> None:
    """Find the movies that are most similar to MOVIE, an id or a title."""
    found = published.find_movie(movie)
    movies = published.similar(found["movie_id"], k)
    if as_json:
        print_json({**found, "similar": movies})
        return
    rows = [[*_movie_cells(near), f"{near['similarity']:.2f}"] for near in movies]
    heading = f"Like {titled(found['title'], found['year'])}"
    _show_table(heading, ["movie", "id", "similarity"], rows)


def _ids(movies: Sequence[dict[str, Any]]) -> list[str]:
    return [movie["movie_id"] for movie in movies]


def _with_reasons(movies: Sequence[dict[str, Any]], reasons: "Reasons | None") -> dict[str, Any]:
    """Returns the fields of a JSON answer that are about recommendations."""
    if reasons is None:
        return {"recommendations": movies}
    explained = [{**movie, "reasons": why} for movie, why in zip(movies, reasons.movies, strict=True)]
    return {"recommendations": explained, "rated": reasons.rated, "considered": reasons.considered}


def _show_recommendations(
    heading: str, movies: Sequence[dict[str, Any]], published: "PublishedIndex", reasons: "Reasons | None"
) -> None:
    from components.recommend.reasons import describe

    rated, scale = published.rates, published.manifest.rating_scale
    columns = ["movie", "id", "predicted rating" if rated else "score"]
    rows = [
        [*_movie_cells(movie), stars(movie["rating"]) if rated else f"{movie['score']:.3f}"]
        for movie in movies
    ]
    if reasons is not None:
        columns.append("because the user")
        rows = [[*row, describe(why, scale)] for row, why in zip(rows, reasons.movies, strict=True)]
        if reasons.limits:
            click.echo(reasons.limits, err=True)
    _show_table(heading, columns, rows)


def _movie_cells(movie: dict[str, Any]) -> list[str]:
    return [titled(movie["title"], movie["year"]), movie["movie_id"]]


def open_index(registry: str, version: str, index: str) -> "PublishedIndex":
    """Opens the index for a few questions; of a bucket, only the files that they need are fetched."""
    from components.recommend.index import PublishedIndex

    if index:
        return PublishedIndex.open_directory(find_index(registry, version, index))
    from components.registry.registry import PublishedFiles

    files = PublishedFiles(registry, version)
    return PublishedIndex.open(files.fetch, files.whole)


def find_index(registry: str, version: str, index: str) -> str:
    """Returns the directory of the index."""
    if index:
        if version:
            raise click.UsageError("--version names a version in a registry; leave it out with --index")
        return index
    from components.registry.registry import published_index

    return str(published_index(registry, version))


# The columns of all tables that are aligned to the right.
_NUMBERS = ("id", "predicted rating", "rated", "count", "score", "similarity")


def _show_table(heading: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table with `heading` on a terminal, else tab-separated lines below the column names."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(printable(cell) for cell in row))
        return
    from rich.console import Console

    Console().print(table(heading, columns, rows, _NUMBERS, ruled=True))

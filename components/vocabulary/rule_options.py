"""Options of commands for filter, boosts and variety of recommendations."""

import functools
from collections.abc import Callable
from typing import Any

import click

from components.vocabulary.conditions import Rules


def rule_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of filter, boosts and variety, which the command gets as `rules`."""

    @functools.wraps(command)
    def ask(
        where: tuple[str, ...],
        boost: tuple[str, ...],
        diversity: float,
        popularity_discount: float,
        **arguments: Any,
    ) -> None:
        command(rules=Rules(where, boost, diversity, popularity_discount), **arguments)

    options = [
        click.option(
            "--where",
            multiple=True,
            metavar="CONDITION",
            help="Choose among movies whose attribute fulfils this, such as 'year>=1990' or "
            "'genre=Comedy|Drama'; repeated, all must hold.",
        ),
        click.option(
            "--boost",
            multiple=True,
            metavar="CONDITION:NUMBER",
            help="Raise the scores of movies that fulfil a condition by so many standard deviations of the "
            "user's scores, such as 'genre=Comedy:1.5'; less than 0 lowers them; may be repeated.",
        ),
        click.option(
            "--diversity", default=0.0, help="Variety of the list, 0 to 1, by maximal marginal relevance."
        ),
        click.option(
            "--popularity-discount", default=0.0, help="Lower the scores of popular movies, 0 to 1."
        ),
    ]
    for option in reversed(options):
        ask = option(ask)
    return ask

"""The subcommands `show` and `compare`."""

import sys

import click

from components.command import json_option, print_json
from components.registry.cli import registry_option


@click.command()
@click.argument("version", default="")
@registry_option
@json_option
def show(version: str, registry: str, as_json: bool) -> None:
    """Shows the origin, metrics and rules of VERSION and when it was served; without it, of the champion."""
    from rich.console import Console

    from components.registry.registry import Registry
    from components.report.lookup import summary_tables, version_summary

    summary = version_summary(Registry(registry), version)
    if as_json:
        print_json(summary.as_json())
        return
    for table in summary_tables(summary):
        Console().print(table, end="\n\n")


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@registry_option
@click.option("--all", "every", is_flag=True, help="Show every metric, not only the main ones.")
@json_option
def compare(first: str, second: str, registry: str, every: bool, as_json: bool) -> None:
    """Puts two runs or versions side by side: which is better, by how much, and what differs between them.

    A and B are ids as `twotower runs` and `versions` list them, their first characters, or `champion`.
    """
    from rich.console import Console

    from components.registry.registry import Registry
    from components.report.comparison import compare as put_side_by_side
    from components.report.comparison import comparison_tables
    from components.report.lookup import find

    store = Registry(registry)
    found = find(store, first), find(store, second)
    comparison = put_side_by_side(*found)
    unmeasured = [one.name for one in found if not one.source.metrics]
    if unmeasured:
        were = "was" if len(unmeasured) == 1 else "were"
        click.echo(f"nothing to compare: {' and '.join(unmeasured)} {were} not measured", err=True)
        sys.exit(1)
    if as_json:
        print_json(comparison)
        return
    for part in comparison_tables(comparison, every):
        Console().print(part, end="\n\n", highlight=False)

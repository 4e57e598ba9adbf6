"""The subcommands `runs` and `compare`."""

import click

from components.registry.cli import registry_option


@click.command()
@registry_option
@click.option(
    "--limit", default=20, type=click.IntRange(min=1), help="How many runs to list, the latest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def runs(registry: str, limit: int, as_json: bool) -> None:
    """Lists the runs in a registry, latest first: how each ended, and why."""
    import dataclasses
    import json

    from rich.console import Console

    from components.registry.registry import Registry
    from components.registry.runs_list import runs_list

    records = Registry(registry).runs.newest_first()[:limit]
    if as_json:
        click.echo(
            json.dumps([dataclasses.asdict(record) for record in records], indent=2, ensure_ascii=False)
        )
        return
    for part in runs_list(records, registry):
        Console().print(part, highlight=False)


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@registry_option
@click.option("--all", "every", is_flag=True, help="Show every metric, not only the main ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(first: str, second: str, registry: str, every: bool, as_json: bool) -> None:
    """Puts two runs or versions side by side: which is better, by how much, and what differs between them.

    A and B are ids as `twotower runs` and `versions` list them, their first characters, or `champion`.
    """
    import json

    from rich.console import Console

    from components.registry.comparison import compare as put_side_by_side
    from components.registry.comparison_tables import comparison_tables
    from components.registry.lookup import find
    from components.registry.registry import Registry

    store = Registry(registry)
    comparison = put_side_by_side(find(store, first), find(store, second))
    if as_json:
        click.echo(json.dumps(comparison.as_json(), indent=2, ensure_ascii=False))
        return
    for part in comparison_tables(comparison, every):
        Console().print(part, end="\n\n", highlight=False)

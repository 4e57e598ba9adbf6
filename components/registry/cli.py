"""The subcommands `versions`, `show`, `rollback`, `prune`, `verify`, `runs` and `compare`."""

import click

registry_option = click.option(
    "--registry", default="registry", help="The registry: a directory or gs:// prefix."
)


@click.command()
@registry_option
def versions(registry: str) -> None:
    """Lists the versions in a registry, newest first; the champion is marked."""
    from rich.console import Console

    from components.registry.console import versions_table
    from components.registry.registry import Registry

    Console().print(versions_table(Registry(registry)))


@click.command()
@click.argument("version", default="")
@registry_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(version: str, registry: str, as_json: bool) -> None:
    """Shows the origin, metrics and rules of VERSION and when it was served; without it, of the champion."""
    import json

    from rich.console import Console

    from components.registry.console import summary_tables
    from components.registry.lookup import version_summary
    from components.registry.registry import Registry

    summary = version_summary(Registry(registry), version)
    if as_json:
        click.echo(json.dumps(summary.as_json(), indent=2, ensure_ascii=False))
        return
    for table in summary_tables(summary):
        Console().print(table, end="\n\n")


@click.command()
@click.argument("version", default="")
@registry_option
@click.option("--reason", default="", help="Why, for the champion log; none by default.")
def rollback(version: str, registry: str, reason: str) -> None:
    """Serves VERSION again; without it, the version that the present champion replaced.

    `twotower versions` lists the versions. To undo a rollback, name the version that was served before.
    """
    from components.registry.registry import Registry

    entry = Registry(registry).rollback(version, reason)
    click.echo(
        f"the champion is {entry.version}, number {entry.sequence} in the log; served before: "
        f"{entry.previous or 'none'}"
    )


@click.command()
@registry_option
@click.option("--keep", default=10, type=click.IntRange(min=1), help="How many champions to keep.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
def prune(registry: str, keep: int, dry_run: bool) -> None:
    """Deletes old versions: all but the last champions, the one served and the one to roll back to.

    A version that was never champion is deleted when it is a day old.
    """
    from components.registry.maintenance import prunable
    from components.registry.maintenance import prune as carry_out
    from components.registry.registry import Registry

    store = Registry(registry)
    pruning = prunable(store, keep)
    verb = "would delete" if dry_run else "deleted"
    if not dry_run:
        carry_out(store, pruning)
    for version, size in pruning.versions.items():
        click.echo(f"{verb} {version}, {size / 1e6:,.1f} MB")
    for sequence in pruning.serving:
        click.echo(f"{verb} serving/{sequence}")
    click.echo(f"{len(pruning.versions)} versions {verb}, {len(pruning.kept)} kept")


@click.command()
@registry_option
@click.option(
    "--download",
    is_flag=True,
    help="Read all bytes from Google Cloud Storage too, instead of the checksums that it keeps.",
)
def verify(registry: str, download: bool) -> None:
    """Compares every file of every version, and of what a server loads, with its checksum."""
    from components.errors import UserError
    from components.registry.maintenance import verify as compare
    from components.registry.registry import Registry

    found = compare(Registry(registry), download)
    for fault in found.faults:
        click.echo(fault)
    if found.faults:
        raise UserError(
            f"{registry} has {len(found.faults)} faults; restore what they name from a backup, or serve a "
            f"whole version by `twotower rollback --registry {registry}`"
        )
    click.echo(
        f"{found.versions} versions and {found.served} copies for a server are whole: {found.files} files, "
        f"{found.bytes / 1e6:,.1f} MB"
    )


@click.command()
@registry_option
@click.option(
    "--limit", default=20, type=click.IntRange(min=1), help="How many runs to list, the latest first."
)
@click.option("--json", "as_json", is_flag=True, help="Print the records as JSON.")
def runs(registry: str, limit: int, as_json: bool) -> None:
    """Lists the runs in a registry, latest first: how each ended, and why."""
    import json

    from rich.console import Console

    from components.documents import plain
    from components.registry.console import runs_list
    from components.registry.registry import Registry

    records = Registry(registry).runs.newest_first()[:limit]
    if as_json:
        click.echo(json.dumps([plain(record) for record in records], indent=2, ensure_ascii=False))
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
    from components.registry.console import comparison_tables
    from components.registry.lookup import find
    from components.registry.registry import Registry

    store = Registry(registry)
    comparison = put_side_by_side(find(store, first), find(store, second))
    if as_json:
        click.echo(json.dumps(comparison.as_json(), indent=2, ensure_ascii=False))
        return
    for part in comparison_tables(comparison, every):
        Console().print(part, end="\n\n", highlight=False)

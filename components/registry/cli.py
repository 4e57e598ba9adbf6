"""The subcommands `champion`, `versions` and `rollback`."""

import click

registry_option = click.option(
    "--registry", default="registry", help="The registry: a directory or gs:// prefix."
)


@click.command()
@registry_option
@click.option("--output", default="champion", help="The directory to write.")
def champion(registry: str, output: str) -> None:
    """Copies the served version's model out of the registry."""
    from components.registry import step

    summary = step.champion(registry=registry, output=output)
    click.echo(summary.version or "no champion yet")


@click.command()
@registry_option
def versions(registry: str) -> None:
    """Lists the versions in a registry, newest first; the champion is marked."""
    from rich.console import Console

    from components.registry.registry import Registry
    from components.registry.table import versions_table

    Console().print(versions_table(Registry(registry)))


@click.command()
@click.argument("version", default="")
@registry_option
def rollback(version: str, registry: str) -> None:
    """Serves VERSION again; without it, the version that the present champion replaced.

    `twotower versions` lists the versions. To undo a rollback, name the version that was served before.
    """
    from components.registry.registry import Registry

    entry = Registry(registry).rollback(version)
    click.echo(
        f"the champion is {entry.version}, number {entry.sequence} in the log; served before: "
        f"{entry.previous or 'none'}"
    )

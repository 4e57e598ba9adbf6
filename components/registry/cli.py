"""The subcommands `versions`, `runs`, `rollback`, `prune` and `verify`."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from components.command import json_option, print_json
from components.declaration import join_names
from components.display import figure, table
from components.errors import UserError
from components.ingest.forgotten import ForgetList
from components.ingest.settings import ReadOptions
from components.metrics import GATE_METRICS
from components.registry import maintenance, run_records, verification
from components.registry.registry import Registry
from components.registry.versions import Manifest

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

registry_option = click.option(
    "--registry", default="registry", help="The registry: a directory, gs:// or s3:// prefix."
)


@click.command()
@registry_option
@json_option
def versions(registry: str, as_json: bool) -> None:
    """Lists the versions in a registry, newest first; the champion is marked."""
    from rich.console import Console

    listed = _list_versions(Registry(registry))
    if as_json:
        print_json([{**one._asdict(), "manifest": one.manifest} for one in listed.versions])
    else:
        Console().print(_versions_table(registry, listed))
    _end_with(listed.faults, registry)


def _end_with(faults: Sequence[str], root: str) -> None:
    """Raises `UserError` about documents that could not be read, if there are any, once the rest is shown."""
    if faults:
        more = (
            f"; `twotower verify --registry {root}` lists {len(faults) - 1} more" if len(faults) > 1 else ""
        )
        raise UserError(f"{faults[0]}{more}")


class _Listed(NamedTuple):
    """A version in the list."""

    version: str
    number: int | None  # its last place in the champion log; None if it is not in it
    served: bool  # whether it is the champion
    manifest: Manifest | None  # None if it cannot be read


class _VersionList(NamedTuple):
    """The versions of a registry, newest first."""

    versions: list[_Listed]
    certain: bool  # whether it is known which one is served, if one is
    faults: list[str]  # one line for each document that could not be read


def _list_versions(registry: Registry) -> _VersionList:
    """Reads all manifests. Raises `UserError` if there are no versions."""
    ids = registry.versions.ids()
    if not ids:
        raise UserError(
            f"{registry.root} holds no versions; name another registry, or publish one by `twotower run`"
        )
    lost = registry.lost_champion()
    entries, faults = registry.champion_log.readable()
    places = {entry.version: entry.sequence for entry in entries}
    certain = bool(entries) and not lost and entries[-1].sequence == registry.champion_log.end()
    champion = entries[-1].version if certain else ""
    faults += [registry.describe_lost(lost)] if lost else []
    found = []
    for version in reversed(ids):
        manifest = None
        try:
            manifest = registry.versions.manifest(version)
        except UserError as error:
            faults.append(str(error))
        found.append(_Listed(version, places.get(version), version == champion, manifest))
    return _VersionList(found, certain or not entries, faults)


def _versions_table(root: str, listed: _VersionList) -> "Table":
    """One row a version; `*` marks the champion, and the number is its last place in the champion log."""
    columns = ("", "version", "number", *(metric.short for metric in GATE_METRICS), "gate", "run")
    shown = table(f"versions in {root}", columns, whole=["version", "run"], ruled=True)
    shown.caption = "* served now" if listed.certain else "which one is served is not known"
    for version, number, served, manifest in listed.versions:
        place = "-" if number is None else str(number)
        if manifest is None:
            shown.add_row("", version, place, style="red")
            continue
        shown.add_row(
            "*" if served else "",
            version,
            place,
            *(figure(manifest.metrics.get(metric.name)) for metric in GATE_METRICS),
            "passed" if manifest.verdict.blessed else "failed",
            manifest.run_id,
            style="bold green" if served else None,
        )
    return shown


@click.command()
@registry_option
@click.option(
    "--limit", default=20, type=click.IntRange(min=1), help="How many runs to list, the latest first."
)
@json_option
def runs(registry: str, limit: int, as_json: bool) -> None:
    """Lists the runs in a registry, latest first: how each ended, and why."""
    from rich.console import Console

    records, faults = Registry(registry).runs.newest_first()
    records = records[:limit]
    if as_json:
        print_json(records)
    elif records or not faults:
        for part in _runs_list(records, registry):
            Console().print(part, highlight=False)
    _end_with(faults, registry)


def _runs_list(records: Sequence[run_records.RunRecord], root: str) -> Iterator["RenderableType"]:
    """Two entries a run: when and how it ended with its figures, and why. Fits into 80 columns."""
    from rich.padding import Padding
    from rich.text import Text

    if not records:
        raise UserError(
            f"{root} holds no run records; name another registry, or start a run by `twotower run`"
        )
    styles = {
        run_records.PUBLISHED: "green",
        run_records.REFUSED: "red",
        run_records.FAILED: "red",
        run_records.SUPERSEDED: "yellow",
        run_records.CANCELLED: "yellow",
    }
    headings = " ".join(f"{metric.short.split()[0]:>7}" for metric in GATE_METRICS)
    yield Text(f"{'ended (UTC)':<16} {'outcome':<10} {headings}  run", style="bold")
    for record in records:
        figures = " ".join(f"{figure(record.metrics.get(metric.name)):>7}" for metric in GATE_METRICS)
        line = Text(f"{record.time:%Y-%m-%d %H:%M} ")
        line.append(f"{record.outcome:<10}", style=styles.get(record.outcome, ""))
        line.append(f" {figures}  {record.run_id}")
        yield line
        version = f"{record.version}: " if record.version else ""
        yield Padding(Text(version + record.reason, style="dim"), (0, 0, 0, 4))


@click.command()
@click.argument("version", default="")
@registry_option
@click.option("--reason", default="", help="Why, for the champion log; none by default.")
def rollback(version: str, registry: str, reason: str) -> None:
    """Serves VERSION again; without it, the version that the present champion replaced.

    `twotower versions` lists the versions. To undo a rollback, name the version that was served before.
    """
    entry = Registry(registry).rollback(version, reason)
    click.echo(
        f"the champion is {entry.version}, number {entry.sequence} in the log; served before: "
        f"{entry.previous or 'none'}"
    )


@click.command()
@click.argument("version", nargs=-1)
@registry_option
@click.option("--keep", default=10, type=click.IntRange(min=1), help="How many champions to keep.")
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@json_option
def prune(version: tuple[str, ...], registry: str, keep: int, dry_run: bool, as_json: bool) -> None:
    """Deletes old versions: all but the last champions, the one served and the one to roll back to.

    A version that was never champion is deleted when it is a day old. With VERSION, one or several, these are
    deleted and no others; any but the one served.
    """
    store = Registry(registry)
    if version:
        pruning = maintenance.chosen(store, list(dict.fromkeys(version)))
    else:
        pruning = maintenance.prunable(store, keep)
    verb = "would delete" if dry_run else "deleted"
    if not dry_run:
        maintenance.prune(store, pruning)
    if as_json:
        serving = [f"serving/{name}" for name in pruning.serving]
        bytes_of = pruning.versions  # by version
        print_json({"deleted": not dry_run, "versions": bytes_of, "serving": serving, "kept": pruning.kept})
        return
    for name, size in pruning.versions.items():
        click.echo(f"{verb} {name}, {size / 1e6:,.1f} MB")
    for name in pruning.serving:
        click.echo(f"{verb} serving/{name}")
    total = len(pruning.versions) + len(pruning.kept)
    click.echo(f"{verb} {len(pruning.versions)} of {total} versions")


@click.command()
@registry_option
@click.option(
    "--download",
    is_flag=True,
    help="Read all bytes from a bucket too, instead of the checksums that it keeps.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="First make anew what a server loads and is not as published, and delete what does not belong.",
)
@click.option(
    "--forgotten",
    multiple=True,
    callback=lambda _, __, names: join_names(names),
    help="Text file with one user id a line, a path, gs:// or s3:// URI: also names every version that holds "
    "one of these users, or was trained on their ratings, and every page of a run that shows one.",
)
@click.option(
    "--id-type", default="text", type=click.Choice(["text", "int"]), help="Of --forgotten, as of the ratings."
)
@json_option
def verify(registry: str, download: bool, repair: bool, forgotten: str, id_type: str, as_json: bool) -> None:
    """Compares every file of every version, and of what a server loads, with its checksum; reads records."""
    from components.registry.erasure import describe_holders

    with tempfile.TemporaryDirectory(prefix="twotower-verify-") as scratch:
        options = ReadOptions(id_type=id_type)
        forget = ForgetList.read(forgotten, options, Path(scratch), "--forgotten")
    store = Registry(registry)
    changes = list(verification.repair(store)) if repair else []
    found = verification.verify(store, download)
    holders = describe_holders(store, forget.user_ids) if forgotten else []
    if as_json:
        print_json({**vars(found), "repaired": changes, "holders": holders})
    for line in () if as_json else (*changes, *found.faults, *holders):
        click.echo(line.encode(errors="backslashreplace"))  # a name may hold bytes that are no text
    if found.faults:
        raise UserError(
            f"{registry} has {len(found.faults)} faults; each line above names one, and its cure. "
            f"`twotower rollback VERSION --registry {registry}` serves a whole version"
        )
    if holders:
        raise UserError(
            f"{registry} holds users to forget in {len(holders)} places; each line above names one, "
            "and its cure"
        )
    if as_json:
        return
    if forgotten:
        click.echo(f"nothing that can be served holds one of the {len(forget.user_ids):,} users")
    click.echo(
        f"{found.versions} versions, {found.served} copies for a server and {found.runs} runs are whole: "
        f"{found.files} files, {found.bytes / 1e6:,.1f} MB"
    )

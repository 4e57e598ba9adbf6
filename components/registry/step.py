"""The step `champion` and its subcommand."""

from typing import Any, NamedTuple

import click

from components.command import subcommand
from components.documents import write_document
from components.outputs import output_directory
from components.progress import log
from components.registry.champion_log import CHAMPION_FILE, ServedChampion
from components.registry.registry import Registry
from components.registry.versions import MODEL
from components.step import step


class ChampionSummary(NamedTuple):
    """The version that is served.

    Attributes:
      version: Its id; "" if the registry is empty.
      sequence: Its place in the champion log; 0 if the registry is empty.
      skip: Whether the run can end here: that is allowed, and the champion was trained on the same input.
    """

    version: str
    sequence: int
    skip: bool


@step
def champion(
    *, registry: str, fingerprint: str = "", skip_unchanged: bool = False, output: str
) -> ChampionSummary:
    """Copies the served version's model out of the registry, and checks that the registry can be written.

    A local registry that does not exist yet is created.

    Args:
      registry: Registry: a directory or gs:// prefix.
      fingerprint: Identifies a run's input files, as `fingerprint` does; "" if it is not known.
      skip_unchanged: Says whether a run can be skipped: the champion was trained on that input.
      output: The directory to write: `champion.json` and, unless the registry is empty, `model/`.

    Raises:
      UserError: if the registry cannot be written, or the champion is missing or corrupt.
    """
    store = Registry(registry)
    store.storage.check_writable()
    entry = store.champion_log.latest()
    skip = (
        skip_unchanged
        and entry is not None
        and store.versions.manifest(entry.version).fingerprint == fingerprint
    )
    with output_directory(output) as staging:
        if entry is None:
            log(f"{store.root} has no champion yet")
        else:
            log(f"the champion is {entry.version}, number {entry.sequence} of {store.root}")
            store.versions.download(entry.version, MODEL, staging / MODEL)
        version, sequence = (entry.version, entry.sequence) if entry else ("", 0)
        served = ServedChampion(
            exists=entry is not None, version=version, sequence=sequence, registry=store.root
        )
        write_document(staging / CHAMPION_FILE, served)
    return ChampionSummary(version, sequence, skip)


@subcommand(champion, defaults={"registry": "registry", "output": "champion"})
def champion_command(**inputs: Any) -> None:
    summary = champion(**inputs)
    if summary.skip:
        click.echo(f"{summary.version} was trained on this input: nothing to do")
        return
    click.echo(summary.version or "no champion yet")

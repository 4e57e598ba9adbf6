"""The step `champion`: the served version's model, for the gate to compare with."""

from pathlib import Path
from typing import NamedTuple

from components.outputs import output_directory, write_json
from components.progress import log
from components.registry.champion_log import ChampionEntry
from components.registry.registry import Registry
from components.registry.versions import MODEL
from components.step import step


class ChampionSummary(NamedTuple):
    """Which version is served.

    Attributes:
      version: its id; "" if the registry is empty.
      sequence: its place in the champion log; 0 if the registry is empty.
      skip: whether the run can end here: that was allowed, and the champion was trained on the same input.
    """

    version: str
    sequence: int
    skip: bool


@step
def champion(
    *, registry: str, fingerprint: str = "", skip_unchanged: bool = False, output: str
) -> ChampionSummary:
    """Copies the served version's model to `output`, and finds out whether the registry can be written.

    `output` then holds `champion.json` ({"exists", "version", "sequence", "registry"}) and, unless the
    registry is empty, the directory `model`. A local registry that does not exist yet is created.

    Args:
      registry: a directory or gs:// prefix.
      fingerprint: what identifies the input files of this run; "" if it is not known.
      skip_unchanged: whether a run whose input the champion was trained on is to be skipped.
      output: the directory to write.

    Raises:
      UserError: if the registry cannot be written, or the champion is missing or corrupt.
    """
    store = Registry(registry)
    store.storage.check_writable()
    entry = store.champion_log.latest()
    skip = skip_unchanged and entry is not None and _trained_on(store, entry) == fingerprint
    with output_directory(output) as staging:
        if entry is None:
            log(f"{store.root} has no champion yet")
        else:
            log(f"the champion is {entry.version}, number {entry.sequence} of {store.root}")
            store.versions.download(entry.version, MODEL, staging / MODEL)
        version, sequence = (entry.version, entry.sequence) if entry else ("", 0)
        write_json(
            Path(staging) / "champion.json",
            {
                "exists": entry is not None,
                "version": version,
                "sequence": sequence,
                "registry": store.root,
            },
        )
    return ChampionSummary(version, sequence, skip)


def _trained_on(store: Registry, entry: ChampionEntry) -> str:
    return store.versions.manifest(entry.version).fingerprint

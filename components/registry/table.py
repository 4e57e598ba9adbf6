"""The versions of a registry as a table for a terminal."""

from rich.table import Table
from rich.text import Text

from components.errors import UserError
from components.registry.manifest import Manifest
from components.registry.registry import Registry

_METRICS = {"top_100_accuracy_unseen": "top-100 unseen", "rmse": "RMSE"}


def versions_table(registry: Registry) -> Table:
    """One row a version, newest first. `*` marks the champion; a number is a place in the champion log.

    Raises:
      UserError: if there are no versions, or a document of the registry is corrupt.
    """
    ids = registry.versions.ids()
    if not ids:
        raise UserError(
            f"{registry.root} holds no versions; name another registry, or publish one by `twotower run`"
        )
    places = {entry.version: entry.sequence for entry in registry.champion_log.entries()}
    champion = max(places, key=places.__getitem__, default="")
    table = Table(title=Text(f"versions in {registry.root}"), caption="* served now")
    for heading in ("", "version", "champion", *_METRICS.values(), "gate", "run"):
        table.add_column(heading, overflow="fold")
    for version in reversed(registry.versions.ids()):
        manifest = registry.versions.manifest(version)
        served = version == champion
        table.add_row(
            "*" if served else "",
            version,
            f"no. {places[version]}" if version in places else "never",
            *(_figure(manifest, metric) for metric in _METRICS),
            "passed" if manifest.verdict.get("blessed") else "not passed",
            manifest.run_id,
            style="bold green" if served else None,
        )
    return table


def _figure(manifest: Manifest, metric: str) -> str:
    value = manifest.metrics.get(metric)
    return "-" if value is None else f"{value:.4f}"

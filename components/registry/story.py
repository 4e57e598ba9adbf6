"""All that a registry knows of one version."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from components.errors import UserError
from components.registry.champion_log import ChampionEntry
from components.registry.lookup import VERDICT, document_of
from components.registry.manifest import Manifest
from components.registry.registry import Registry
from components.registry.run_records import RunRecord


@dataclass(frozen=True)
class VersionStory:
    """A version: where it comes from, whom it beat, and when it was served.

    Attributes:
      manifest: the version's own.
      served_now: whether it is the champion.
      places: its entries in the champion log.
      replaced_by: the entry that ended its service the last time; None if it is the champion or never was.
      record: of the run that made it; None if there is none.
      verdict: of the gate on it, as `verdict.json` has it; empty if there is none.
    """

    manifest: Manifest
    served_now: bool
    places: list[ChampionEntry]
    replaced_by: ChampionEntry | None
    record: RunRecord | None
    verdict: dict[str, Any]

    @property
    def compared_with(self) -> str:
        """The champion that it had to beat; "" if there was none or it is not known."""
        return str(self.record.champion.get("version", "")) if self.record else ""

    def as_json(self) -> dict[str, Any]:
        """The story as plain values, without the list of files."""
        fields = dataclasses.asdict(self)
        del fields["manifest"]["files"]
        return {**fields, "compared_with": self.compared_with}


def version_story(registry: Registry, version: str = "") -> VersionStory:
    """What the registry knows of a version; "" stands for the champion.

    Raises:
      UserError: if there is no such version, or a document about it is corrupt.
    """
    entries = registry.champion_log.entries()
    if not version and not entries:
        raise UserError(
            f"{registry.root} has no champion; name a version: "
            f"`twotower versions --registry {registry.root}` lists them"
        )
    manifest = registry.versions.manifest(version or entries[-1].version)
    places = [entry for entry in entries if entry.version == manifest.version]
    after = entries[entries.index(places[-1]) + 1 :] if places else []
    record = _record(registry, manifest)
    return VersionStory(
        manifest=manifest,
        served_now=bool(places) and not after,
        places=places,
        replaced_by=after[0] if after else None,
        record=record,
        verdict=document_of(registry, record.run_id, VERDICT) if record else {},
    )


def _record(registry: Registry, manifest: Manifest) -> RunRecord | None:
    """The record of the version's run, unless a later run of the same name has overwritten it."""
    record = registry.runs.read(manifest.run_id)
    return record if record and record.version == manifest.version else None

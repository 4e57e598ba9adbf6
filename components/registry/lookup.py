"""Finds runs and versions by id or prefix, and collects all that is recorded of one version."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.documents import Document, plain
from components.errors import UserError
from components.registry.champion_log import ChampionEntry
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.versions import Manifest
from components.storage import NotFoundError

# Names the version that is served.
CHAMPION = "champion"

VERDICT = "verdict.json"
_STATISTICS = "statistics.json"


@dataclass(frozen=True)
class Found:
    """A run or a version, with what the registry knows of it.

    Attributes:
      name: its id.
      manifest: the version's; None for a run.
      record: of the run, or of the run that made the version; None if there is none.
      verdict: of the gate, docs/verdict.md; empty if there is none.
      statistics: of the data; empty if they were not kept.
    """

    name: str
    manifest: Manifest | None
    record: RunRecord | None
    verdict: dict[str, Any]
    statistics: dict[str, Any]

    @property
    def key(self) -> str:
        """The directory that its documents lie in, from the registry's root."""
        return f"{'versions' if self.manifest else 'runs'}/{self.name}"

    @property
    def metrics(self) -> dict[str, float | None]:
        """The model's on the test rows; None where one is not finite."""
        return self._source.metrics

    @property
    def settings(self) -> dict[str, Any]:
        """Of the training."""
        return self._source.settings

    @property
    def fingerprint(self) -> str:
        """What identifies the input files; "" if it is not known."""
        return self._source.fingerprint

    @property
    def _source(self) -> Manifest | RunRecord:
        source = self.manifest or self.record
        assert source is not None, "a run has a record"
        return source


def find(registry: Registry, name: str = "") -> Found:
    """What `name` stands for: a run or a version by its id or the beginning of it, `champion`, or "" for the
    run that ended last.

    Raises:
      UserError: if there is no such run or version, or more than one; or a document of it is corrupt.
    """
    if not name:
        return _run(registry, _last(registry).run_id)
    runs, versions = registry.runs.ids(), registry.versions.ids()
    if name == CHAMPION and CHAMPION not in runs:
        return _version(registry, _champion(registry))
    chosen = _choose(name, [*versions, *runs], registry.root)
    return _version(registry, chosen) if chosen in versions else _run(registry, chosen)


def _choose(name: str, ids: Iterable[str], root: str) -> str:
    candidates = [one for one in ids if one.startswith(name)]
    if name in candidates:
        return name
    if not candidates:
        raise UserError(
            f"{root} has no run or version {name}; `twotower runs --registry {root}` and "
            f"`twotower versions --registry {root}` list what it has"
        )
    if len(candidates) > 1:
        raise UserError(
            f"{name} may be {', '.join(candidates[:5])}; give more characters of the one you mean"
        )
    return candidates[0]


def _last(registry: Registry) -> RunRecord:
    records = registry.runs.newest_first()
    if not records:
        raise UserError(
            f"{registry.root} holds no run records; name another registry, or start a run by `twotower run`"
        )
    return records[0]


def _champion(registry: Registry) -> str:
    entry = registry.champion_log.latest()
    if entry is None:
        raise UserError(f"{registry.root} has no champion; name a run or a version")
    return entry.version


def _version(registry: Registry, version: str) -> Found:
    manifest = registry.versions.manifest(version)
    record = registry.runs.read(manifest.run_id)
    if record is None or record.version != version:  # another run of that name has overwritten it
        return Found(version, manifest, None, {}, {})
    return Found(version, manifest, record, *_documents(registry, record.run_id))


def _run(registry: Registry, run_id: str) -> Found:
    return Found(run_id, None, registry.runs.read(run_id), *_documents(registry, run_id))


def _documents(registry: Registry, run_id: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return document_of(registry, run_id, VERDICT), document_of(registry, run_id, _STATISTICS)


def document_of(registry: Registry, run_id: str, name: str) -> dict[str, Any]:
    """A JSON object beside a run's record; empty if there is none. Raises `UserError` if it is corrupt."""
    try:
        document = json.loads(registry.runs.document(run_id, name))
    except NotFoundError:
        return {}
    except ValueError as error:
        raise UserError(
            f"{name} of the run {run_id} in {registry.root} is corrupt ({error}); restore it from a backup, "
            "or delete it"
        ) from error
    return dict(document)


class VersionSummary(Document):
    """The origin of a version, the champion that it was compared with, and the times when it was served.

    Attributes:
      manifest: the version's own.
      served_now: whether it is the champion.
      places: its entries in the champion log.
      replaced_by: the entry by which it was replaced the last time; None if it is the champion or never was.
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
        return self.record.champion.version or "" if self.record else ""

    def as_json(self) -> dict[str, Any]:
        """Returns the summary as JSON values, without the list of files."""
        fields = plain(self)
        del fields["manifest"]["files"]
        return {**fields, "compared_with": self.compared_with}


def version_summary(registry: Registry, version: str = "") -> VersionSummary:
    """Collects all that the registry holds about a version; "" stands for the champion.

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
    return VersionSummary(
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

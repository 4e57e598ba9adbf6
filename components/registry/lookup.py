"""Runs and versions by the names that people type: an id, or its first characters."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from components.errors import UserError
from components.registry.manifest import Manifest
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
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

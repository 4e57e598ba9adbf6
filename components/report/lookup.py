"""Finds runs and versions by id or prefix, and collects all that is recorded of one version."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from components.display import figure, table
from components.documents import Document, decode, decode_object, plain
from components.errors import UserError
from components.evaluate.verdict import VERDICT_FILE, Verdict
from components.ingest.dataset import STATISTICS_FILE
from components.metrics import CHAMPION, short
from components.progress import log
from components.registry.champion_log import ChampionEntry
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.versions import Manifest
from components.storage import NotFoundError

_CURE = "restore it from a backup, or delete it"


@dataclass(frozen=True)
class Found:
    """A run or a version, with what the registry knows of it."""

    name: str  # its id
    manifest: Manifest | None  # the version's; None for a run
    record: RunRecord | None  # of the run, or of the run that made the version; None if there is none
    verdict: Verdict | None  # of the gate; None if there is none
    statistics: dict[str, Any]  # of the data; empty if they were not kept

    @property
    def source(self) -> Manifest | RunRecord:
        """The document that states its metrics, settings and fingerprint."""
        source = self.manifest or self.record
        assert source is not None, "a run has a record"
        return source


def find(registry: Registry, name: str = "") -> Found:
    """Finds a run or version by its id or the beginning of it, or `champion`; "" for the run that ended last.

    That is the last of those whose records can be read; the others are logged. Raises `UserError` if there is
    no such run or version, or more than one; or a document of it is corrupt.
    """
    root = registry.root
    if not name:
        records, faults = registry.runs.newest_first()
        for fault in faults:
            log(fault)
        if not records:
            raise UserError(
                f"{root} holds no run records; name another registry, or start a run by `twotower run`"
            )
        return _found(registry, records[0].run_id, None, records[0])
    runs, versions = registry.runs.ids(), registry.versions.ids()
    if name == CHAMPION and CHAMPION not in runs:
        return _version(registry, registry.champion("; name a run or a version").version)
    chosen = _choose(name, [*versions, *runs], root)
    if chosen in versions:
        return _version(registry, chosen)
    return _found(registry, chosen, None, registry.runs.read(chosen))


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


def _version(registry: Registry, version: str) -> Found:
    manifest = registry.versions.manifest(version)
    return _found(registry, version, manifest, _record(registry, manifest))


def _record(registry: Registry, manifest: Manifest) -> RunRecord | None:
    """Returns the record of the version's run, unless a later run of that name has overwritten it."""
    record = registry.runs.read(manifest.run_id)
    return record if record and record.version == manifest.version else None


def _found(registry: Registry, name: str, manifest: Manifest | None, record: RunRecord | None) -> Found:
    if record is None:
        return Found(name, manifest, None, None, {})
    return Found(
        name, manifest, record, _verdict(registry, record.run_id), _statistics(registry, record.run_id)
    )


def _verdict(registry: Registry, run_id: str) -> Verdict | None:
    """Reads the verdict beside a run's record; None if there is none. Raises `UserError` if it is corrupt."""
    try:
        data = registry.runs.document(run_id, VERDICT_FILE)
    except NotFoundError:
        return None
    return decode(data, Verdict, registry.runs.uri(run_id, VERDICT_FILE), _CURE)


def _statistics(registry: Registry, run_id: str) -> dict[str, Any]:
    """Reads the statistics beside a run's record; empty without. Raises `UserError` if they are corrupt."""
    try:
        data = registry.runs.document(run_id, STATISTICS_FILE)
    except NotFoundError:
        return {}
    return decode_object(data, registry.runs.uri(run_id, STATISTICS_FILE), _CURE)


class VersionSummary(Document):
    """The origin of a version, the champion that it was compared with, and the times when it was served."""

    manifest: Manifest  # the version's own
    served_now: bool  # whether it is the champion
    places: list[ChampionEntry]  # its entries in the champion log
    replaced_by: ChampionEntry | None  # the last time; None if it is the champion or never was
    record: RunRecord | None  # of the run that made it; None if there is none
    verdict: Verdict | None  # of the gate on it; None if there is none

    @property
    def compared_with(self) -> str:
        """The champion that it had to beat; "" if there was none or it is not known."""
        return self.record.champion.version or "" if self.record else ""

    def as_json(self) -> dict[str, Any]:
        """Returns the summary as JSON values, without the list of files."""
        fields = plain(self)
        del fields["manifest"]["files"]
        return {**fields, "verdict": fields["verdict"] or {}, "compared_with": self.compared_with}


def version_summary(registry: Registry, version: str = "") -> VersionSummary:
    """Collects what the registry has of a version, "" for the champion. Raises `UserError` if it has none."""
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
        verdict=_verdict(registry, record.run_id) if record else None,
    )


def summary_tables(summary: VersionSummary) -> list[RenderableType]:
    """Returns the facts of the version, its metrics beside those of the others, and the rules of its gate."""
    tables: list[RenderableType] = [_facts(summary), _metrics(summary)]
    if summary.verdict:
        rows = ((rule.verdict, rule.name, rule.why) for rule in summary.verdict.rules)
        tables.append(table("rules of the gate", ("", "rule", "why"), rows))
    return tables


def _facts(summary: VersionSummary) -> Table:
    manifest = summary.manifest
    files = manifest.part("").values()
    settings = (
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in manifest.settings.items()
    )
    facts = {
        "served": "now" if summary.served_now else "no longer" if summary.places else "never",
        **{f"number {entry.sequence}": _event(entry) for entry in summary.places},
        **({"replaced": _replaced(summary.replaced_by)} if summary.replaced_by else {}),
        "had to beat": summary.compared_with or "no champion on record",
        "gate": "passed" if manifest.verdict.blessed else "not passed",
        "because": manifest.verdict.reason,
        "run": manifest.run_id,
        "created": manifest.created.isoformat(),
        "data": manifest.fingerprint,
        "settings": ", ".join(settings) or "unknown",
        "files": f"{len(files)}, {sum(file.size for file in files) / 1e6:,.1f} MB",
    }
    facts_table = table(f"version {manifest.version}", ("", ""), facts.items())
    facts_table.show_header = False
    return facts_table


def _event(entry: ChampionEntry) -> str:
    instead = f" in the place of {entry.previous}" if entry.previous else ""
    reason = f": {entry.reason}" if entry.reason else ""
    return f"{entry.why} {entry.time.isoformat()}{instead}{reason}"


def _replaced(by: ChampionEntry) -> str:
    reason = f": {by.reason}" if by.reason else ""
    return f"by {by.version} ({by.why}) {by.time.isoformat()}{reason}"


def _metrics(summary: VersionSummary) -> Table:
    columns = {"this version": summary.manifest.metrics}
    if compared := summary.verdict and summary.verdict.metrics:
        if compared.champion:
            columns["champion then"] = compared.champion
        columns |= {short(name): values for name, values in compared.baselines.items()}
    rows = (
        (metric, *(figure(values.get(metric)) for values in columns.values()))
        for metric in summary.manifest.metrics
    )
    return table("on the test rows", ("metric", *columns), rows)

"""Publication of a finished run: a version, the champion log, and the copy that is served."""

from pathlib import Path
from tempfile import TemporaryDirectory

from components.progress import log
from components.publish.finished_run import CARD, REPORT, FinishedRun
from components.registry import champion_log, run_records
from components.registry.champion_log import ChampionEntry, SupersededError
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.versions import INDEX, MODEL, Manifest


def publish_run(
    store: Registry,
    run: FinishedRun,
    index: Path,
    model: Path,
    card: Path | None,
    champion_sequence: int,
    forced: str,
) -> RunRecord:
    """Makes `index` a version, the version the champion unless another came first, and records the run.

    Args:
      champion_sequence: the end of the champion log when the verdict was taken.
      forced: why the version becomes the champion whatever the verdict says; "" keeps to the verdict.

    Returns:
      The run record.
    """
    with TemporaryDirectory() as pages:
        store.clean()
        # Without this step's time: called again, it must find that the version is the same.
        version = _add(store, run.with_page(Path(pages)), index, model, card)
        store.finish_serving()
        if forced:
            entry = _promote_by_force(store, version.version, run.run_id, forced)
        else:
            entry = _promote(store, champion_sequence, version.version, run.run_id)
        _serve(store)
        return _record(store, run.ended(Path(pages)), version, entry)


def _add(store: Registry, run: FinishedRun, index: Path, model: Path, card: Path | None) -> Manifest:
    log(f"copying model and index into {store.root}")
    sources = {MODEL: model, INDEX: index, REPORT: run.files[REPORT]}
    return store.versions.add(run.provenance, sources | ({CARD: card} if card else {}))


def _promote(store: Registry, expected: int, version: str, run_id: str) -> ChampionEntry | None:
    """Returns the run's entry in the champion log, new or of an earlier attempt; None if the log moved on."""
    try:
        return store.champion_log.append(expected, version, champion_log.PUBLISHED, run_id)
    except SupersededError:
        return store.champion_log.of_version(version)


def _promote_by_force(store: Registry, version: str, run_id: str, reason: str) -> ChampionEntry | None:
    """Returns the run's entry at the present end of the champion log; None if the log moves on meanwhile."""
    entry = store.champion_log.of_version(version)
    if entry is not None:
        return entry
    end = max(store.champion_log.sequences(), default=0)
    try:
        return store.champion_log.append(end, version, champion_log.FORCED, run_id, reason)
    except SupersededError:
        return None


def _serve(store: Registry) -> None:
    """Completes the served copy of the champion: of this run, or of a publisher that was killed."""
    champion = store.champion_log.latest()
    if champion is not None:
        store.serving.complete(champion)


def _record(store: Registry, run: FinishedRun, version: Manifest, entry: ChampionEntry | None) -> RunRecord:
    if entry is not None:
        reason = f"Forced: {entry.reason}" if entry.why == champion_log.FORCED else run.verdict.reason
        record = run.record(run_records.PUBLISHED, reason, entry.version, entry.sequence)
        log(f"published {record.version}, number {record.sequence} of {store.root}")
    else:
        reason = (
            "another champion was published while this run was under way; its version is kept, and "
            f"`twotower rollback {version.version} --registry {store.root}` serves it"
        )
        record = run.record(run_records.SUPERSEDED, reason, version.version)
        log(f"superseded: {reason}")
    store.runs.write(record, run.files)
    return record

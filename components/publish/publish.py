"""Publication of a finished run: a version, the champion log, and the copy that is served."""

from pathlib import Path
from tempfile import TemporaryDirectory

from components.progress import log
from components.publish.finished_run import CARD, REPORT, FinishedRun
from components.registry import champion_log, run_records
from components.registry.champion_log import ChampionEntry, ChampionLog, SupersededError
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

    `champion_sequence` is the end of the champion log when the verdict was taken; `forced` is why the version
    becomes the champion whatever the verdict says, "" keeps to the verdict. Returns the run record.
    """
    with TemporaryDirectory() as pages:
        store.check_log(read_records=True)
        store.clean()
        log(f"copying model and index into {store.root}")
        # Without this step's time: called again, it must find that the version is the same.
        page = run.with_page(Path(pages)).files[REPORT]
        sources = {MODEL: model, INDEX: index, REPORT: page, **({CARD: card} if card else {})}
        version = store.versions.add(run.provenance, sources)
        store.finish_serving()
        entry = _promote(store.champion_log, champion_sequence, version.version, run.run_id, forced)
        # Of this run, or of a publisher that was killed.
        store.complete_serving()
        return _record(store, run.ended(Path(pages)), version, entry)


def _promote(
    champions: ChampionLog, expected: int, version: str, run_id: str, forced: str
) -> ChampionEntry | None:
    """Returns the run's entry in the log, new or of an earlier attempt; None if the log moved on.

    A version that is `forced` comes after the last entry, whatever was `expected`.
    """
    if forced:
        if earlier := champions.of_version(version):
            return earlier
        expected = champions.end()
    why = champion_log.FORCED if forced else champion_log.PUBLISHED
    try:
        return champions.append(expected, version, why, run_id, forced)
    except SupersededError:
        return champions.of_version(version)


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

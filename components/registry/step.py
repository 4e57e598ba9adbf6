"""The step `prepare` and its subcommand."""

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import click
import msgspec

from components.command import setting_flags, subcommand
from components.declaration import Several
from components.documents import write_document
from components.errors import UserError
from components.ingest.settings import INGEST_SETTINGS, ReadOptions
from components.outputs import output_directory
from components.progress import log
from components.registry.champion_log import (
    BEST_MODEL,
    CHAMPION_FILE,
    MODEL,
    ChampionEntry,
    ServedChampion,
)
from components.registry.past_champions import champions_ahead
from components.registry.registry import Registry
from components.registry.run_records import SKIPPED, RunRecord, SeenChampion, run_id_by_time
from components.saved_models import SAVED_MODEL, ForeignOperationError, check_operations
from components.step import step
from components.train.artifact import WEIGHTS_FILE


class PrepareSummary(NamedTuple):
    """Input of a run, and the version that is served.

    Attributes:
      fingerprint: Changes when an input file does.
      version: The champion's id; "" if the registry is empty.
      sequence: Its place in the champion log; 0 if the registry is empty.
      skip: Whether the run ends here: that is allowed, and the champion was trained on the same input.
      cold_start: Why a training must not begin at that version's weights, a sentence; "" if it may.
    """

    fingerprint: str
    version: str
    sequence: int
    skip: bool
    cold_start: str = ""


@step
def prepare(
    *,
    ratings: Annotated[str, Several()],
    registry: str,
    movies: Annotated[str, Several()] = "",
    test_ratings: Annotated[str, Several()] = "",
    forget: Annotated[str, Several()] = "",
    skip_unchanged: bool = False,
    ignore_champion: bool = False,
    run_id: str = "",
    ingest_settings: dict[str, Any] = {},  # noqa: B006  # never changed
    output: str,
) -> PrepareSummary:
    """Looks for the input files, copies the served version's model, and decides if there is anything to do.

    If one of the ten champions before it was measured better, that one's model is copied as well, for the
    gate to compare with.

    The fingerprint of the files is made of their sizes and checksums, for which local files are read. A local
    registry that does not exist yet is created. A run that is skipped gets its record in the registry.

    Args:
      ratings: Ratings: a path, gs:// or s3:// URI, several by comma or by repeating the flag, or a pattern
        with *.
      registry: Registry: a directory, gs:// or s3:// prefix.
      movies: Movie table: a path, gs:// or s3:// URI; "" if there is none.
      test_ratings: Ready-made test split in the layout of the ratings; "" if there is none.
      forget: Users to leave out, in a text file with one id a line: a path, gs:// or s3:// URI; "" for none.
        A training does not begin at weights that have read their ratings.
      skip_unchanged: Whether a run ends at once if the champion was trained on the same input files.
      ignore_champion: Leaves the champion out, for one that can no longer be loaded or scored. Its place in
        the log is kept, and nothing is skipped.
      run_id: Pipeline run, which names the record of a skipped run; "" names it by the time.
      ingest_settings: Options of reading the files by name, a JSON object; each is a flag as well.
      output: The directory to write: `champion.json`, `model/` unless the registry is empty, and
        `best_model/` if an earlier champion is ahead.

    Raises:
      UserError: if an input file is absent, the registry cannot be written, or the champion is missing,
        corrupt, or holds an operation that no release writes.
    """
    from components.ingest.forgotten import ForgetList
    from components.ingest.inputs import fingerprint_of

    with tempfile.TemporaryDirectory(prefix="twotower-prepare-") as scratch:
        forgotten = ForgetList.read(forget, ReadOptions.read(ingest_settings), Path(scratch))
    fingerprint = fingerprint_of(ratings, movies, test_ratings, forgotten=forgotten.fingerprint)
    store = Registry(registry)
    store.storage.check_writable()
    entry = store.latest()
    version, sequence = (entry.version, entry.sequence) if entry else ("", 0)
    skip = (
        skip_unchanged
        and bool(version)
        and not ignore_champion
        and store.versions.manifest(version).fingerprint == fingerprint
    )
    with output_directory(output) as staging:
        served = ServedChampion(
            exists=entry is not None, version=version, sequence=sequence, registry=store.root
        )
        if entry is None:
            log(f"{store.root} has no champion yet")
        elif not skip:
            log(f"the champion is {version}, number {sequence} of {store.root}")
            served = _bring_models(store, entry, served, staging, ignore_champion)
        write_document(staging / CHAMPION_FILE, served)
        if skip:
            champion = SeenChampion(version=version, sequence=sequence)
            _record_skipped(store, run_id or run_id_by_time(), champion, fingerprint)
    cold_start = ""
    if version and not skip and forgotten.user_ids:
        from components.registry.erasure import Erasure

        cold_start = Erasure(store, forgotten.user_ids).objection(version)
    return PrepareSummary(fingerprint, version, sequence, skip, cold_start)


def _refuse_foreign(model: Path, version: str) -> None:
    """Checks the operations of the champion's graph; what cannot be read, `evaluate` cannot load either."""
    try:
        check_operations(model / SAVED_MODEL)
    except ForeignOperationError as error:
        raise UserError(
            f"the champion {version}: {error}; serve another by `twotower rollback`, or leave it out by "
            "--ignore-champion"
        ) from error
    except UserError as error:
        log(f"the champion {version}: {error}")


def _bring_models(
    store: Registry, entry: ChampionEntry, served: ServedChampion, staging: Path, ignored: bool
) -> ServedChampion:
    """Copies the champion's model, unless it is `ignored`, and that of the best champion before, if ahead.

    Raises `UserError` if the champion's model cannot be copied and is not ignored.
    """
    if ignored:
        why = "It was left out, as asked."
        try:
            _download(store, entry.version, staging / MODEL)
        except UserError as error:
            why = f"It was left out, as asked; it could not be read: {error}."
        shutil.rmtree(staging / MODEL, ignore_errors=True)
        log(f"the champion is ignored. {why}")
        return msgspec.structs.replace(served, ignored=why)
    _download(store, entry.version, staging / MODEL)
    for best in champions_ahead(store):
        try:
            _download(store, best.version, staging / BEST_MODEL)
        except UserError as error:  # pruned, or damaged
            log(f"{best.version} is left out: {error}")
            shutil.rmtree(staging / BEST_MODEL, ignore_errors=True)
        else:
            log(f"{best.version}, number {best.sequence}, was measured better: it is compared with as well")
            return msgspec.structs.replace(served, best_version=best.version, best_sequence=best.sequence)
    return served


def _download(store: Registry, version: str, target: Path) -> None:
    # `train` reads the weights where they are, if it wants them; a fault of theirs ends no run.
    files = store.versions.files(version, MODEL)
    files.pop(WEIGHTS_FILE, None)
    store.versions.download(version, MODEL, target, files)
    _refuse_foreign(target, version)


def _record_skipped(store: Registry, run_id: str, champion: SeenChampion, fingerprint: str) -> None:
    version = champion.version
    reason = f"the champion {version} was trained on the same input; run without skip_unchanged to train anew"
    log(f"skipped: {reason}")
    record = RunRecord(
        run_id=run_id, outcome=SKIPPED, reason=reason, champion=champion, fingerprint=fingerprint
    )
    store.runs.write(record, {})


@subcommand(prepare, defaults={"registry": "registry", "output": "champion"})
@setting_flags(ReadOptions, INGEST_SETTINGS)
def prepare_command(**inputs: Any) -> None:
    summary = prepare(**inputs)
    if summary.skip:
        click.echo(f"{summary.version} was trained on this input: nothing to do")
        return
    click.echo(f"input {summary.fingerprint}, {summary.version or 'no champion yet'}")

"""The step `publish`."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from components.errors import UserError
from components.outputs import output_directory, write_json
from components.progress import log
from components.publish.finished_run import CARD, REPORT, FinishedRun, find_card, read_finished_run
from components.registry import champion_log, run_records
from components.registry.champion_log import ChampionEntry, SupersededError
from components.registry.registry import Registry
from components.registry.versions import INDEX, MODEL, Manifest
from components.step import step

# Stands for the champion that the verdict names.
AS_THE_VERDICT_SAYS = -1


class PublishSummary(NamedTuple):
    """What became of a version.

    Attributes:
      version: its id.
      outcome: "published", or "superseded" if another champion came in between.
      sequence: its place in the champion log; 0 if it was superseded.
    """

    version: str
    outcome: str
    sequence: int


@step
def publish(
    *,
    index: str,
    model: str,
    evaluation: str,
    report: str,
    registry: str,
    run_id: str,
    champion_sequence: int = AS_THE_VERDICT_SAYS,
    model_card: str = "",
    dataset: str = "",
    force: bool = False,
    reason: str = "",
    output: str,
) -> PublishSummary:
    """Makes the index a version in the registry and, if the champion still is the one seen, the champion.

    Every write leaves a registry that serves a whole champion, so a publisher may be killed at any time;
    called again with the same `run_id`, it goes on where it was.

    Args:
      index: the Index, a directory.
      model: the Model, a directory.
      evaluation: the Evaluation, a directory.
      report: the page, or the directory that holds it.
      registry: a directory or gs:// prefix.
      run_id: the pipeline run.
      champion_sequence: the end of the champion log when the verdict was taken; -1: as the verdict says.
      model_card: the model card; "" for the one beside the page, if there is one.
      dataset: the RatingsDataset, for the run record; "" for none.
      force: whether to publish whatever the verdict says and whichever champion came in between.
      reason: why it is forced, for the champion log.
      output: the directory to write: `published.json`.

    Raises:
      UserError: if an artifact is broken, the verdict says not to publish, the registry cannot be written,
        or it is forced without a reason.
    """
    _check_reason(force, reason)
    run = read_finished_run(run_id, evaluation, report, model, dataset, index)
    if not force:
        _check_verdict(run, evaluation)
    _check_files(index, model)
    if champion_sequence == AS_THE_VERDICT_SAYS:
        champion_sequence = run.verdict["champion"]["sequence"]
    store = Registry(registry)
    card = find_card(model_card, run)
    with output_directory(output) as staging, TemporaryDirectory() as pages:
        store.clean()
        # Without this step's time: called again, it must find that the version is the same.
        version = _add(store, run.with_page(Path(pages)), index, model, card)
        store.finish_serving()
        if force:
            entry = _promote_by_force(store, version.version, run_id, reason)
        else:
            entry = _promote(store, champion_sequence, version.version, run_id)
        _serve(store)
        summary = _record(store, run.ended(Path(pages)), version, entry)
        write_json(Path(staging) / "published.json", {**summary._asdict(), "registry": store.root})
    return summary


def _check_reason(force: bool, reason: str) -> None:
    if force and not reason.strip():
        raise UserError("--force needs --reason TEXT: the champion log keeps why the verdict was overruled")
    if reason and not force:
        raise UserError("--reason says why a version is forced; leave it out, or add --force")


def _check_verdict(run: FinishedRun, evaluation: str) -> None:
    if not run.verdict["publish"]:
        raise UserError(
            f"the verdict in {evaluation} is not to publish; train a better model, or overrule it by "
            f"--force --reason TEXT. {run.verdict['reason']}"
        )


def _check_files(index: str, model: str) -> None:
    for path in (Path(index), Path(model) / "saved_model"):
        if not (path / "saved_model.pb").is_file():
            raise UserError(f"{path} holds no saved_model.pb; run the step that writes it again")


def _add(store: Registry, run: FinishedRun, index: str, model: str, card: Path | None) -> Manifest:
    log(f"copying model and index into {store.root}")
    sources = {MODEL: Path(model), INDEX: Path(index), REPORT: run.files[REPORT]}
    return store.versions.add(run.provenance, sources | ({CARD: card} if card else {}))


def _promote(store: Registry, expected: int, version: str, run_id: str) -> ChampionEntry | None:
    """The run's entry in the champion log, new or from an earlier attempt; None if the log moved on."""
    try:
        return store.champion_log.append(expected, version, champion_log.PUBLISHED, run_id)
    except SupersededError:
        return store.champion_log.of_version(version)


def _promote_by_force(store: Registry, version: str, run_id: str, reason: str) -> ChampionEntry | None:
    """The run's entry in the champion log, whose end is where it is now; None if it moves on meanwhile."""
    entry = store.champion_log.of_version(version)
    if entry is not None:
        return entry
    end = max(store.champion_log.sequences(), default=0)
    try:
        return store.champion_log.append(end, version, champion_log.FORCED, run_id, reason)
    except SupersededError:
        return None


def _serve(store: Registry) -> None:
    """Completes what the server loads: ours, or what a killed publisher of the present champion left."""
    champion = store.champion_log.latest()
    if champion is not None:
        store.serving.complete(champion)


def _record(
    store: Registry, run: FinishedRun, version: Manifest, entry: ChampionEntry | None
) -> PublishSummary:
    if entry is not None:
        reason = f"Forced: {entry.reason}" if entry.why == champion_log.FORCED else run.verdict["reason"]
        summary = PublishSummary(entry.version, run_records.PUBLISHED, entry.sequence)
        log(f"published {summary.version}, number {summary.sequence} of {store.root}")
    else:
        reason = (
            "another champion was published while this run was under way; its version is kept, and "
            f"`twotower rollback {version.version} --registry {store.root}` serves it"
        )
        summary = PublishSummary(version.version, run_records.SUPERSEDED, 0)
        log(f"superseded: {reason}")
    store.runs.write(run.record(summary.outcome, reason, summary.version, summary.sequence), run.files)
    return summary

"""The steps `refuse` and `skip`: the ends of a run that publishes nothing."""

from pathlib import Path
from tempfile import TemporaryDirectory

from components.errors import UserError
from components.outputs import output_directory, write_json
from components.progress import log
from components.publish.finished_run import read_finished_run
from components.registry.registry import Registry
from components.registry.run_records import REFUSED, SKIPPED, RunRecord, SeenChampion
from components.step import step


@step
def refuse(
    *,
    evaluation: str,
    report: str,
    registry: str,
    run_id: str,
    model: str = "",
    dataset: str = "",
    fail: bool = False,
    output: str,
) -> None:
    """Says why a run is not published, and records it in the registry.

    Args:
      evaluation: the Evaluation, a directory.
      report: the page, or the directory that holds it.
      registry: a directory or gs:// prefix.
      run_id: the pipeline run.
      model: the Model, for the run record; "" for none.
      dataset: the RatingsDataset, for the run record; "" for none.
      fail: whether the step fails in the end, and the run with it.
      output: the directory to write: `refused.json`.

    Raises:
      UserError: if an artifact is broken or the registry cannot be written; or with `fail`, once all is
        written.
    """
    run = read_finished_run(run_id, evaluation, report, model, dataset)
    reason = run.verdict["reason"]
    failing = [rule for rule in run.verdict["rules"] if rule["verdict"] == "fail"]
    log(reason)
    for rule in failing:
        log(f"rule {rule['name']} fails: {rule['why']}")
    with output_directory(output) as staging, TemporaryDirectory() as pages:
        ended = run.ended(Path(pages))
        Registry(registry).runs.write(ended.record(REFUSED, reason), ended.files)
        write_json(Path(staging) / "refused.json", {"reason": reason, "rules": failing})
    if fail:
        raise UserError(reason)


@step
def skip(*, registry: str, run_id: str, version: str, sequence: int, fingerprint: str, output: str) -> None:
    """Says that a run ends because the champion was trained on its input, and records it.

    Args:
      registry: a directory or gs:// prefix.
      run_id: the pipeline run.
      version: the champion.
      sequence: its place in the champion log.
      fingerprint: what identifies the input files.
      output: the directory to write: `skipped.json`.

    Raises:
      UserError: if the registry cannot be written.
    """
    reason = f"the champion {version} was trained on the same input; run without skip_unchanged to train anew"
    log(f"skipped: {reason}")
    record = RunRecord(
        run_id=run_id,
        outcome=SKIPPED,
        reason=reason,
        champion=SeenChampion(version=version, sequence=sequence),
        fingerprint=fingerprint,
    )
    with output_directory(output) as staging:
        Registry(registry).runs.write(record, {})
        write_json(Path(staging) / "skipped.json", {"reason": reason})

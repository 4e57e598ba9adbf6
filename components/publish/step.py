"""The steps `publish`, `refuse` and `notify`, with which a run ends, and their subcommands."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click

from components.command import subcommand
from components.documents import plain
from components.errors import UserError
from components.outputs import output_directory, write_json
from components.progress import log
from components.publish.finished_run import CARD, REPORT, find_card, read_finished_run
from components.publish.notify import call_webhook, complete_record
from components.publish.publish import publish_run
from components.registry.registry import Registry
from components.registry.run_records import REFUSED, run_id_by_time
from components.report.step import write_report
from components.step import failure, step

# Stands for the champion that the verdict names.
AS_THE_VERDICT_SAYS = -1

_BY_HAND = {"registry": "registry", "run_id": ""}


class PublishSummary(NamedTuple):
    """Outcome of a publication.

    Attributes:
      version: The version's id.
      outcome: "published", or "superseded" if another champion came in between.
      sequence: The version's place in the champion log; 0 if it was superseded.
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
    """Makes an index a version in the registry and, unless another came first, the champion.

    Only what was judged is published: the verdict must be on this model, and the index serve it. The index
    is asked again what `export` asked it. Every write leaves a registry that serves a whole champion, so a
    publisher may be killed at any time; called again with the same run id, it goes on where it was.

    Args:
      index: Index that `export` wrote.
      model: Model that `train` wrote.
      evaluation: Evaluation that `evaluate` wrote.
      report: Page that `report` wrote, or the directory that holds it.
      registry: Registry: a directory, gs:// or s3:// prefix.
      run_id: Pipeline run, which names the run record; "" names it by the time.
      champion_sequence: End of the champion log when the verdict was taken, which must say the same; -1: as
        the verdict says.
      model_card: Model card that `report` wrote; "" takes model_card.md beside the page, if there is one.
      dataset: RatingsDataset, for the run record; "" for none.
      force: Publishes whatever the verdict says, and whichever champion came in between. Needs a reason. By
        hand only: somebody has to answer for it.
      reason: Reason why it is forced, for the champion log. By hand only, with the former.
      output: The directory to write: `published.json`.

    Raises:
      UserError: if an artifact is broken, model, index and verdict are not of one another, the verdict says
        not to publish, the registry cannot be written, or it is forced without a reason.
    """
    from components.publish.judged import check_judged

    if force and not reason.strip():
        raise UserError("--force needs --reason TEXT: the champion log keeps why the verdict was overruled")
    if reason and not force:
        raise UserError("--reason says why a version is forced; leave it out, or add --force")
    run = read_finished_run(run_id, evaluation, report, model, dataset, index)
    if not force and not run.verdict.publish:
        raise UserError(
            f"the verdict in {evaluation} is not to publish; train a better model, or overrule it by "
            f"--force --reason TEXT. {run.verdict.reason}"
        )
    seen = run.verdict.champion.sequence
    if not force and champion_sequence not in (AS_THE_VERDICT_SAYS, seen):
        raise UserError(
            f"--champion-sequence {champion_sequence}: the verdict in {evaluation} is on champion number "
            f"{seen}; evaluate again with the present champion, or overrule it by --force --reason TEXT"
        )
    card = find_card(model_card, run)
    check_judged(run.verdict, evaluation, model, index)
    store = Registry(registry)
    with output_directory(output) as staging:
        record = publish_run(store, run, Path(index), Path(model), card, seen, reason)
        summary = PublishSummary(record.version, record.outcome, record.sequence)
        write_json(staging / "published.json", {**summary._asdict(), "registry": store.root})
    return summary


@subcommand(publish, defaults={**_BY_HAND, "output": "published"})
def publish_command(run_id: str, **inputs: Any) -> None:
    summary = publish(run_id=run_id or run_id_by_time(), **inputs)
    place = f", number {summary.sequence} in the champion log" if summary.sequence else ""
    click.echo(f"{summary.outcome} {summary.version}{place}")


@step
def refuse(
    *,
    evaluation: str,
    registry: str,
    run_id: str,
    report: str = "",
    model: str = "",
    dataset: str = "",
    fail: bool = False,
    output: str,
    report_output: str = "",
    model_card_output: str = "",
) -> None:
    """Says why a run is not published, and records it in the registry with a page on the decision.

    Args:
      evaluation: Evaluation that `evaluate` wrote.
      report: Page that `report` wrote, or the directory that holds it; "" makes it of the evaluation, model
        and dataset. By hand only.
      registry: Registry: a directory, gs:// or s3:// prefix.
      run_id: Pipeline run, which names the run record; "" names it by the time.
      model: Model, for the page and the run record; "" for none where `report` is given.
      dataset: RatingsDataset, likewise.
      fail: Whether the step fails once the refusal is recorded, and the run with it.
      output: The directory to write: `refused.json`.
      report_output: The page to write, without `report`; "" keeps it in the registry only.
      model_card_output: The model card to write, without `report`; "" writes none.

    Raises:
      UserError: if an artifact is broken or the registry cannot be written; or with `fail`, once all is
        written.
    """
    with TemporaryDirectory() as pages:
        if not report:
            report = report_output or f"{pages}/{REPORT}"
            if not (model and dataset):
                raise UserError(
                    "--report is missing: name the page that `twotower report` wrote, or give --model and "
                    "--dataset, of which one is made"
                )
            write_report(evaluation, model, dataset, report, model_card_output or f"{pages}/{CARD}")
        run = read_finished_run(run_id, evaluation, report, model, dataset)
        reason, failing = run.verdict.reason, run.verdict.failing
        log(reason)
        for rule in failing:
            log(f"rule {rule.name} fails: {rule.why}")
        with output_directory(output) as staging:
            ended = run.ended(Path(pages))
            Registry(registry).runs.write(ended.record(REFUSED, reason), ended.files)
            refusal = {"reason": reason, "rules": [plain(rule) for rule in failing]}
            write_json(staging / "refused.json", refusal)
    if fail:
        raise UserError(reason)


@subcommand(refuse, defaults={**_BY_HAND, "output": "refused"})
def refuse_command(run_id: str, **inputs: Any) -> None:
    refuse(run_id=run_id or run_id_by_time(), **inputs)


@step
def notify(
    *,
    status_error: str = "",
    registry: str,
    run_id: str,
    checkpoint_root: str = "",
    workers: int = 1,
    batch_shards: int = 1,
) -> None:
    """Writes a record if the run has none, and posts its outcome to the webhook in TWOTOWER_WEBHOOK.

    A run without a record failed or was cancelled before its verdict. What pods of workers and shards left is
    deleted. Never fails: a broken registry, webhook or cluster is logged.

    Args:
      status_error: Message of the pipeline about its failure; "" on Kubeflow.
      registry: Registry: a directory, gs:// or s3:// prefix.
      run_id: Pipeline run.
      checkpoint_root: That of the training; "" if it had none.
      workers: Pods that trained together.
      batch_shards: Pods among which the users of the batch were divided.
    """
    text = complete_record(registry, run_id, failure() or status_error)
    log(text)
    call_webhook(text)
    if max(workers, batch_shards) > 1 and checkpoint_root:
        from components.train.pods.cleanup import clean_up

        clean_up(run_id, checkpoint_root)


@subcommand(notify, defaults={"registry": "registry"})
def notify_command(**inputs: Any) -> None:
    notify(**inputs)

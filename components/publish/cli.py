"""The subcommands `publish`, `refuse`, `skip` and `notify`."""

import click

_evaluation = click.option(
    "--evaluation", required=True, help="The Evaluation that `twotower evaluate` wrote."
)
_report = click.option(
    "--report", required=True, help="The page that `twotower report` wrote, or its directory."
)
_dataset = click.option(
    "--dataset", default="", help="The RatingsDataset, for the run record; none by default."
)
_registry = click.option("--registry", default="registry", help="The registry: a directory or gs:// prefix.")
_run_id = click.option("--run-id", default="", help="Names the run record; by default, the time.")


@click.command()
@click.option("--index", required=True, help="The Index that `twotower export` wrote.")
@click.option("--model", required=True, help="The Model that `twotower train` wrote.")
@_evaluation
@_report
@click.option(
    "--model-card",
    default="",
    help="The model card that `twotower report` wrote; by default, model_card.md beside the page, if any.",
)
@_dataset
@_registry
@_run_id
@click.option(
    "--champion-sequence",
    default=-1,
    help="The end of the champion log when the verdict was taken; -1: as the verdict says.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Publish whatever the verdict says, and whichever champion came in between. Needs --reason.",
)
@click.option("--reason", default="", help="Why it is forced, for the champion log; none by default.")
@click.option("--output", default="published", help="The directory to write.")
def publish(
    index: str,
    model: str,
    evaluation: str,
    report: str,
    model_card: str,
    dataset: str,
    registry: str,
    run_id: str,
    champion_sequence: int,
    force: bool,
    reason: str,
    output: str,
) -> None:
    """Makes an index a version in the registry and, unless another came first, the champion.

    Called again with the same --run-id, it goes on where it was.
    """
    from components.publish import publish as step

    summary = step.publish(
        index=index,
        model=model,
        evaluation=evaluation,
        report=report,
        model_card=model_card,
        registry=registry,
        run_id=run_id or _run_id_by_time(),
        champion_sequence=champion_sequence,
        dataset=dataset,
        force=force,
        reason=reason,
        output=output,
    )
    place = f", number {summary.sequence} in the champion log" if summary.sequence else ""
    click.echo(f"{summary.outcome} {summary.version}{place}")


@click.command()
@_evaluation
@_report
@click.option("--model", default="", help="The Model, for the run record; none by default.")
@_dataset
@_registry
@_run_id
@click.option("--fail/--no-fail", default=False, help="End with status 2 once the refusal is recorded.")
@click.option("--output", default="refused", help="The directory to write.")
def refuse(
    evaluation: str,
    report: str,
    model: str,
    dataset: str,
    registry: str,
    run_id: str,
    fail: bool,
    output: str,
) -> None:
    """Says why a run is not published, and records it in the registry."""
    from components.publish import refuse as step

    step.refuse(
        evaluation=evaluation,
        report=report,
        model=model,
        dataset=dataset,
        registry=registry,
        run_id=run_id or _run_id_by_time(),
        fail=fail,
        output=output,
    )


@click.command()
@_registry
@_run_id
@click.option("--version", required=True, help="The champion.")
@click.option("--sequence", required=True, type=int, help="Its place in the champion log.")
@click.option("--fingerprint", required=True, help="What identifies the run's input.")
@click.option("--output", default="skipped", help="The directory to write.")
def skip(registry: str, run_id: str, version: str, sequence: int, fingerprint: str, output: str) -> None:
    """Says that a run ends because the champion was trained on its input, and records it."""
    from components.publish import refuse as step

    step.skip(
        registry=registry,
        run_id=run_id or _run_id_by_time(),
        version=version,
        sequence=sequence,
        fingerprint=fingerprint,
        output=output,
    )


@click.command()
@click.option("--status-state", required=True, help="How the run ended: SUCCEEDED, FAILED or another word.")
@click.option("--status-error", default="", help="What the pipeline says of the failure; nothing by default.")
@_registry
@click.option("--run-id", required=True, help="The run.")
def notify(status_state: str, status_error: str, registry: str, run_id: str) -> None:
    """Sees to it that a run has a record, and tells the webhook in TWOTOWER_WEBHOOK how it ended."""
    from components.publish import notify as step

    step.notify(status_state=status_state, status_error=status_error, registry=registry, run_id=run_id)


def _run_id_by_time() -> str:
    from components.documents import now

    return f"by-hand-{now():%Y%m%d-%H%M%S-%f}"

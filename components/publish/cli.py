"""The subcommand `publish`."""

import click


@click.command()
@click.option("--index", required=True, help="The Index that `twotower export` wrote.")
@click.option("--model", required=True, help="The Model that `twotower train` wrote.")
@click.option("--evaluation", required=True, help="The Evaluation that `twotower evaluate` wrote.")
@click.option("--report", required=True, help="The page that `twotower report` wrote, or its directory.")
@click.option("--dataset", default="", help="The RatingsDataset, for the run record; none by default.")
@click.option("--registry", default="registry", help="The registry: a directory or gs:// prefix.")
@click.option("--run-id", default="", help="Names the run record; by default, the time.")
@click.option(
    "--champion-sequence",
    default=-1,
    help="The end of the champion log when the verdict was taken; -1: as the verdict says.",
)
@click.option("--output", default="published", help="The directory to write.")
def publish(
    index: str,
    model: str,
    evaluation: str,
    report: str,
    dataset: str,
    registry: str,
    run_id: str,
    champion_sequence: int,
    output: str,
) -> None:
    """Makes an index a version in the registry and, unless another came first, the champion.

    Called again with the same --run-id, it goes on where it was.
    """
    from components.publish import publish as step
    from components.registry.documents import now

    summary = step.publish(
        index=index,
        model=model,
        evaluation=evaluation,
        report=report,
        registry=registry,
        run_id=run_id or f"by-hand-{now():%Y%m%d-%H%M%S-%f}",
        champion_sequence=champion_sequence,
        dataset=dataset,
        output=output,
    )
    place = f", number {summary.sequence} in the champion log" if summary.sequence else ""
    click.echo(f"{summary.outcome} {summary.version}{place}")

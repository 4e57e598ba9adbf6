"""The subcommand `twotower report`."""

import click


@click.command()
@click.option("--evaluation", required=True, help="Evaluation: the directory that `twotower evaluate` wrote.")
@click.option(
    "--model", required=True, help="Model that was evaluated: the directory that `twotower train` wrote."
)
@click.option("--dataset", required=True, help="RatingsDataset that `twotower ingest` wrote.")
@click.option("--output", default="report.html", help="The file to write.")
def report(evaluation: str, model: str, dataset: str, output: str) -> None:
    """Makes one HTML page of what was decided, why, and what the model is good at."""
    from components.report.step import report as step

    step(evaluation=evaluation, model=model, dataset=dataset, output=output)
    click.echo(output)

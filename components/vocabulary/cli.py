"""The subcommand `twotower vocabulary`."""

import click


@click.command()
@click.option("--dataset", required=True, help="RatingsDataset: the directory that `twotower ingest` wrote.")
@click.option("--vocabulary-output", required=True, help="Vocabulary: the directory to write.")
@click.option("--output", required=True, help="Interactions: the directory to write.")
@click.option("--memory-gb", default=1.5, help="Memory that the step may hold, in GB.")
def vocabulary(dataset: str, vocabulary_output: str, output: str, memory_gb: float) -> None:
    """Numbers users and movies, and writes the ratings as integers grouped by user."""
    from components.vocabulary.step import vocabulary as step

    step(dataset=dataset, vocabulary_output=vocabulary_output, output=output, memory_gb=memory_gb)

"""The subcommand `twotower evaluate`."""

import click


@click.command()
@click.option("--model", required=True, help="The challenger: a directory that `twotower train` wrote.")
@click.option(
    "--champion",
    default="",
    help="What `twotower champion` wrote, or any Model directory to compare with; empty for none.",
)
@click.option("--interactions", required=True, help="Interactions that `twotower vocabulary` wrote.")
@click.option("--vocabulary", required=True, help="Vocabulary that `twotower vocabulary` wrote.")
@click.option("--output", required=True, help="Evaluation: the directory to write.")
@click.option(
    "--gate",
    type=click.Choice(["enforce", "report"]),
    default="enforce",
    help="Publish only what passes every rule, or publish and record the verdict.",
)
@click.option(
    "--min-top-100-accuracy",
    default=0.0,
    help="Least top-100 accuracy among unseen movies, 0 to 1; 0 sets no bound.",
)
@click.option("--max-rmse", default=0.0, help="Greatest root mean squared error, in stars; 0 sets no bound.")
@click.option(
    "--ignore-champion/--no-ignore-champion",
    default=False,
    help="Leave the champion out, for one that can no longer be scored.",
)
@click.option("--seed", default=42, help="Decides the resampling of users behind the intervals.")
@click.option(
    "--metrics-path", default="", help="A JSON file to write the challenger's metrics to; empty for none."
)
def evaluate(
    model: str,
    champion: str,
    interactions: str,
    vocabulary: str,
    output: str,
    gate: str,
    min_top_100_accuracy: float,
    max_rmse: float,
    ignore_champion: bool,
    seed: int,
    metrics_path: str,
) -> None:
    """Measures a model beside the champion and baselines, and decides whether it may go live."""
    from rich.console import Console

    from components.evaluate.console import verdict_tables
    from components.evaluate.step import evaluate as step
    from components.evaluate.verdict import load_verdict

    step(
        model=model,
        champion=champion,
        interactions=interactions,
        vocabulary=vocabulary,
        output=output,
        gate=gate,
        min_top_100_accuracy=min_top_100_accuracy,
        max_rmse=max_rmse,
        ignore_champion=ignore_champion,
        seed=seed,
        metrics_path=metrics_path,
    )
    Console().print(*verdict_tables(load_verdict(output)), sep="\n")

"""The subcommand `twotower train`."""

import click


@click.command()
@click.option("--interactions", required=True, help="Interactions that `twotower vocabulary` wrote.")
@click.option("--vocabulary", required=True, help="Vocabulary of the same run.")
@click.option("--output", required=True, help="Model: the directory to write; replaced if it exists.")
@click.option("--preset", default="default", help="`default`, or `notebook` for the original's model.")
@click.option("--train-settings", default="{}", help="Overrides of the preset's settings, a JSON object.")
@click.option("--rating-weight", default=0.0, help="Weight of the rating loss; 0 takes the preset's.")
@click.option("--retrieval-weight", default=0.0, help="Weight of the retrieval loss; 0 takes the preset's.")
@click.option(
    "--retrieval-loss",
    default="",
    help="`top-k` places, `full` or `in-batch` softmax; the default depends on the catalogue.",
)
@click.option("--seed", default=42, help="Decides the order of training and the initial weights.")
@click.option("--checkpoint-root", default="", help="Directory or gs:// prefix for checkpoints.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    help="Pods that train together, as a TFJob that this pod starts; 1 trains here, on all GPUs. More need "
    "--checkpoint-root on a volume that all pods share, or gs://.",
)
def train(
    interactions: str,
    vocabulary: str,
    output: str,
    preset: str,
    train_settings: str,
    rating_weight: float,
    retrieval_weight: float,
    retrieval_loss: str,
    seed: int,
    checkpoint_root: str,
    workers: int,
) -> None:
    """Trains a model that recommends and rates."""
    from components.train.settings import parse
    from components.train.step import train as step

    overrides = parse(train_settings)
    if retrieval_loss:
        overrides["retrieval_loss"] = retrieval_loss
    summary = step(
        interactions=interactions,
        vocabulary=vocabulary,
        output=output,
        preset=preset,
        train_settings=overrides,
        rating_weight=rating_weight,
        retrieval_weight=retrieval_weight,
        seed=seed,
        checkpoint_root=checkpoint_root,
        workers=workers,
    )
    click.echo(f"{output}: {summary.steps:,} steps in {summary.seconds:.0f} s")
    if summary.validation_rmse is not None:
        click.echo(
            f"on validation rows: RMSE {summary.validation_rmse:.4f}, top-100 accuracy among unseen movies "
            f"{summary.validation_top_100_accuracy_unseen:.4f}"
        )

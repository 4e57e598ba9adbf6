"""The step `train` and its subcommand."""

from typing import Annotated, Any

import click

from components.command import subcommand
from components.declaration import Choice, Range, say_renamed
from components.errors import UserError
from components.step import step
from components.train.artifact import ModelRecord
from components.train.settings import (
    AUTO,
    NEVER,
    PRESETS,
    TrainRequest,
    check_shared_place,
    check_time_budget,
    check_workers,
    override,
)


@step
def train(
    *,
    interactions: str,
    vocabulary: str,
    output: str,
    preset: Annotated[str, Choice(*PRESETS)] = "default",
    train_settings: dict[str, Any] = {},  # noqa: B006  # never changed; kfp passes it on
    rating_weight: float = 0.0,
    retrieval_weight: float = 0.0,
    seed: int = 42,
    warm_start: Annotated[str, Choice(AUTO, NEVER)] = AUTO,
    registry: str = "",
    champion_version: str = "",
    cold_start: str = "",
    time_budget: Annotated[float, Range(0)] = 0.0,
    checkpoint_root: str = "",
    workers: Annotated[int, Range(1)] = 1,
) -> ModelRecord:
    """Trains a model that recommends and rates.

    Args:
      interactions: Interactions that `vocabulary` wrote.
      vocabulary: Vocabulary of the same run.
      output: Model: the directory to write; replaced if it exists.
      preset: "default", or "notebook" for the original's model.
      train_settings: Overrides of the preset's settings by name, a JSON object.
      rating_weight: Weight of the rating loss; 0 takes the preset's.
      retrieval_weight: Weight of the retrieval loss; 0 takes the preset's.
      seed: Decides the order of training and the initial weights.
      warm_start: Whether to begin at the weights of the champion: "auto" where they suit the data and the
        settings, with a third of the steps unless they are given; or "never".
      registry: Registry of the champion: a directory, gs:// or s3:// prefix.
      champion_version: Version whose weights to begin at; "" for none.
      cold_start: A sentence that says why not to begin at them, for the log and the page, as `prepare` finds
        for a version with ratings of a user to forget; "" if nothing is against it.
      time_budget: Seconds from the step's start to the written Model, to which the training is shortened if
        it needs more; 0 sets no limit, and then a seed gives the same model.
      checkpoint_root: A directory, gs:// or s3:// prefix for checkpoints, so that a retried step goes on; ""
        keeps none.
      workers: Pods that train together, as a Job that this pod starts; 1 trains here, on all GPUs. More need
        a checkpoint root that all pods share: gs://, s3://, or a volume (ReadWriteOnce where one
        node holds them).

    Raises:
      UserError: if an input is not whole, a setting is unknown or out of range, the training diverges, or
        the cluster cannot be used.
    """
    check_workers(workers, preset)
    check_shared_place(workers, checkpoint_root)
    check_time_budget(time_budget, preset)
    if champion_version and not registry:
        raise UserError(f"--champion-version {champion_version} needs --registry, which has that version")
    request = TrainRequest(
        preset=preset,
        train_settings=train_settings,
        rating_weight=rating_weight,
        retrieval_weight=retrieval_weight,
        seed=seed,
        checkpoint_root=checkpoint_root,
        warm_start=warm_start,
        registry=registry,
        champion_version=champion_version,
        cold_start=cold_start,
        time_budget=time_budget,
    )
    override(PRESETS[preset], request.overrides())  # else the workers would be the first to find a mistake
    if workers > 1:
        from components.train.pods.launch import Launcher, train_in_pods

        return train_in_pods(Launcher.find(workers), workers, request, interactions, vocabulary, output)
    from components.train.presets import make_model
    from components.train.replicas import replicas

    with replicas(preset) as strategy:
        return make_model(strategy, request, interactions, vocabulary, output)


@subcommand(train, defaults={"registry": "registry"})
@click.option("--retrieval-loss", default="", hidden=True, help="Earlier name of the setting.")
def train_command(output: str, train_settings: dict[str, Any], retrieval_loss: str, **inputs: Any) -> None:
    if retrieval_loss:
        say_renamed("--retrieval-loss", "the setting retrieval_loss of --train-settings")
        train_settings = {**train_settings, "retrieval_loss": retrieval_loss}
    summary = train(output=output, train_settings=train_settings, **inputs)
    click.echo(f"{output}: {summary.steps:,} steps in {summary.seconds:.0f} s")
    if summary.validation_rmse is not None:
        click.echo(
            f"on validation rows: RMSE {summary.validation_rmse:.4f}, top-100 accuracy among unseen movies "
            f"{summary.validation_top_100_accuracy_unseen:.4f}"
        )

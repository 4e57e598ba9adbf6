"""The KFP contract of the step `train`."""

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.train import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(
    step.train, model="Model: SavedModel, weights, training_log.jsonl, model.json and TensorBoard's files."
)
def train(
    interactions: dsl.Input[dsl.Artifact],
    vocabulary: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    preset: str = "default",
    train_settings: dict = {},  # noqa: B006  # kfp reads the default, nobody changes it
    rating_weight: float = 0.0,
    retrieval_weight: float = 0.0,
    seed: int = 42,
    warm_start: str = "auto",
    registry: str = "",
    champion_version: str = "",
    cold_start: str = "",
    time_budget: float = 0.0,
    checkpoint_root: str = "",
    workers: int = 1,
) -> None:
    from components.train import step

    step.train(
        interactions=interactions.path,
        vocabulary=vocabulary.path,
        output=model.path,
        preset=preset,
        train_settings=train_settings,
        rating_weight=rating_weight,
        retrieval_weight=retrieval_weight,
        seed=seed,
        warm_start=warm_start,
        registry=registry,
        champion_version=champion_version,
        cold_start=cold_start,
        time_budget=time_budget,
        checkpoint_root=checkpoint_root,
        workers=workers,
    )

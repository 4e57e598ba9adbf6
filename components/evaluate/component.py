"""The KFP contract of the step `evaluate`."""

from typing import NamedTuple

from kfp import dsl

from components.declaration import documented_by
from components.evaluate import step
from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(
    step.evaluate,
    evaluation="The verdict (verdict.json) and what it rests on.",
    metrics="The challenger's metrics.",
)
def evaluate(
    model: dsl.Input[dsl.Model],
    champion: dsl.Input[dsl.Model],
    interactions: dsl.Input[dsl.Artifact],
    vocabulary: dsl.Input[dsl.Artifact],
    evaluation: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    gate: str = "enforce",
    min_top_100_accuracy: float = 0.0,
    max_rmse: float = 0.0,
    champion_margin: str = "",
    ignore_champion: bool = False,
    seed: int = 42,
) -> NamedTuple("EvaluateOutputs", [("blessed", bool), ("publish", bool), ("reason", str)]):  # type: ignore[valid-type]
    from components.evaluate import step

    return step.evaluate(
        model=model.path,
        champion=champion.path,
        interactions=interactions.path,
        vocabulary=vocabulary.path,
        gate=gate,
        min_top_100_accuracy=min_top_100_accuracy,
        max_rmse=max_rmse,
        champion_margin=champion_margin,
        ignore_champion=ignore_champion,
        seed=seed,
        output=evaluation.path,
        metrics_path=metrics.path,
        metrics_metadata=metrics.metadata,
    )

"""The KFP contract of the step `evaluate`."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
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
    ignore_champion: bool = False,
    seed: int = 42,
) -> NamedTuple("EvaluateOutputs", [("blessed", bool), ("publish", bool), ("reason", str)]):  # type: ignore[valid-type]
    """Measures a model beside the champion and simple baselines on the test rows, and decides on it.

    Args:
        model: Model: the challenger.
        champion: The served version's model, as `champion` wrote it.
        interactions: Interactions; their test split is what is measured on.
        vocabulary: Vocabulary: which user and which movie each index stands for.
        evaluation: The verdict (verdict.json) and what it rests on.
        metrics: The challenger's metrics.
        gate: "enforce" publishes only what passes every rule; "report" publishes and records the verdict.
        min_top_100_accuracy: Least top-100 accuracy among unseen movies, 0 to 1; 0 sets no bound.
        max_rmse: Greatest root mean squared error, in stars; 0 sets no bound.
        ignore_champion: Leaves the champion out, for one that can no longer be scored.
        seed: Decides the resampling of users behind the intervals.

    Returns:
        blessed: Whether no rule of the gate failed.
        publish: Whether the model is to be published: it is blessed, or the gate only reports.
        reason: One sentence.
    """
    from components.evaluate.step import evaluate

    return evaluate(
        model=model.path,
        champion=champion.path,
        interactions=interactions.path,
        vocabulary=vocabulary.path,
        gate=gate,
        min_top_100_accuracy=min_top_100_accuracy,
        max_rmse=max_rmse,
        ignore_champion=ignore_champion,
        seed=seed,
        output=evaluation.path,
        metrics_path=metrics.path,
        metrics_metadata=metrics.metadata,
    )

"""The step `train`."""

from typing import Any

from components.step import step
from components.train.settings import Request, TrainSummary, check_shared_place, check_workers


@step
def train(
    *,
    interactions: str,
    vocabulary: str,
    output: str,
    preset: str = "default",
    train_settings: dict[str, Any] = {},  # noqa: B006  # never changed; kfp passes it on
    rating_weight: float = 0.0,
    retrieval_weight: float = 0.0,
    seed: int = 42,
    checkpoint_root: str = "",
    workers: int = 1,
) -> TrainSummary:
    """Trains a model that recommends and rates.

    Args:
      interactions: Interactions, the directory that `vocabulary` wrote.
      vocabulary: Vocabulary of the same run.
      output: Model, the directory to write.
      preset: "default", or "notebook" for the original's model.
      train_settings: Overrides of the preset's settings, by name.
      rating_weight: Weight of the rating loss; 0 takes the preset's.
      retrieval_weight: Weight of the retrieval loss; 0 takes the preset's.
      seed: Decides the order of training and the initial weights.
      checkpoint_root: A directory or gs:// prefix for checkpoints; "" keeps none.
      workers: 1 trains in this process, on all its GPUs; more, in so many pods of a TFJob that this pod
        starts, follows and removes.

    Raises:
      UserError: if an input is not whole, a setting is unknown or out of range, the training diverges, or
        the cluster cannot be used.
    """
    check_workers(workers, preset)
    check_shared_place(workers, checkpoint_root)
    request = Request(preset, train_settings, rating_weight, retrieval_weight, seed, checkpoint_root)
    if workers > 1:
        from components.train.tfjob.launch import OwnPod, train_in_pods

        return train_in_pods(OwnPod.find(workers), workers, request, interactions, vocabulary, output)
    from components.train.presets import make_model
    from components.train.replicas import replicas

    with replicas(preset) as strategy:
        return make_model(strategy, request, interactions, vocabulary, output)

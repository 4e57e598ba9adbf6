"""The KFP contract of the step `train`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    interactions: dsl.Input[dsl.Artifact],
    vocabulary: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
    preset: str = "default",
    train_settings: dict = {},  # noqa: B006  # kfp reads the default, nobody changes it
    rating_weight: float = 0.0,
    retrieval_weight: float = 0.0,
    seed: int = 42,
    checkpoint_root: str = "",
    workers: int = 1,
) -> None:
    """Trains a model that recommends and rates.

    Args:
      interactions: Interactions, as `vocabulary` wrote them.
      vocabulary: Vocabulary of the same run.
      model: Model: the scoring SavedModel, training_log.jsonl, model.json and TensorBoard's files.
      preset: "default", or "notebook" for the original's model.
      train_settings: Overrides of the preset's settings, by name.
      rating_weight: Weight of the rating loss; 0 takes the preset's.
      retrieval_weight: Weight of the retrieval loss; 0 takes the preset's.
      seed: Decides the order of training and the initial weights.
      checkpoint_root: Where checkpoints are kept, so that a retried step goes on: a mounted volume or gs://
        prefix; "" keeps none.
      workers: 1 trains in the step's own pod; more, in so many pods of a TFJob, which need a checkpoint_root
        that they all share: gs://, or a volume with the access mode ReadWriteMany.
    """
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
        checkpoint_root=checkpoint_root,
        workers=workers,
    )

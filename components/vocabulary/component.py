"""The KFP contract of the step `vocabulary`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def vocabulary(
    dataset: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Output[dsl.Artifact],
    interactions: dsl.Output[dsl.Artifact],
    memory_gb: float = 1.5,
) -> None:
    """Numbers the users and movies of a ratings dataset, and writes its ratings as integers.

    Args:
      dataset: RatingsDataset, as `ingest` wrote it.
      vocabulary: Vocabulary: which user and which movie each index stands for.
      interactions: Interactions: every split as arrays grouped by user, to be memory-mapped.
      memory_gb: What the step may hold in memory, in GB; beyond it the work spills to disk.
    """
    from components.vocabulary import step

    step.vocabulary(
        dataset=dataset.path,
        vocabulary_output=vocabulary.path,
        output=interactions.path,
        memory_gb=memory_gb,
    )

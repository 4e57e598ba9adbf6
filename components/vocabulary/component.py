"""The KFP contract of the step `vocabulary`."""

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.vocabulary import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(
    step.vocabulary,
    vocabulary="Vocabulary: the user and the movie of each index.",
    interactions="Interactions: every split as arrays grouped by user, to be memory-mapped.",
)
def vocabulary(
    dataset: dsl.Input[dsl.Dataset],
    vocabulary: dsl.Output[dsl.Artifact],
    interactions: dsl.Output[dsl.Artifact],
    memory_gb: float = 1.5,
) -> None:
    from components.vocabulary import step

    step.vocabulary(
        dataset=dataset.path,
        vocabulary_output=vocabulary.path,
        output=interactions.path,
        memory_gb=memory_gb,
    )

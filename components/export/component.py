"""The KFP contract of the step `export`."""

from kfp import dsl

from components.declaration import documented_by
from components.export import step
from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(
    step.export,
    index="Index: a SavedModel that loads with plain TensorFlow, and manifest.json.",
    old_index_kind="The old name of index_kind, for one release.",
)
def export(
    model: dsl.Input[dsl.Model],
    vocabulary: dsl.Input[dsl.Artifact],
    interactions: dsl.Input[dsl.Artifact],
    index: dsl.Output[dsl.Model],
    index_kind: str = "brute-force",
    max_latency_ms: float = 50.0,
    histories: str = "inside",
    old_index_kind: str = "",
) -> None:
    from components.declaration import renamed
    from components.export import step

    step.export(
        model=model.path,
        vocabulary=vocabulary.path,
        interactions=interactions.path,
        output=index.path,
        index_kind=renamed("index", old_index_kind, "index_kind", index_kind),
        max_latency_ms=max_latency_ms,
        histories=histories,
    )

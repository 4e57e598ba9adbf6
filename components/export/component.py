"""The KFP contract of `export`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def export(
    model: dsl.Input[dsl.Model],
    vocabulary: dsl.Input[dsl.Artifact],
    interactions: dsl.Input[dsl.Artifact],
    index: dsl.Output[dsl.Model],
    search: str = "brute-force",
    max_latency_ms: float = 50.0,
) -> None:
    """Wraps a model into the SavedModel that a server loads, and proves it in a fresh process.

    Args:
        model: The Model that was evaluated; its scoring SavedModel is wrapped as it is.
        vocabulary: Users and movies of the Interactions.
        interactions: The ratings that are read and excluded when serving.
        index: A SavedModel that loads with plain TensorFlow, and manifest.json.
        search: "brute-force", "scann", or "auto": ScaNN where it is faster and finds 99% of the best 100.
        max_latency_ms: The longest that the median answer for one user may take, in milliseconds.
    """
    from components.export.step import export

    export(
        model=model.path,
        vocabulary=vocabulary.path,
        interactions=interactions.path,
        output=index.path,
        index=search,
        max_latency_ms=max_latency_ms,
    )

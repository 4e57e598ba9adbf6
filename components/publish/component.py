"""The KFP contracts of the steps `publish`, `refuse`, `skip` and `notify`."""

from typing import NamedTuple

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish(
    index: dsl.Input[dsl.Model],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    report: dsl.Input[dsl.HTML],
    model_card: dsl.Input[dsl.Markdown],
    dataset: dsl.Input[dsl.Dataset],
    registry: str,
    run_id: str,
    champion_sequence: int,
    published: dsl.Output[dsl.Artifact],
) -> NamedTuple("PublishOutputs", [("version", str), ("outcome", str), ("sequence", int)]):  # type: ignore[valid-type]
    """Makes the index a version in the registry and, if the champion still is the one seen, the champion.

    Args:
        index: The Index of `export`.
        model: The Model of `train`.
        evaluation: The Evaluation of `evaluate`.
        report: The page of `report`.
        model_card: The model card of `report`.
        dataset: The RatingsDataset of `ingest`, for the run record.
        registry: The registry: a directory or gs:// prefix.
        run_id: The pipeline run.
        champion_sequence: The end of the champion log when `champion` read it.
        published: `published.json`: the version and what became of it.

    Returns:
        version: The version's id.
        outcome: "published", or "superseded" if another champion came in between.
        sequence: The version's place in the champion log; 0 if it was superseded.
    """
    from components.publish import publish as step

    return step.publish(
        index=index.path,
        model=model.path,
        evaluation=evaluation.path,
        report=report.path,
        model_card=model_card.path,
        registry=registry,
        run_id=run_id,
        champion_sequence=champion_sequence,
        dataset=dataset.path,
        output=published.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refuse(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    report: dsl.Input[dsl.HTML],
    dataset: dsl.Input[dsl.Dataset],
    registry: str,
    run_id: str,
    refused: dsl.Output[dsl.Artifact],
    fail: bool = False,
):
    """Says why a run is not published, and records it in the registry.

    Args:
        model: The Model of `train`, for the run record.
        evaluation: The Evaluation of `evaluate`.
        report: The page of `report`.
        dataset: The RatingsDataset of `ingest`, for the run record.
        registry: The registry: a directory or gs:// prefix.
        run_id: The pipeline run.
        refused: `refused.json`: the reason and the rules that fail.
        fail: Whether the step fails in the end, and the run with it.
    """
    from components.publish import refuse as step

    step.refuse(
        evaluation=evaluation.path,
        report=report.path,
        registry=registry,
        run_id=run_id,
        model=model.path,
        dataset=dataset.path,
        fail=fail,
        output=refused.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def skip(
    registry: str,
    run_id: str,
    version: str,
    sequence: int,
    fingerprint: str,
    skipped: dsl.Output[dsl.Artifact],
):
    """Ends a run whose input the champion was trained on, and records it in the registry.

    Args:
        registry: The registry: a directory or gs:// prefix.
        run_id: The pipeline run.
        version: The champion.
        sequence: Its place in the champion log.
        fingerprint: What identifies the input files.
        skipped: `skipped.json`: the reason.
    """
    from components.publish import refuse as step

    step.skip(
        registry=registry,
        run_id=run_id,
        version=version,
        sequence=sequence,
        fingerprint=fingerprint,
        output=skipped.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def notify(registry: str, run_id: str, status: dsl.PipelineTaskFinalStatus):
    """Sees to it that the run has a record, and tells the webhook in TWOTOWER_WEBHOOK how it ended.

    Args:
        registry: The registry: a directory or gs:// prefix.
        run_id: The pipeline run.
        status: How the pipeline ended; KFP fills it in.
    """
    from components.publish import notify as step

    step.notify(
        status_state=status.state, status_error=status.error_message or "", registry=registry, run_id=run_id
    )

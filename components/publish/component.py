"""The KFP contracts of the steps `publish`, `refuse` and `notify`."""

from typing import NamedTuple

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.publish import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(step.publish, published="`published.json`: the version and its outcome.")
def publish(
    index: dsl.Input[dsl.Model],
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    report: dsl.Input[dsl.HTML],
    model_card: dsl.Input[dsl.Markdown],
    dataset: dsl.Input[dsl.Dataset],
    registry: str,
    run_id: str,
    published: dsl.Output[dsl.Artifact],
    champion_sequence: int = -1,
) -> NamedTuple("PublishOutputs", [("version", str), ("outcome", str), ("sequence", int)]):  # type: ignore[valid-type]
    from components.publish import step

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
@documented_by(
    step.refuse,
    refused="`refused.json`: the reason and the rules that fail.",
    report="One self-contained HTML file.",
    model_card="The model card.",
)
def refuse(
    model: dsl.Input[dsl.Model],
    evaluation: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    registry: str,
    run_id: str,
    refused: dsl.Output[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    model_card: dsl.Output[dsl.Markdown],
    fail: bool = False,
):
    from components.publish import step

    step.refuse(
        evaluation=evaluation.path,
        registry=registry,
        run_id=run_id,
        model=model.path,
        dataset=dataset.path,
        fail=fail,
        output=refused.path,
        report_output=report.path,
        model_card_output=model_card.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(step.notify, status="End of the pipeline; KFP fills it in.")
def notify(
    registry: str,
    run_id: str,
    status: dsl.PipelineTaskFinalStatus,
    checkpoint_root: str = "",
    workers: int = 1,
    batch_shards: int = 1,
):
    from components.publish import step

    step.notify(
        status_error=status.error_message or "",
        registry=registry,
        run_id=run_id,
        checkpoint_root=checkpoint_root,
        workers=workers,
        batch_shards=batch_shards,
    )

"""The KFP contracts of the steps `publish`, `refuse`, `skip` and `notify`."""

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
@documented_by(step.refuse, refused="`refused.json`: the reason and the rules that fail.")
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
    from components.publish import step

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
@documented_by(step.skip, skipped="`skipped.json`: the reason.")
def skip(
    registry: str,
    run_id: str,
    version: str,
    sequence: int,
    fingerprint: str,
    skipped: dsl.Output[dsl.Artifact],
):
    from components.publish import step

    step.skip(
        registry=registry,
        run_id=run_id,
        version=version,
        sequence=sequence,
        fingerprint=fingerprint,
        output=skipped.path,
    )


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(step.notify, status="End of the pipeline; KFP fills it in.")
def notify(registry: str, run_id: str, status: dsl.PipelineTaskFinalStatus):
    from components.publish import step

    step.notify(status_error=status.error_message or "", registry=registry, run_id=run_id)

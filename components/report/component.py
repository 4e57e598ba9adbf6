"""The KFP contract of the step `report`."""

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.report import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(step.report, report="One self-contained HTML file.")
def report(
    evaluation: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    model_card: dsl.Output[dsl.Markdown],
) -> None:
    from components.report import step

    step.report(
        evaluation=evaluation.path,
        model=model.path,
        dataset=dataset.path,
        output=report.path,
        model_card=model_card.path,
    )

"""The KFP contract of the step `report`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(
    evaluation: dsl.Input[dsl.Artifact],
    model: dsl.Input[dsl.Model],
    dataset: dsl.Input[dsl.Dataset],
    identity: dsl.Input[dsl.Artifact],
    report: dsl.Output[dsl.HTML],
    model_card: dsl.Output[dsl.Markdown],
) -> None:
    """Makes one page of what was decided, why, and what the model is good at.

    Args:
        evaluation: What `evaluate` wrote.
        model: The Model that was evaluated.
        dataset: The RatingsDataset that it was trained on.
        identity: What `fingerprint` wrote, for its time.
        report: One self-contained HTML file.
        model_card: What the model is, what it was trained on and where it is weak, as Markdown.
    """
    from components.report.step import report as write_report

    write_report(
        evaluation=evaluation.path,
        model=model.path,
        dataset=dataset.path,
        identity=identity.path,
        output=report.path,
        model_card=model_card.path,
    )

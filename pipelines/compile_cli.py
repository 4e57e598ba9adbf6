"""`twotower compile`."""

from typing import TYPE_CHECKING

import click

from pipelines.kubeflow.options import pod_options

if TYPE_CHECKING:
    from pipelines.kubeflow.pods import PodSettings


@click.command(name="compile", help="Write the training pipeline as YAML, ready to upload to Kubeflow.")
@click.option("--output", default="pipeline.yaml", show_default=True, help="The YAML file to write.")
@pod_options
def compile_pipeline(*, output: str, pods: "PodSettings") -> None:
    from pipelines.compiled import compile_pipeline

    click.echo(f"wrote {compile_pipeline(output, pods)}")

"""`twotower compile`."""

import click


@click.command(name="compile", help="Write the training pipeline as YAML, ready to upload to Kubeflow.")
@click.option("--output", default="pipeline.yaml", show_default=True, help="The YAML file to write.")
def compile_pipeline(output: str) -> None:
    from pipelines.compiled import compile_pipeline

    click.echo(f"wrote {compile_pipeline(output)}")

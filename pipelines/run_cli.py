"""The subcommands `run` and `compile`."""

import dataclasses
import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from components.command import Subcommand, flag_of, setting_flags
from components.ingest.settings import INGEST_SETTINGS, ReadOptions
from pipelines.compiled import RENAMED, pipeline_inputs
from pipelines.kubeflow.names import VERTEX
from pipelines.kubeflow.options import PLATFORMS, pod_options, target_option
from pipelines.kubeflow.waiting import INTERRUPTED

if TYPE_CHECKING:
    from pipelines.kubeflow.pods import PodSettings


def pipeline_options(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a command one flag for each input of the pipeline, and for each option of `ingest_settings`."""
    function = setting_flags(ReadOptions, INGEST_SETTINGS)(function)
    for declared in reversed(pipeline_inputs().values()):
        if declared.name == "registry":  # a cluster must be told, a laptop need not
            declared = dataclasses.replace(declared, default="registry")
        function = flag_of(declared)(function)
    return function


@click.command(
    cls=Subcommand,
    renamed={f"--{old}": f"--{new.replace('_', '-')}" for old, new in RENAMED.items()},
    help="Run the whole pipeline on this machine, from the ratings file to the published recommender.",
)
@pipeline_options
@click.option(
    "--runner",
    type=click.Choice(["subprocess", "docker"]),
    default="subprocess",
    help="Run the steps as processes of this Python, or as containers of --image.",
)
@click.option(
    "--work-dir",
    default=".twotower",
    help="Directory for step outputs, cache, checkpoints and logs; it can be deleted at any time.",
)
def run(runner: str, work_dir: str, **arguments: Any) -> None:
    from rich.console import Console

    from pipelines.run import run_pipeline
    from pipelines.screen import Watch, end_screen

    console = Console(stderr=True)
    try:
        with Watch(console) as watch:
            outcome = run_pipeline(arguments, work_dir, runner, watch)
    except KeyboardInterrupt:
        click.echo("interrupted; the same command again goes on with it", err=True)
        sys.exit(INTERRUPTED)
    sys.exit(end_screen(outcome, arguments["registry"]))


@click.command(
    name="compile",
    help="Write the training pipeline as YAML, ready to upload to Kubeflow; with "
    "--target vertex for Vertex AI Pipelines, and say what is left out.",
)
@click.option("--output", default="pipeline.yaml", help="The YAML file to write.")
@functools.partial(target_option, platforms=PLATFORMS)
@pod_options
def compile_pipeline(*, output: str, pods: "PodSettings") -> None:
    from pipelines.compiled import NOT_ON_VERTEX, compile_pipeline

    click.echo(f"wrote {compile_pipeline(output, pods)}")
    if pods.platform == VERTEX:
        click.echo("left out, since Vertex AI has no place for it:")
        for line in NOT_ON_VERTEX:
            click.echo(f"  {line}")

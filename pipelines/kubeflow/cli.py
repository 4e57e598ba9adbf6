"""Subcommands `submit` and `doctor`."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pipelines.kubeflow.options import connection_options, param_option, place_options, pod_options

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place, Started


_STATUS = {"SUCCEEDED": 0, "CANCELED": 130}
_INTERRUPTED = 130


@click.command(
    help="Start a run of the pipeline on Kubeflow, and print its page. A run with the same inputs that has "
    "not ended yet is found rather than started again. With --wait, exits with 0 if the run succeeds, 1 if "
    "it fails, 130 if it is cancelled."
)
@param_option
@place_options
@pod_options
@connection_options
@click.option(
    "--upload/--no-upload",
    default=True,
    show_default=True,
    help="Keep the pipeline on the server, a version for each content; or only send it with the run.",
)
@click.option("--again", is_flag=True, help="Start a run even if one with the same inputs has not ended yet.")
@click.option("--wait", is_flag=True, help="Follow the run to its end, and print the verdict.")
def submit(
    *,
    kubeflow: "Callable[[], Kubeflow]",
    pods: "PodSettings",
    place: "Place",
    texts: tuple[str, ...],
    upload: bool,
    again: bool,
    wait: bool,
) -> None:
    from pipelines.kubeflow.submit import package, pipeline_arguments
    from pipelines.kubeflow.submit import submit as start

    arguments = pipeline_arguments(texts, pods)
    with package(pods) as compiled:
        connection = kubeflow()
        started = start(connection, compiled, arguments, place, keep_version=upload, again=again)
    if started.found:
        click.echo("a run with the same inputs has not ended yet; --again starts another", err=True)
    click.echo(started.url)
    if wait:
        sys.exit(_wait(connection, started))


def _wait(kubeflow: "Kubeflow", started: "Started") -> int:
    """Follows the run; returns the exit status."""
    from rich.console import Console

    from pipelines.kubeflow.follow import Board, follow, print_verdict
    from pipelines.resources import REQUESTS

    titles = {name: request.display_name for name, request in REQUESTS.items()}
    try:
        with Board(Console(stderr=True), titles) as board:
            run = follow(kubeflow, started.run_id, board)
    except KeyboardInterrupt:
        click.echo(f"the run goes on: {started.url}; the same command follows it again", err=True)
        return _INTERRUPTED
    print_verdict(run, Console())
    click.echo(f"{run.state}: {started.url}")
    return _STATUS.get(str(run.state), 1)


_SIGNS = {"well": "✓", "ill": "✗", "unknown": "?"}


@click.command(
    help="Look at all that runs on Kubeflow need: the server, your access, and what the other flags name. "
    "Give it the flags of `twotower submit`. Exits with 1 if anything is missing."
)
@place_options
@pod_options
@connection_options
def doctor(*, kubeflow: "Callable[[], Kubeflow]", pods: "PodSettings", place: "Place") -> None:
    from components.image import IMAGE
    from pipelines.kubeflow.doctor import examine

    ill = 0
    for finding in examine(kubeflow, place, pods, pods.image or IMAGE):
        ill += finding.verdict == "ill"
        click.echo(f"{_SIGNS[finding.verdict]} {finding.what:<16}{finding.text}")
    sys.exit(1 if ill else 0)

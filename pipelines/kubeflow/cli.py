"""Subcommands `submit`, `upload` and `doctor`."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from components.errors import UserError
from pipelines.kubeflow.options import (
    connection_options,
    param_option,
    pipeline_option,
    place_options,
    pod_options,
)
from pipelines.kubeflow.waiting import parse_timeout, timeout_option, wait_for

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place


@click.command(
    help="Start a run of the pipeline on Kubeflow, and print its page. A run with the same inputs that has "
    "not ended yet is found rather than started again. Where a schedule always runs the newest version of "
    "the pipeline, another package goes to a pipeline called NAME-submit. With --wait, exits with 0 if the "
    "run succeeds, 1 if it fails, 130 if it is cancelled, 124 if --timeout is over."
)
@param_option
@place_options
@pod_options
@connection_options
@click.option(
    "--upload/--no-upload",
    default=True,
    help="Keep the pipeline on the server, a version for each content; or only send it with the run.",
)
@click.option("--again", is_flag=True, help="Start a run even if one with the same inputs has not ended yet.")
@click.option("--wait", is_flag=True, help="Follow the run to its end, and print the verdict.")
@timeout_option
def submit(
    *,
    kubeflow: "Callable[[], Kubeflow]",
    pods: "PodSettings",
    place: "Place",
    texts: tuple[str, ...],
    upload: bool,
    again: bool,
    wait: bool,
    timeout: str,
) -> None:
    from pipelines.kubeflow.submit import package, pipeline_arguments
    from pipelines.kubeflow.submit import submit as start

    if timeout and not wait:
        raise UserError("--timeout ends the waiting: give --wait as well")
    limit = parse_timeout(timeout)
    arguments = pipeline_arguments(texts, pods)
    connection = kubeflow()
    with package(pods.for_release(connection.release)) as compiled:
        started = start(connection, compiled, arguments, place, keep_version=upload, again=again)
    if started.found:
        click.echo("a run with the same inputs has not ended yet; --again starts another", err=True)
    click.echo(started.url)
    if wait:
        sys.exit(wait_for(connection, started.run_id, limit))


@click.command(
    help="Bring a version of the pipeline to the server, with the flags of `twotower submit`. Schedules with "
    "--always-latest run it from then on; the command names them. Nothing else changes what they run."
)
@pipeline_option
@pod_options
@connection_options
def upload(*, kubeflow: "Callable[[], Kubeflow]", pods: "PodSettings", pipeline: str) -> None:
    from components.image import IMAGE
    from pipelines.kubeflow.submit import check_image, package
    from pipelines.kubeflow.versions import Content, readers
    from pipelines.kubeflow.versions import upload as bring

    check_image(pods.image or IMAGE)
    connection = kubeflow()
    connection.check_release()
    there = connection.pipeline(pipeline)
    before = connection.newest_version(there.pipeline_id) if there is not None else None
    with package(pods.for_release(connection.release)) as compiled:
        version = bring(connection, compiled, pipeline, newest=True)
    after = connection.newest_version(version.pipeline_id)
    volumes = [", ".join(Content(one.pipeline_spec).volumes) or "none" for one in (after, before) if one]
    click.echo(
        f"version {version.name} of {pipeline} is the newest; its volumes: {', before: '.join(volumes)}"
    )
    found = readers(connection, version.pipeline_id)
    click.echo(f"schedules that run it from now on: {', '.join(found) or 'none'}")


_SIGNS = {"well": "✓", "ill": "✗", "unknown": "?"}


@click.command(
    help="Look at all that runs on Kubeflow need: the server, your access, and what the other flags name. "
    "Give it the flags of `twotower submit`. Exits with 1 if anything is missing."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    help="Pods that are to train together, by --param workers=N: whether the steps may start them.",
)
@place_options
@pod_options
@connection_options
def doctor(*, kubeflow: "Callable[[], Kubeflow]", pods: "PodSettings", place: "Place", workers: int) -> None:
    from components.image import IMAGE
    from pipelines.compiled import CHECKED_IN
    from pipelines.kubeflow.doctor import examine

    pods.apply(CHECKED_IN.read_text("utf-8"))  # it names a step that is not there
    ill = 0
    for finding in examine(kubeflow, place, pods, pods.image or IMAGE, workers):
        ill += finding.verdict == "ill"
        click.echo(f"{_SIGNS[finding.verdict]} {finding.what:<16}{finding.text}")
    sys.exit(1 if ill else 0)

"""`twotower doctor`."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from pipelines.kubeflow.options import connection_options, place_options, pod_options

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place

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

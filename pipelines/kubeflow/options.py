"""Flags that several commands share."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow

Command = Callable[..., Any]

_CONNECTION = (
    click.option(
        "--host",
        default="",
        show_default=False,
        envvar=["TWOTOWER_HOST", "KF_PIPELINES_ENDPOINT"],
        show_envvar=True,
        help="URL of Kubeflow Pipelines, https://HOST/pipeline in a full Kubeflow. In a pod, its own "
        "cluster's by default.",
    ),
    click.option(
        "--namespace",
        default="",
        show_default=False,
        envvar="TWOTOWER_NAMESPACE",
        show_envvar=True,
        help="Your namespace, where the server is shared by several users.",
    ),
    click.option(
        "--token-file",
        default="",
        show_default=False,
        envvar="TWOTOWER_TOKEN_FILE",
        show_envvar=True,
        help="File with a bearer token. The token itself can be given as TWOTOWER_TOKEN, never as a flag.",
    ),
    click.option(
        "--cookies-file",
        default="",
        show_default=False,
        envvar="TWOTOWER_COOKIES_FILE",
        show_envvar=True,
        help="File with the cookies of a login by Dex (authservice_session=…), or TWOTOWER_COOKIES.",
    ),
    click.option(
        "--ca-cert",
        default="",
        show_default=False,
        envvar="TWOTOWER_CA_CERT",
        show_envvar=True,
        help="File with the certificates to trust, where the host's are of an authority of your own.",
    ),
)

_POD = (
    click.option(
        "--image",
        default="",
        show_default=False,
        envvar="TWOTOWER_IMAGE",
        show_envvar=True,
        help="Image that the steps run on, as the cluster can pull it: REGISTRY/NAME:TAG.",
    ),
    click.option(
        "--node-selector",
        "node_selectors",
        multiple=True,
        metavar="KEY=VALUE",
        help="Run the steps on nodes with this label only. Can be repeated.",
    ),
    click.option(
        "--toleration",
        "tolerations",
        multiple=True,
        metavar="KEY[=VALUE][:EFFECT]",
        help="Run the steps on nodes with this taint as well. Can be repeated.",
    ),
    click.option(
        "--image-pull-secret",
        "image_pull_secrets",
        multiple=True,
        metavar="SECRET",
        help="Pull the image with this secret. Can be repeated.",
    ),
    click.option(
        "--volume",
        "volumes",
        multiple=True,
        metavar="CLAIM:/PATH",
        help="Mount this persistent volume claim into every step. Can be repeated.",
    ),
    click.option(
        "--gcs-secret",
        default="",
        show_default=False,
        metavar="SECRET[:KEY]",
        help="Read and write gs:// as the service account whose key file is in this secret, under key.json "
        "unless KEY names another.",
    ),
    click.option(
        "--webhook-secret",
        default="",
        show_default=False,
        metavar="SECRET[:KEY]",
        help="Tell the URL in this secret how a run ended; it is under url unless KEY names another. A run "
        "does without it where it is missing.",
    ),
    click.option(
        "--accelerator",
        default="",
        show_default=False,
        metavar="RESOURCE[:COUNT]",
        help="Train on accelerators, e.g. nvidia.com/gpu:1; the image must have been built with GPU=1.",
    ),
)

_PARAM = (
    click.option(
        "--param",
        "texts",
        multiple=True,
        metavar="NAME=VALUE",
        help="Value of an input of the pipeline; `twotower run --help` lists them. Can be repeated.",
    ),
)

_PLACE = (
    click.option(
        "--pipeline",
        default="twotower-training",
        show_default=True,
        help="Name that the pipeline is uploaded under.",
    ),
    click.option(
        "--experiment", default="twotower", show_default=True, help="Name of the experiment for the runs."
    ),
    click.option(
        "--service-account",
        default="",
        show_default=False,
        help="Kubernetes service account that the steps run as. By default the namespace's own.",
    ),
    click.option(
        "--pipeline-root",
        default="",
        show_default=False,
        help="Where the steps' outputs go, s3:// or gs://. By default the server's own place.",
    ),
)


def connection_options(command: Command) -> Command:
    """Adds the flags of the server; the command gets `kubeflow`, a function that connects."""

    @functools.wraps(command)
    def connected(
        *, host: str, namespace: str, token_file: str, cookies_file: str, ca_cert: str, **arguments: Any
    ) -> Any:
        def kubeflow() -> "Kubeflow":
            from pipelines.kubeflow.access import access
            from pipelines.kubeflow.client import connect

            return connect(access(host, namespace, token_file, cookies_file, ca_cert))

        # Not connected yet: the other flags are checked first.
        return command(kubeflow=kubeflow, **arguments)

    return _with(_CONNECTION, connected)


def pod_options(command: Command) -> Command:
    """Adds the flags of the pods; the command gets them as `pods`."""

    @functools.wraps(command)
    def configured(
        *,
        image: str,
        node_selectors: tuple[str, ...],
        tolerations: tuple[str, ...],
        image_pull_secrets: tuple[str, ...],
        volumes: tuple[str, ...],
        gcs_secret: str,
        webhook_secret: str,
        accelerator: str,
        **arguments: Any,
    ) -> Any:
        from pipelines.kubeflow.pods import PodSettings

        pods = PodSettings(
            image,
            node_selectors,
            tolerations,
            image_pull_secrets,
            volumes,
            gcs_secret,
            webhook_secret,
            accelerator,
        )
        return command(pods=pods, **arguments)

    return _with(_POD, configured)


def place_options(command: Command) -> Command:
    """Adds the flags of the names on the server; the command gets them as `place`."""

    @functools.wraps(command)
    def placed(
        *, pipeline: str, experiment: str, service_account: str, pipeline_root: str, **arguments: Any
    ) -> Any:
        from pipelines.kubeflow.submit import Place

        return command(place=Place(pipeline, experiment, service_account, pipeline_root), **arguments)

    return _with(_PLACE, placed)


def param_option(command: Command) -> Command:
    """Adds the flag of the inputs of the pipeline; the command gets them as `texts`."""
    return _with(_PARAM, command)


def _with(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command

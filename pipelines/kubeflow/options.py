"""Flags that several commands share."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow

Command = Callable[..., Any]

Option = Callable[[Command], Command]


def _text(flag: str, help: str, envvar: str | list[str] | None = None, metavar: str | None = None) -> Option:
    """Option with one text, by default empty."""
    return click.option(
        flag,
        default="",
        show_default=False,
        envvar=envvar,
        show_envvar=envvar is not None,
        metavar=metavar,
        help=help,
    )


def _texts(flag: str, name: str, metavar: str, help: str) -> Option:
    """Option that can be repeated; the command gets all its texts as `name`."""
    return click.option(flag, name, multiple=True, metavar=metavar, help=f"{help} Can be repeated.")


_CONNECTION = (
    _text(
        "--host",
        "URL of Kubeflow Pipelines, https://HOST/pipeline in a full Kubeflow. In a pod, its own cluster's by "
        "default.",
        ["TWOTOWER_HOST", "KF_PIPELINES_ENDPOINT"],
    ),
    _text(
        "--namespace", "Your namespace, where the server is shared by several users.", "TWOTOWER_NAMESPACE"
    ),
    _text(
        "--token-file",
        "File with a bearer token. The token itself can be given as TWOTOWER_TOKEN, never as a flag.",
        "TWOTOWER_TOKEN_FILE",
    ),
    _text(
        "--cookies-file",
        "File with the cookies of a login by Dex (authservice_session=…), or TWOTOWER_COOKIES.",
        "TWOTOWER_COOKIES_FILE",
    ),
    _text(
        "--ca-cert",
        "File with the certificates to trust, where the host's are of an authority of your own.",
        "TWOTOWER_CA_CERT",
    ),
)

_POD = (
    _text(
        "--image",
        "Image that the steps run on, as the cluster can pull it: REGISTRY/NAME:TAG.",
        "TWOTOWER_IMAGE",
    ),
    _texts(
        "--node-selector",
        "node_selectors",
        "KEY=VALUE",
        "Run the steps on nodes with this label only.",
    ),
    _texts(
        "--toleration",
        "tolerations",
        "KEY[=VALUE][:EFFECT]",
        "Run the steps on nodes with this taint as well.",
    ),
    _texts("--image-pull-secret", "image_pull_secrets", "SECRET", "Pull the image with this secret."),
    _texts("--volume", "volumes", "CLAIM:/PATH", "Mount this persistent volume claim into every step."),
    _text(
        "--gcs-secret",
        "Read and write gs:// as the service account whose key file is in this secret, under key.json unless "
        "KEY names another.",
        metavar="SECRET[:KEY]",
    ),
    _text(
        "--webhook-secret",
        "Tell the URL in this secret how a run ended; it is under url unless KEY names another. A run does "
        "without it where it is missing.",
        metavar="SECRET[:KEY]",
    ),
    _text(
        "--accelerator",
        "Train on accelerators, e.g. nvidia.com/gpu:1; the image must have been built with GPU=1.",
        metavar="RESOURCE[:COUNT]",
    ),
)

_PARAM = (
    _texts(
        "--param",
        "texts",
        "NAME=VALUE",
        "Value of an input of the pipeline; `twotower run --help` lists them.",
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
    _text(
        "--service-account",
        "Kubernetes service account that the steps run as. By default the namespace's own.",
    ),
    _text(
        "--pipeline-root",
        "Where the steps' outputs go, s3:// or gs://. By default the server's own place.",
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
    def configured(**arguments: Any) -> Any:
        from pipelines.kubeflow.pods import PodSettings

        names = [field.name for field in dataclasses.fields(PodSettings)]
        pods = PodSettings(**{name: arguments.pop(name) for name in names})
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

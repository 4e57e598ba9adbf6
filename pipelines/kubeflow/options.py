"""Flags that several commands share."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place

Command = Callable[..., Any]

Option = Callable[[Command], Command]


def _text(
    flag: str,
    help: str,
    envvar: str | list[str] | None = None,
    metavar: str | None = None,
    default: str = "",
) -> Option:
    """Declares an option with one text."""
    return click.option(
        flag,
        default=default,
        show_default=bool(default),
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

_PLACE = (
    _text("--pipeline", "Name that the pipeline is uploaded under.", default="twotower-training"),
    _text("--experiment", "Name of the experiment for the runs.", default="twotower"),
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

    def kubeflow(**flags: Any) -> "Callable[[], Kubeflow]":
        def connected() -> "Kubeflow":
            from pipelines.kubeflow.access import access
            from pipelines.kubeflow.client import connect

            return connect(access(**flags))

        # Not connected yet: the other flags are checked first.
        return connected

    names = ("host", "namespace", "token_file", "cookies_file", "ca_cert")
    return _joined(command, _CONNECTION, names, kubeflow=kubeflow)


def pod_options(command: Command) -> Command:
    """Adds the flags of the pods; the command gets them as `pods`."""

    def pods(**flags: Any) -> "PodSettings":
        from pipelines.kubeflow.pods import PodSettings

        return PodSettings(**flags)

    names = ("image", "node_selectors", "tolerations", "image_pull_secrets", "volumes")
    return _joined(command, _POD, (*names, "gcs_secret", "webhook_secret", "accelerator"), pods=pods)


def place_options(command: Command) -> Command:
    """Adds the flags of the names on the server; the command gets them as `place`."""

    def place(**flags: str) -> "Place":
        from pipelines.kubeflow.submit import Place

        return Place(**flags)

    names = ("pipeline", "experiment", "service_account", "pipeline_root")
    return _joined(command, _PLACE, names, place=place)


def param_option(command: Command) -> Command:
    """Adds the flag of the inputs of the pipeline; the command gets them as `texts`."""
    help = "Value of an input of the pipeline; `twotower run --help` lists them."
    return _texts("--param", "texts", "NAME=VALUE", help)(command)


def _joined(
    command: Command, options: Sequence[Option], names: Sequence[str], **makers: Callable[..., Any]
) -> Command:
    """Adds `options`, whose values, called `names`, the command gets as one value that a maker makes."""

    @functools.wraps(command)
    def joined(**arguments: Any) -> Any:
        flags = {name: arguments.pop(name) for name in names}
        return command(**{key: make(**flags) for key, make in makers.items()}, **arguments)

    result: Command = joined
    for option in reversed(options):
        result = option(result)
    return result

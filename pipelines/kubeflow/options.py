"""Flags that several commands share."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.kubeflow.client import Kubeflow
    from pipelines.kubeflow.pods import PodSettings
    from pipelines.kubeflow.submit import Place

Command = Callable[..., Any]


def _text(help: str, default: str = "", **settings: Any) -> dict[str, Any]:
    """Declares an option with one text; `settings` are further arguments of `click.option`."""
    shown = {"show_default": bool(default), "show_envvar": "envvar" in settings}
    return {"help": help, "default": default, **shown, **settings}


def _texts(metavar: str, help: str) -> dict[str, Any]:
    """Declares an option that can be repeated."""
    return {"multiple": True, "metavar": metavar, "help": f"{help} Can be repeated."}


_CONNECTION = {
    "host": _text(
        "URL of Kubeflow Pipelines, https://HOST/pipeline in a full Kubeflow. In a pod, its own cluster's by "
        "default.",
        envvar=["TWOTOWER_HOST", "KF_PIPELINES_ENDPOINT"],
    ),
    "namespace": _text(
        "Your namespace, where the server is shared by several users.", envvar="TWOTOWER_NAMESPACE"
    ),
    "token_file": _text(
        "File with a bearer token. The token itself can be given as TWOTOWER_TOKEN, never as a flag.",
        envvar="TWOTOWER_TOKEN_FILE",
    ),
    "cookies_file": _text(
        "File with the cookies of a login by Dex (authservice_session=…), or TWOTOWER_COOKIES.",
        envvar="TWOTOWER_COOKIES_FILE",
    ),
    "ca_cert": _text(
        "File with the certificates to trust, where the host's are of an authority of your own.",
        envvar="TWOTOWER_CA_CERT",
    ),
}

_POD = {
    "image": _text(
        "Image that the steps run on, as the cluster can pull it: REGISTRY/NAME:TAG.", envvar="TWOTOWER_IMAGE"
    ),
    "node_selectors": _texts("KEY=VALUE", "Run the steps on nodes with this label only."),
    "tolerations": _texts("KEY[=VALUE][:EFFECT]", "Run the steps on nodes with this taint as well."),
    "image_pull_secrets": _texts("SECRET", "Pull the image with this secret."),
    "volumes": _texts("CLAIM:/PATH", "Mount this persistent volume claim into every step."),
    "gcs_secret": _text(
        "Read and write gs:// as the service account whose key file is in this secret, under key.json unless "
        "KEY names another.",
        metavar="SECRET[:KEY]",
    ),
    "webhook_secret": _text(
        "Tell the URL in this secret how a run ended; it is under url unless KEY names another. A run does "
        "without it where it is missing.",
        metavar="SECRET[:KEY]",
    ),
    "requests": _texts(
        "STEP:cpu=…,memory=…[,limit=…]",
        "Processors and memory that a step asks for, e.g. train:cpu=2,memory=8Gi; it is ended beyond the "
        "limit, which is the memory that it asks for unless given. STEP is `all` for every step, `workers` "
        "for the pods of --param workers.",
    ),
    "profile": _text(
        "Requests by a name, to which --request adds. `small`: all:cpu=100m,memory=512Mi,limit=3Gi, for one "
        "small node and a million ratings.",
        metavar="NAME",
    ),
    "accelerators": _texts(
        "[STEP=]RESOURCE[:COUNT]",
        "Train on accelerators, e.g. nvidia.com/gpu:1, or let another STEP use them; the image must have "
        "been built with GPU=1.",
    ),
    "envs": _texts("NAME=VALUE", "Environment variable of every step; no secrets: the pipeline shows it."),
    "labels": _texts("KEY=VALUE", "Label of every step's pod."),
    "image_pull_policy": _text("When the nodes pull the image: Always, IfNotPresent or Never."),
    "run_as": _text(
        "User of the steps, never root; by default the image's, 10001. `any` does not say so: for a file "
        "that Kubeflow Pipelines 2.15 shall take.",
        metavar="UID[:GID]|any",
    ),
}

_PLACE = {
    "pipeline": _text("Name that the pipeline is uploaded under.", "twotower-training"),
    "experiment": _text("Name of the experiment for the runs.", "twotower"),
    "service_account": _text(
        "Kubernetes service account that the steps run as. By default the namespace's own."
    ),
    "pipeline_root": _text("Where the steps' outputs go, s3:// or gs://. By default the server's own place."),
}


def connection_options(command: Command) -> Command:
    """Adds the flags of the server; the command gets `kubeflow`, a function that connects."""

    def kubeflow(**flags: Any) -> "Kubeflow":
        from pipelines.kubeflow.access import access
        from pipelines.kubeflow.client import connect
        from pipelines.kubeflow.names import namespace_name

        if flags["namespace"]:
            namespace_name("--namespace", flags["namespace"])
        return connect(access(**flags))

    # Not connected yet: the other flags are checked first.
    return _joined(command, _CONNECTION, "kubeflow", lambda **flags: functools.partial(kubeflow, **flags))


def pod_options(command: Command) -> Command:
    """Adds the flags of the pods; the command gets them as `pods`."""

    def pods(**flags: Any) -> "PodSettings":
        from pipelines.kubeflow.pods import PodSettings

        return PodSettings(**flags)

    return _joined(command, _POD, "pods", pods)


def place_options(command: Command) -> Command:
    """Adds the flags of the names on the server; the command gets them as `place`."""

    def place(**flags: str) -> "Place":
        from pipelines.kubeflow.submit import Place

        return Place(**flags)

    return _joined(command, _PLACE, "place", place)


def param_option(command: Command) -> Command:
    """Adds the flag of the inputs of the pipeline; the command gets them as `texts`."""
    help = "Value of an input of the pipeline; `twotower run --help` lists them."
    return click.option("--param", "texts", **_texts("NAME=VALUE", help))(command)


def _joined(command: Command, options: dict[str, dict[str, Any]], name: str, make: Command) -> Command:
    """Adds `options`; the command gets the one value that `make` makes of theirs as `name`."""

    @functools.wraps(command)
    def joined(**arguments: Any) -> Any:
        flags = {option: arguments.pop(option) for option in options}
        return command(**{name: make(**flags)}, **arguments)

    result: Command = joined
    for option, settings in reversed(options.items()):
        flag = option.removesuffix("s") if "multiple" in settings else option
        result = click.option(f"--{flag.replace('_', '-')}", option, **settings)(result)
    return result

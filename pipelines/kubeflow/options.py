"""Flags that several commands share, and targets: a site's flags under one name in a file."""

import difflib
import functools
import json
import os
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from components.errors import UserError
from pipelines.kubeflow.names import KUBEFLOW, VERTEX

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
        "File with your browser's cookie at a full Kubeflow (oauth2_proxy_kubeflow=…), or TWOTOWER_COOKIES.",
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
    "s3_secret": _text(
        "Read and write s3:// with the access key id and the secret key in this secret, under accesskey and "
        "secretkey unless KEY:KEY names others; mlpipeline-minio-artifact is that of Kubeflow's own store. "
        "Say where the store is by --env AWS_ENDPOINT_URL=http://HOST:PORT, unless it is AWS.",
        metavar="SECRET[:KEY:KEY]",
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
    made = _joined(command, _CONNECTION, "kubeflow", lambda **flags: functools.partial(kubeflow, **flags))
    return target_option(made)


def pod_options(command: Command) -> Command:
    """Adds the flags of the pods; the command gets them as `pods`."""

    def pods(**flags: Any) -> "PodSettings":
        from pipelines.kubeflow.pods import PodSettings

        return PodSettings(**flags, platform=chosen_target().platform)

    return _joined(command, _POD, "pods", pods)


def place_options(command: Command) -> Command:
    """Adds the flags of the names on the server; the command gets them as `place`."""

    def place(**flags: str) -> "Place":
        from pipelines.kubeflow.submit import Place

        return Place(**flags)

    return _joined(command, _PLACE, "place", place)


def pipeline_option(command: Command) -> Command:
    """Adds the flag of the pipeline's name on the server alone; the command gets it as `pipeline`."""

    def checked(pipeline: str) -> str:
        from pipelines.kubeflow.names import server_name

        return server_name("--pipeline", pipeline)

    return _joined(command, {"pipeline": _PLACE["pipeline"]}, "pipeline", checked)


def param_option(command: Command) -> Command:
    """Adds the flag of the inputs of the pipeline; the command gets them as `texts`."""

    @functools.wraps(command)
    def joined(*, texts: tuple[str, ...], **arguments: Any) -> Any:
        given = {text.partition("=")[0].strip().replace("-", "_") for text in texts}
        params = chosen_target().params.items()
        others = [f"{name}={value}" for name, value in params if name.replace("-", "_") not in given]
        return command(texts=(*others, *texts), **arguments)

    help = "Value of an input of the pipeline; `twotower run --help` lists them."
    return click.option("--param", "texts", **_texts("NAME=VALUE", help))(joined)


def _joined(command: Command, options: dict[str, dict[str, Any]], name: str, make: Command) -> Command:
    """Adds `options`; the command gets the one value that `make` makes of theirs as `name`."""

    @functools.wraps(command)
    def joined(**arguments: Any) -> Any:
        context = click.get_current_context()
        flags = {option: arguments.pop(option) for option in options}
        given = [one for one in flags if context.get_parameter_source(one) == ParameterSource.COMMANDLINE]
        flags = _merged(flags, given, chosen_target())
        return command(**{name: make(**flags)}, **arguments)

    result: Command = joined
    for option, settings in reversed(options.items()):
        flag = option.removesuffix("s") if "multiple" in settings else option
        result = click.option(f"--{flag.replace('_', '-')}", option, **settings)(result)
    return result


TARGETS_FILE = "twotower.toml"
FILE_VARIABLE = "TWOTOWER_TARGETS"  # the variable with another file

PLATFORMS = (KUBEFLOW, VERTEX)

# The places in the context of a command of the target's name, and of the platforms that the command knows.
_NAME, _PLATFORMS = "twotower.target", "twotower.platforms"

# The flags that a target may set, and those of them that can be repeated.
_FLAGS = {**_CONNECTION, **_POD, **_PLACE}
_LISTS = frozenset(flag for flag, settings in _FLAGS.items() if "multiple" in settings)

_SECRETS = ("token", "cookies", "password")
_PATHS = ("token_file", "cookies_file", "ca_cert")


@dataclass(frozen=True)
class Target:
    """A table of the file."""

    name: str
    platform: str = KUBEFLOW
    flags: dict[str, Any] = field(default_factory=dict)  # by their names: a text, or a tuple of texts
    params: dict[str, str] = field(default_factory=dict)  # inputs of the pipeline, as --param has them


def load_target(name: str) -> Target:
    """Reads the target `name`; `vertex` needs no table.

    The file is the one that TWOTOWER_TARGETS names, else `twotower.toml` here, else in ~/.config. Raises
    `UserError` if there is no such file or target, or a key or value is wrong.
    """
    file = _file()
    tables = _tables(file) if file else {}
    if name not in tables and name != VERTEX:
        if file is None:
            raise UserError(
                f"--target {name}: there is no {TARGETS_FILE} here or in ~/.config; write one with a table "
                f"[{name}]"
            )
        raise UserError(f"--target {name}: {file} has no such table; it has {', '.join(tables) or 'none'}")
    table = dict(tables.get(name, {}))
    platform = table.pop("platform", VERTEX if name == VERTEX else KUBEFLOW)
    where = f"{file} [{name}]"
    if platform not in PLATFORMS:
        raise UserError(f"{where} platform: choose one of {', '.join(PLATFORMS)}")
    params = table.pop("params", {})
    if not isinstance(params, dict):
        raise UserError(f'{where} params: write a table, as in params = {{registry = "gs://…"}}')
    flags = {}
    for key, value in table.items():
        flag = key if key in _FLAGS else f"{key}s"
        if flag not in _FLAGS:
            raise UserError(f"{where} {key}: {_unknown(key)}")
        flags[flag] = _value(f"{where} {key}", value, flag in _LISTS)
        if flag in _PATHS and file is not None:
            flags[flag] = str(file.parent / Path(flags[flag]).expanduser())
    return Target(name, platform, flags, {key: _param(value) for key, value in params.items()})


def _file() -> Path | None:
    if named := os.environ.get(FILE_VARIABLE):
        if not Path(named).is_file():
            raise UserError(f"{FILE_VARIABLE} {named}: no such file")
        return Path(named)
    places = (Path(TARGETS_FILE), Path.home() / ".config" / TARGETS_FILE)
    return next((path for path in places if path.is_file()), None)


def _tables(file: Path) -> dict[str, dict[str, Any]]:
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{file}: cannot be read as TOML: {' '.join(str(error).split())}") from error
    if loose := [key for key, value in found.items() if not isinstance(value, dict)]:
        raise UserError(
            f"{file} {loose[0]}: it is in no table; write it below a target's name, such as [dev]"
        )
    return found


def _value(where: str, value: Any, repeatable: bool) -> Any:
    values = value if repeatable and isinstance(value, list) else [value]
    if not all(isinstance(one, str) for one in values):
        raise UserError(f"{where}: write {'a list of texts' if repeatable else 'a text'} in quotes")
    return tuple(values) if repeatable else value


def _param(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _unknown(key: str) -> str:
    if key in _SECRETS:
        return "no secret belongs into this file; name a file with it, as token_file"
    near = difflib.get_close_matches(key, _FLAGS, n=1)
    return (
        f"no such flag; did you mean {near[0]}?" if near else f"no such flag; there are {', '.join(_FLAGS)}"
    )


def _merged(flags: Mapping[str, Any], given: Collection[str], target: Target) -> dict[str, Any]:
    """Returns `flags` with those of the target: it holds over variables, the flags that were `given` over it.

    A repeatable flag adds to those of the target.
    """
    merged = dict(flags)
    for flag, value in target.flags.items():
        if flag in merged and isinstance(value, tuple):
            merged[flag] = (*value, *merged[flag])
        elif flag in merged and flag not in given:
            merged[flag] = value
    return merged


def target_option(command: Command, platforms: Collection[str] = (KUBEFLOW,)) -> Command:
    """Adds the flag of a target for one of `platforms`; other flags are merged with those of the target."""

    def remember(context: click.Context, _: click.Parameter, name: str) -> None:
        context.meta[_NAME], context.meta[_PLATFORMS] = name, platforms

    return click.option(
        "--target",
        envvar="TWOTOWER_TARGET",
        show_envvar=True,
        default="",
        show_default=False,
        expose_value=False,
        callback=remember,
        help="Take flags from the table of this name in twotower.toml, here or in ~/.config, or in the file "
        "TWOTOWER_TARGETS. Flags given here hold over those; they hold over variables.",
    )(command)


def chosen_target() -> Target:
    """Returns the target of the running command. Raises `UserError` if it is not for it, or unreadable."""
    meta = click.get_current_context().meta
    target = load_target(meta[_NAME]) if meta.get(_NAME) else Target("")
    if target.platform not in meta.get(_PLATFORMS, PLATFORMS):
        raise UserError(
            f"--target {target.name}: it is for Vertex AI and not for Kubeflow; `twotower compile --target "
            f"{target.name}` writes a file for it"
        )
    return target

"""The compiled pipeline: one YAML file for Kubeflow and the local runners, and its inputs."""

import dataclasses
import functools
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import yaml

from components.declaration import REQUIRED, Input, check_inputs, inputs_of
from components.errors import UserError

if TYPE_CHECKING:
    from pipelines.kubeflow.pods import PodSettings


# What is checked in, for those who submit it by other means than `twotower submit`.
CHECKED_IN = Path(__file__).with_name("training.yaml")


def compile_pipeline(output: str | Path, pods: "PodSettings | None" = None) -> Path:
    """Compiles the training pipeline to `output`, whole or not at all, with settings of the site's pods.

    Raises:
      UserError: if `output` is not a .yaml or .yml file or cannot be written, or a setting cannot be read.
    """
    _import_kfp()
    from kfp import compiler

    from pipelines.training import pipeline

    target = Path(output)
    if target.suffix not in (".yaml", ".yml"):
        raise UserError(f"--output {target}: KFP compiles to YAML; give a name that ends with .yaml")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as staging:
            package = Path(staging) / target.name
            compiler.Compiler().compile(pipeline(), str(package))
            if pods is not None:
                package.write_text(pods.apply(package.read_text("utf-8")), "utf-8")
            if pods is not None and pods.platform == "vertex":
                package.write_text(for_vertex(package.read_text("utf-8"), pods.image), "utf-8")
            package.replace(target)
    except OSError as error:
        raise UserError(f"--output {target}: {error.strerror}; name another file") from error
    return target


# What of the pipeline Vertex AI has no place for, or no use of.
NOT_ON_VERTEX = (
    "the time limits of the steps and their user: they are in the platform document, which it does not read",
    "the input image: it is fixed in the file",
    "the webhook: its URL is in a secret of Kubernetes",
    "workers and batch_shards above 1: they need Kubernetes",
    "local paths and volumes: ratings, movies, test_ratings, forget, registry and checkpoint_root have to be "
    "gs://",
)

# Vertex AI takes no longer pause between the tries of a step, in seconds.
_LONGEST_PAUSE = 3600


def for_vertex(package: str, image: str) -> str:
    """Returns the compiled pipeline `package`, YAML, for Vertex AI: one document with a fixed image."""
    document = next(yaml.load_all(package, Loader=yaml.CSafeLoader))
    for executor in document["deploymentSpec"]["executors"].values():
        container = executor["container"]
        container["image"] = image
        resources = container.get("resources", {})
        if "cpuRequest" in resources:  # it chooses the machine by the limits
            resources["cpuLimit"] = resources["cpuRequest"]
            resources["resourceCpuLimit"] = resources["resourceCpuRequest"]
    for component in [document["root"], *document["components"].values()]:
        _drop_image(component.get("inputDefinitions", {}))
        for task in component.get("dag", {}).get("tasks", {}).values():
            _drop_image(task.get("inputs", {}))
            if "backoffMaxDuration" in (policy := task.get("retryPolicy", {})):
                seconds = int(policy["backoffMaxDuration"].removesuffix("s"))
                policy["backoffMaxDuration"] = f"{min(seconds, _LONGEST_PAUSE)}s"
    return str(yaml.dump(document, Dumper=yaml.CSafeDumper))


def _drop_image(inputs: dict[str, Any]) -> None:
    for name in ("image", "base_image", "pipelinechannel--image"):
        inputs.get("parameters", {}).pop(name, None)


def _import_kfp() -> None:
    """Imports KFP without the client of its server, which takes longer than compiling and is not needed."""
    if "kfp" in sys.modules:
        return
    client = ModuleType("kfp.client")
    client.Client = None  # type: ignore[attr-defined]  # a name that kfp imports
    sys.modules["kfp.client"] = client
    try:
        import kfp

        del kfp.Client
    finally:
        del sys.modules["kfp.client"]


_PYTHON_TYPES: dict[str, type] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
    "STRUCT": dict,
}

# Inputs by their names of the last release: old name -> name. The compiled pipeline accepts both, since
# schedules exist that send the old ones.
RENAMED = {"index": "index_kind", "batch": "batch_k"}


@functools.cache
def pipeline_inputs() -> dict[str, Input]:
    """Returns the inputs of the checked-in pipeline by name, those that must be given first."""
    from components.ingest.step import ingest
    from components.recommend.step import batch

    several = {name for name, declared in inputs_of(ingest).items() if declared.several}
    several |= {f"batch_{name}" for name, declared in inputs_of(batch).items() if declared.several}
    with CHECKED_IN.open(encoding="utf-8") as package:
        document = next(yaml.load_all(package, Loader=yaml.CSafeLoader))
    found = []
    for name, spec in document["root"]["inputDefinitions"]["parameters"].items():
        kind = _PYTHON_TYPES[spec["parameterType"]]
        # YAML gives 0.0 as an integer.
        default = kind(spec["defaultValue"]) if "defaultValue" in spec else REQUIRED
        if name not in RENAMED:
            found.append(Input(name, kind, default, spec["description"], several=name in several))
    found.sort(key=lambda one: one.default is not REQUIRED)
    return {declared.name: declared for declared in found}


def check_pipeline_inputs(values: Mapping[str, Any]) -> None:
    """Raises `UserError` if a step would not take one of `values`, before the first step.

    What only the files and the registry can tell is checked by the steps.
    """
    from components.evaluate.step import evaluate
    from components.export.manifest import NONE
    from components.export.step import export
    from components.ingest.dataset import parse_scale
    from components.ingest.layouts import parse_columns
    from components.ingest.settings import INGEST_SETTINGS, ReadOptions, check_feedback
    from components.ingest.step import ingest
    from components.recommend.step import batch
    from components.train import settings
    from components.train.step import train
    from components.vocabulary.conditions import Rules

    given = {name: declared.default for name, declared in pipeline_inputs().items()} | dict(values)
    for step in (ingest, train, evaluate, export):
        check_inputs(step, values)
    if given["batch_k"] and given["histories"] == NONE:
        raise UserError(
            "--batch-k recommends to every user, and with --histories none the index knows none; "
            "leave out one of the two"
        )
    names = ("where", "boost", "diversity", "popularity_discount")
    try:
        Rules.of(*(given[f"batch_{name}"] for name in names))
    except UserError as error:
        raise UserError(f"--batch-{str(error).removeprefix('--')}") from error
    for name in ("k", "shards"):
        dataclasses.replace(inputs_of(batch)[name], name=f"batch_{name}").check(given[f"batch_{name}"])
    options = ReadOptions.read(given[INGEST_SETTINGS])
    check_feedback(options, given["rating_scale"])
    parse_columns(given["columns"], given["format"], bool(options.user), options.implicit)
    parse_scale(given["rating_scale"])
    preset, workers = given["preset"], given["workers"]
    chosen = settings.override(settings.PRESETS[preset], given["train_settings"])
    settings.check_feedback(options.feedback, preset, getattr(chosen, "rating_head", ""))
    settings.check_workers(workers, preset)
    settings.check_shared_place(workers, given["checkpoint_root"])
    settings.check_time_budget(given["time_budget"], preset)

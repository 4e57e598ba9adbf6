"""The compiled pipeline: one YAML file for Kubeflow and the local runners, and its inputs."""

import functools
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

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
            package.replace(target)
    except OSError as error:
        raise UserError(f"--output {target}: {error.strerror}; name another file") from error
    return target


_PYTHON_TYPES: dict[str, type] = {
    "STRING": str,
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
    "STRUCT": dict,
}


@dataclass(frozen=True)
class Parameter:
    """One input of the pipeline; `default` is None where it must be given."""

    name: str
    type: type
    default: Any
    description: str

    @property
    def flag(self) -> str:
        return f"--{self.name.replace('_', '-')}"


@functools.cache
def pipeline_parameters() -> dict[str, Parameter]:
    """The inputs of the checked-in pipeline by name, those that must be given first."""
    with CHECKED_IN.open(encoding="utf-8") as package:
        document = next(yaml.load_all(package, Loader=yaml.CSafeLoader))
    found = [
        Parameter(
            name, kind := _PYTHON_TYPES[spec["parameterType"]], _default(spec, kind), spec["description"]
        )
        for name, spec in document["root"]["inputDefinitions"]["parameters"].items()
    ]
    return {parameter.name: parameter for parameter in sorted(found, key=lambda p: p.default is not None)}


def _default(spec: dict[str, Any], kind: type) -> Any:
    if "defaultValue" not in spec:
        return None
    return kind(spec["defaultValue"])  # YAML gives 0.0 as an integer


def parse_struct(flag: str, text: str) -> dict[str, Any]:
    """The JSON object that `text` holds.

    Raises:
      UserError: if it holds anything else.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{flag} {text}: not a JSON object; write it like '{{\"dimension\": 64}}'")
    return value

"""The pipeline's own inputs, read from the compiled pipeline: the one source of flags, types and texts."""

import functools
import json
from dataclasses import dataclass
from typing import Any

import yaml

from components.errors import UserError
from pipelines.compiled import CHECKED_IN

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

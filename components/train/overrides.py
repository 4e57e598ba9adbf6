"""Settings given by name, as `--train-settings` and the pipeline's parameter bring them."""

import dataclasses
import difflib
import json
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from components.errors import UserError

S = TypeVar("S")


def override(settings: S, values: Mapping[str, Any]) -> S:
    """`settings`, a dataclass, with the fields named in `values` replaced.

    JSON makes 24 into 24.0 on its way through a pipeline; whole numbers become integers again.

    Raises:
      UserError: if a name is unknown, or a value is not of the field's type.
    """
    fields = {field.name: field for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
    converted = {}
    for name, value in values.items():
        if name not in fields:
            nearest = difflib.get_close_matches(name, fields, n=1, cutoff=0.0)[0]
            raise UserError(f"--train-settings: there is no setting {name!r}; did you mean {nearest!r}?")
        converted[name] = _as_type_of(name, value, getattr(settings, name))
    return dataclasses.replace(settings, **converted)  # type: ignore[type-var]


def _as_type_of(name: str, value: Any, default: Any) -> Any:
    kind = type(default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int and number and math.isfinite(value) and value == int(value):
        return int(value)
    if kind is float and number and math.isfinite(value):
        return float(value)
    if kind is str and isinstance(value, str):
        return value
    expected = {int: "a whole number", float: "a number", str: "a text"}[kind]
    raise UserError(f"--train-settings: {name} is {value!r}; give {expected}, such as {default!r}")


def parse(text: str) -> dict[str, Any]:
    """The JSON object in `text`.

    Raises:
      UserError: if it holds anything else.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UserError(
            f"--train-settings: {text!r} is not JSON ({error}); write it as '{{\"steps\": 500}}'"
        ) from error
    if not isinstance(value, dict):
        raise UserError(f"--train-settings: {text!r} is not a JSON object; write it as '{{\"steps\": 500}}'")
    return value

"""Values for the pipeline's inputs as people write them, checked before anything is sent."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from components.errors import UserError
from components.progress import log
from pipelines.parameters import Parameter, parse_struct

_TRUE = {"true", "yes", "1"}
_FALSE = {"false", "no", "0"}


def parse_arguments(texts: Sequence[str], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The values that `name=value` texts give, each of its parameter's type.

    Raises:
      UserError: if a text is not of that form, names no parameter or one twice, if a value is not of the
        parameter's type, or if a parameter without default is missing.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not separator:
            raise UserError(f"--param {text}: write it as name=value")
        if name not in parameters:
            raise UserError(f"--param {text}: the pipeline has no input {name}{_nearest(name, parameters)}")
        if name in values:
            raise UserError(f"--param {name}: given twice; keep one")
        values[name] = _typed(parameters[name], value)
    missing = [p.name for p in parameters.values() if p.default is None and values.get(p.name, "") == ""]
    if missing:
        raise UserError(f"the pipeline needs a value for {missing[0]}; add --param {missing[0]}=…")
    return values


def _nearest(name: str, parameters: Mapping[str, Parameter]) -> str:
    near = difflib.get_close_matches(name, parameters, n=1)
    return f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(parameters))}"


def _typed(parameter: Parameter, text: str) -> Any:
    flag = f"--param {parameter.name}"
    if parameter.type is dict:
        return parse_struct(flag, text)
    if parameter.type is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise UserError(f"{flag}={text}: give true or false")
        return text.lower() in _TRUE
    try:
        return parameter.type(text)
    except ValueError as error:
        kind = "a whole number" if parameter.type is int else "a number"
        raise UserError(f"{flag}={text}: not {kind}") from error


def check_image(name: str) -> None:
    """Remarks on an image that no cluster can pull.

    Raises:
      UserError: if the image's tag can move: KFP takes a step's earlier result for the same image name.
    """
    tag = name.rpartition("/")[2].partition("@")[0].partition(":")[2]
    if "@sha256:" not in name and tag in ("", "latest"):
        raise UserError(
            f"--image {name}: its tag can move, and the cluster would take results of an older image for its "
            "own; name a tag of a version, or a digest"
        )
    if "/" not in name:
        log(f"the image {name} names no registry: every node must have it; else push it and give --image")

"""JSON of the REST interface of TensorFlow Serving."""

import base64
import json
import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from components.serve.served_index import Served, ServedIndex, Spec

_DEFAULT_SIGNATURE = "serving_default"

# The number of movies of an answer whose signature has no input for it.
DEFAULT_K = 100

# TensorFlow's names of the dtypes.
_DT = {
    "string": "DT_STRING",
    "int32": "DT_INT32",
    "int64": "DT_INT64",
    "float32": "DT_FLOAT",
    "bool": "DT_BOOL",
}


class RequestError(Exception):
    """A request that cannot be answered; the message names the faulty part and the cure."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Call:
    """A parsed request."""

    signature: str
    inputs: dict[str, Any]  # nested lists and scalars, of the right types and shapes
    by_rows: bool  # true if inputs and outputs are in rows ("instances"), false if in columns ("inputs")
    offset: int = 0  # rows of a long answer to leave out
    limit: int | None = None  # the most rows of a long answer; None for all


def read_call(body: bytes, index: ServedIndex) -> Call:
    """Parses the body of a `:predict` request. Raises `RequestError`."""
    request = _object(body)
    signature = request.get("signature_name", _DEFAULT_SIGNATURE)
    if not isinstance(signature, str) or signature not in index.specs:
        known = ", ".join(sorted(index.specs))
        raise RequestError(f"signature_name: there is no {_shown(signature)}; there are {known}")
    if ("instances" in request) == ("inputs" in request):
        raise RequestError('give either "instances", a list of rows, or "inputs", an object of columns')
    specs, _ = index.specs[signature]
    by_rows = "instances" in request
    given = _columns(request["instances"], specs) if by_rows else _named(request["inputs"], specs, "inputs")
    inputs = {name: _checked(given[name], spec, name, spec.shape) for name, spec in specs.items()}
    return Call(signature, inputs, by_rows, *_part(request, signature))


# The signatures whose answers are columns of any length, which can be asked for in parts.
LONG = ("history", "catalogue", "users")


def encode_answer(call: Call, outputs: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Encodes the outputs in the form of the inputs. Raises `RequestError` if they have no rows."""
    columns = {name: _encodable(values) for name, values in outputs.items()}
    only = next(iter(columns.values())) if len(columns) == 1 else None
    if not call.by_rows:
        return _json({"outputs": columns if only is None else only})
    rows = {len(values) if np.ndim(values) else -1 for values in outputs.values()}
    if rows != {len(next(iter(call.inputs.values()), []))}:
        raise RequestError(f'{call.signature} does not answer row by row; give "inputs" for "instances"')
    if only is not None:
        return _json({"predictions": only})
    table = zip(*columns.values(), strict=True)
    return _json({"predictions": [dict(zip(columns, row, strict=True)) for row in table]})


def count_cold(outputs: Mapping[str, npt.NDArray[Any]]) -> int:
    """Counts the users without ratings to whom these outputs recommend movies."""
    if {"known_user", "score"} <= outputs.keys():
        return int(np.count_nonzero(~outputs["known_user"]))
    return 0


def encode_status(versions: Mapping[int, tuple[str, str]]) -> bytes:
    """Encodes the state of each version: its number -> (state, error; "" for none)."""
    states = [
        {
            "version": str(number),
            "state": state,
            "status": {"error_code": "UNKNOWN" if error else "OK", "error_message": error},
        }
        for number, (state, error) in sorted(versions.items(), reverse=True)
    ]
    return _json({"model_version_status": states})


def encode_metadata(name: str, served: Served) -> bytes:
    """Encodes the signatures of the model `name`."""
    signatures = {
        signature: {
            "inputs": _described(signature, inputs),
            "outputs": _described(signature, outputs),
            "method_name": "tensorflow/serving/predict",
        }
        for signature, (inputs, outputs) in served.index.specs.items()
    }
    return _json(
        {
            "model_spec": {"name": name, "signature_name": "", "version": str(served.number)},
            "metadata": {"signature_def": {"signature_def": signatures}},
        }
    )


def encode_error(message: str) -> bytes:
    """Encodes an error as TensorFlow Serving does."""
    return _json({"error": message})


def _object(body: bytes) -> dict[str, Any]:
    try:
        request = orjson.loads(body)
    except ValueError:
        # A fault is named as Python's reader names it, and that one reads UTF-16 and deeper nesting too.
        request = _read_slowly(body)
    if not isinstance(request, dict):
        raise RequestError('the body must be a JSON object with "instances" or "inputs"')
    return request


def _read_slowly(body: bytes) -> Any:
    try:
        return json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error


def _part(request: dict[str, Any], signature: str) -> tuple[int, int | None]:
    """Returns the members "offset" and "limit" of a request."""
    for name in ("offset", "limit"):
        if (value := request.get(name)) is None:
            continue
        if signature not in LONG:
            raise RequestError(f"{name}: only {', '.join(LONG)} can be asked for in parts, not {signature}")
        if type(value) is not int or not 0 <= value < 2**31:
            raise RequestError(f"{name}: {_shown(value)} is no whole number from 0")
    return request.get("offset") or 0, request.get("limit")


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no JSON number")


def _columns(instances: Any, specs: Mapping[str, Spec]) -> dict[str, list[Any]]:
    """Turns rows into columns."""
    if not isinstance(instances, list) or not instances:
        raise RequestError('"instances" must be a list with a row or more')
    whole = [name for name, spec in specs.items() if not spec.shape]
    if whole:
        raise RequestError(f'{whole[0]} is one value for all rows; give "inputs" for "instances"')
    rows = [_named(row, specs, f"instances[{number}]") for number, row in enumerate(instances)]
    return {name: [row[name] for row in rows] for name in specs}


def _named(values: Any, specs: Mapping[str, Spec], where: str) -> dict[str, Any]:
    """Returns the values by name; the only input of a signature may be given without its name."""
    if len(specs) == 1 and not (isinstance(values, dict) and values.keys() != {"b64"}):
        return dict.fromkeys(specs, values)
    if not isinstance(values, dict):
        raise RequestError(f"{where} must be an object with {', '.join(specs)}")
    missing, unknown = specs.keys() - values.keys(), values.keys() - specs.keys()
    if missing:
        raise RequestError(f"{where} lacks {', '.join(sorted(missing))}")
    if unknown:
        raise RequestError(f"{where}: there is no {_shown(min(unknown))}; there are {', '.join(specs)}")
    return values


def _checked(value: Any, spec: Spec, where: str, shape: tuple[int | None, ...]) -> Any:
    """Returns `value` if it has the dtype of `spec` and this shape. Raises `RequestError`."""
    if not shape:
        return _scalar(value, spec.dtype, where)
    if not isinstance(value, list):
        raise RequestError(f"{where}: {_shown(value)} is no list")
    return [_checked(item, spec, f"{where}[{number}]", shape[1:]) for number, item in enumerate(value)]


def _scalar(value: Any, dtype: str, where: str) -> Any:
    try:
        if dtype == "string":
            return _string(value)
        if dtype == "bool":
            good = isinstance(value, bool)
        elif np.issubdtype(dtype, np.integer):
            limits = np.iinfo(dtype)
            good = type(value) is int and limits.min <= value <= limits.max
        else:
            good = type(value) in (int, float) and math.isfinite(np.float32(value))
    except (ValueError, OverflowError):
        good = False
    if not good:
        raise RequestError(f"{where}: {_shown(value)} is no {dtype}")
    return value


def _string(value: Any) -> str | bytes:
    """Returns a string, or the bytes of an object such as {"b64": "aGVsbG8="}. Raises ValueError."""
    if isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str):
        return base64.b64decode(value["b64"], validate=True)
    if not isinstance(value, str):
        raise ValueError
    value.encode()  # refuses half of a surrogate pair
    return value


def _shown(value: Any) -> str:
    return json.dumps(reprlib.repr(value)) if not isinstance(value, str) else json.dumps(value[:60])


def _described(signature: str, specs: Mapping[str, Spec]) -> dict[str, Any]:
    return {
        name: {
            "dtype": _DT[spec.dtype],
            "tensor_shape": {
                "dim": [{"size": str(-1 if size is None else size), "name": ""} for size in spec.shape],
                "unknown_rank": False,
            },
            "name": f"{signature}_{name}:0",
        }
        for name, spec in specs.items()
    }


def _encodable(values: npt.NDArray[Any]) -> Any:
    """Returns what `_json` takes. Raises ValueError for numbers that JSON does not have."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise ValueError("the index answers with numbers that are not finite")
    return np.ascontiguousarray(values) if values.ndim and values.dtype != object else values.tolist()


def _json(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)

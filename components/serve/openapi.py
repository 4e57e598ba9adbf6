"""OpenAPI description of the server, from its routes and the signatures of the served index."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from starlette.routing import Route

from components import __version__
from components.recommend.index import Known, Order
from components.serve.rest import LONG

_Schema = dict[str, Any]

_TEXT = {"type": "string"}
_JSON_TYPES: dict[str, _Schema] = {
    # Strings that are not text are given as Base64.
    "DT_STRING": {
        "anyOf": [
            _TEXT,
            {
                "type": "object",
                "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
                "required": ["b64"],
                "additionalProperties": False,
            },
        ]
    },
    "DT_INT32": {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    "DT_INT64": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "DT_FLOAT": {"type": "number"},
    "DT_BOOL": {"type": "boolean"},
}

# Inputs that take some values of their type only.
_VALUES: dict[str, _Schema] = {
    "ratings": {"enum": list(get_args(Known))},
    "order": {"enum": list(get_args(Order))},
}

# Rows of a long answer to leave out, and the most to answer.
_PART = {"type": ["integer", "null"], "minimum": 0, "maximum": 2**31 - 1}

# Values of inputs in the examples, where others than 0, "", false and [] say more.
_EXAMPLES = {
    "user_id": "6",
    "movie_id": "30",
    "recommended": "175",
    "rating": 4.0,
    "row_splits": [0, 1],
    "k": 10,
    "ratings": "all",
    "order": "score",
    "pool": 100,
    "where": "year>=1990",
    "boost": "year<1950:-0.5",
    "diversity": 0.3,
    "popularity_discount": 0.1,
}
_ZEROS = {"DT_STRING": "", "DT_INT32": 0, "DT_INT64": 0, "DT_FLOAT": 0.0, "DT_BOOL": False}

# The outputs that an index without stars leaves out.
_OPTIONAL = {"rating"}

_ERRORS = {
    400: "not JSON, no such signature, a missing or unknown field, a value of another type",
    401: "no valid API key",
    403: "a page of another site may not ask",
    404: "no such path, model or version",
    405: "the path has other methods",
    408: "the request took too long to arrive",
    413: "too much at once",
    414: "the query is too long",
    421: "the Host is not a name of this server",
    431: "the head is too long",
    500: "an error of the server; its log has it",
    503: "it cannot answer now; Retry-After says when to try again",
    504: "the answer took too long",
}
_OF_EVERY_PATH = (401, 404, 421, 431, 500, 503)


def describe(routes: Iterable[Route], metadata: bytes, with_keys: bool) -> bytes:
    """Builds the description, as JSON.

    Args:
      routes: the server's routes; a function that answers one is named in `_ENDPOINTS`.
      metadata: the answer to `/metadata`, which has the signatures.
      with_keys: whether requests need an API key.
    """
    known = json.loads(metadata)
    signatures = known["metadata"]["signature_def"]["signature_def"]
    examples = {name: {"value": _example(name, spec["inputs"])} for name, spec in signatures.items()}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD"}):
            operation = paths.setdefault(route.path, {})[method.lower()] = _operation(route, with_keys)
            if route.endpoint.__name__ == "predict":
                content = {"schema": _reference("PredictRequest"), "examples": examples}
                operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    schemas = {
        "Error": _object({"error": _TEXT}),
        "PredictRequest": {"anyOf": list(_requests(signatures))},
        "PredictResponse": {"anyOf": _responses(signatures)},
    }
    return json.dumps(
        {
            "openapi": "3.1.0",
            "info": {
                "title": f"twotower: {known['model_spec']['name']}",
                "description": "Movie recommendations, in the REST dialect of TensorFlow Serving.",
                "version": __version__,
            },
            "paths": paths,
            "components": {
                "schemas": schemas,
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                },
            },
        },
        ensure_ascii=False,
    ).encode()


def _operation(route: Route, with_keys: bool) -> _Schema:
    name = route.endpoint.__name__
    summary, media_type, schema, errors = _ENDPOINTS[name]
    with_number = "{number" in route.path
    operation: dict[str, Any] = {
        "operationId": route.path[1:] if name in _STATES else f"{name}_of_version" if with_number else name,
        "summary": summary,
        "responses": {"200": {"description": "the answer", "content": {media_type: {"schema": schema}}}},
    }
    for status in sorted({*_OF_EVERY_PATH, *errors}):
        content = {"application/json": {"schema": _reference("Error")}}
        operation["responses"][str(status)] = {"description": _ERRORS[status], "content": content}
    if name in _STATES:
        operation["responses"]["503"]["content"] = {"application/json": {"schema": schema}}
    if name == "page":
        operation["parameters"] = _PAGE_PARAMETERS
    if with_number:
        number = {"type": "integer", "minimum": 1, "maximum": 999_999}
        operation["parameters"] = [{"name": "number", "in": "path", "required": True, "schema": number}]
    if with_keys and name not in _STATES:
        operation["security"] = [{"bearer": []}, {"key": []}]
    return operation


def _requests(signatures: Mapping[str, _Schema]) -> Iterable[_Schema]:
    """Describes the requests of each signature: by columns and, where that makes sense, by rows."""
    for name, signature in signatures.items():
        inputs = signature["inputs"]
        needed = [] if name == "serving_default" else ["signature_name"]
        columns = {key: _input(key, spec) for key, spec in inputs.items()}
        forms = {"inputs": _or_alone(columns)}
        if (
            len(inputs) == 1
            and all(map(_sizes, inputs.values()))
            and "row_splits" not in signature["outputs"]
        ):
            row = {key: column["items"] for key, column in columns.items()}
            forms["instances"] = {"type": "array", "items": _or_alone(row), "minItems": 1, "maxItems": 1000}
        for form, schema in forms.items():
            other = ({"inputs", "instances"} - {form}).pop()
            fields = {"signature_name": {"const": name}, form: schema, other: False}
            fields |= dict.fromkeys(("offset", "limit"), _PART if name in LONG else {"type": "null"})
            yield {**_object(fields, [*needed, form]), "title": f"{name}, {form}"}


def _example(name: str, inputs: Mapping[str, _Schema]) -> _Schema:
    """Returns a request to the signature `name`."""
    columns = {}
    for key, spec in inputs.items():
        value = _EXAMPLES.get(key)
        if not _sizes(spec):
            columns[key] = _ZEROS[spec["dtype"]] if value is None else value
        else:
            columns[key] = value if isinstance(value, list) else [] if value is None else [value]
    return {"signature_name": name, "inputs": columns}


def _responses(signatures: Mapping[str, _Schema]) -> list[_Schema]:
    found = []
    for name, signature in signatures.items():
        columns = {key: _array(_output(spec), _sizes(spec)) for key, spec in signature["outputs"].items()}
        required = [key for key in columns if key not in _OPTIONAL or len(columns) == 1]
        outputs = _object(columns, required) if len(columns) > 1 else next(iter(columns.values()))
        found.append({**_object({"outputs": outputs}), "title": f"{name}, outputs"})
        if all(map(_sizes, signature["outputs"].values())):
            row = {key: column["items"] for key, column in columns.items()}
            items = _object(row, required) if len(row) > 1 else next(iter(row.values()))
            table = {"type": "array", "items": items}
            found.append({**_object({"predictions": table}), "title": f"{name}, predictions"})
    return found


def _input(name: str, spec: _Schema) -> _Schema:
    return _array(_VALUES.get(name) or _JSON_TYPES[spec["dtype"]], _sizes(spec))


def _output(spec: _Schema) -> _Schema:
    return _TEXT if spec["dtype"] == "DT_STRING" else _JSON_TYPES[spec["dtype"]]


def _sizes(spec: _Schema) -> list[int]:
    return [int(dim["size"]) for dim in spec["tensor_shape"]["dim"]]


def _array(items: _Schema, sizes: list[int]) -> _Schema:
    for _ in sizes:
        items = {"type": "array", "items": items}
    return items


def _or_alone(fields: Mapping[str, _Schema]) -> _Schema:
    """Describes an object; the value of its only field may stand for it."""
    whole = {**_object(fields), "additionalProperties": False}
    return {"anyOf": [*fields.values(), whole]} if len(fields) == 1 else whole


def _object(properties: Mapping[str, Any], required: Iterable[str] | None = None) -> _Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties if required is None else required),
    }


def _reference(name: str) -> _Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_STATE = _object({"status": _TEXT, "version": _TEXT, "number": {"type": "integer"}}, ["status"])
_VERSION_STATE = _object(
    {
        "version": _TEXT,
        "state": {"enum": ["AVAILABLE", "LOADING", "END"]},
        "status": _object({"error_code": _TEXT, "error_message": _TEXT}),
    }
)

# For each function that answers: summary, media type and schema of the answer, and errors of its own.
_ENDPOINTS: dict[str, tuple[str, str, _Schema, tuple[int, ...]]] = {
    "page": ("The page for people", "text/html", _TEXT, (400, 414, 504)),
    "live": ("Whether the server runs", "application/json", _STATE, ()),
    "ready": ("Whether it can answer", "application/json", _STATE, ()),
    "metrics": ("Metrics for Prometheus", "text/plain", _TEXT, ()),
    "openapi": ("This description", "application/json", {"type": "object"}, ()),
    "predict": (
        "The answer of a signature",
        "application/json",
        _reference("PredictResponse"),
        (400, 403, 408, 413, 504),
    ),
    "metadata": (
        "The signatures of the index",
        "application/json",
        _object({"model_spec": {"type": "object"}, "metadata": {"type": "object"}}),
        (),
    ),
    "status": (
        "The state of each champion",
        "application/json",
        _object({"model_version_status": {"type": "array", "items": _VERSION_STATE}}),
        (),
    ),
}

# Those that health checks ask: without a key, and with the state in their 503.
_STATES = ("live", "ready")

_PAGE_PARAMETERS = [
    {"name": name, "in": "query", "description": text, "schema": schema}
    for name, text, schema in (
        ("user", "the id of a user", _TEXT),
        ("find", "words of a title", _TEXT),
        ("from", "the first year of a movie", _TEXT),
        ("to", "the last year of a movie", _TEXT),
        ("genre", "a genre", _TEXT),
        ("where", "a condition on the movies, such as year>=1990", _TEXT),
        ("diversity", "from 0 to 1", _TEXT),
        ("pick", "STARS:MOVIE, any number of times", {"type": "array", "items": _TEXT}),
    )
]

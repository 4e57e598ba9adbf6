"""JSON schemas of the API v2beta1, from the client that Kubeflow generates out of its description files.

The files themselves are not in any wheel; the generated models hold the same names and types. Unlike them,
the schemas allow no other field, so that a misspelt one is found.
"""

import functools
import re
from typing import Any

import jsonschema
import kfp_server_api

_PLAIN = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "object": {},
    "datetime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"},
}


def schema(type_name: str) -> dict[str, Any]:
    """The schema of one of the generated client's types."""
    if type_name in _PLAIN:
        return _PLAIN[type_name]
    if match := re.fullmatch(r"list\[(.+)\]", type_name):
        return {"type": "array", "items": schema(match[1])}
    if match := re.fullmatch(r"dict\(str, (.+)\)", type_name):
        return {"type": "object", "additionalProperties": schema(match[1])}
    model = getattr(kfp_server_api, type_name)
    if hasattr(model, "allowable_values"):
        return {"enum": model.allowable_values}
    return {
        "type": "object",
        "properties": {key: schema(model.openapi_types[name]) for name, key in model.attribute_map.items()},
        "additionalProperties": False,
    }


def validate(value: Any, type_name: str) -> None:
    """Raises `jsonschema.ValidationError` unless `value` is of the type."""
    _validator(type_name).validate(value)


@functools.cache
def _validator(type_name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(type_name))

"""JSON schemas of an API, from the client that its authors generate out of its description files.

The files themselves are in no wheel; the generated models hold the same names and types, and know which
fields are required. Unlike the files, the schemas allow no other field, so that a misspelt one is found.
"""

import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jsonschema

_PLAIN: dict[str, dict[str, Any]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "object": {},
    "Quantity": {"type": ["string", "number"]},
    "datetime": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$"},
}


class GeneratedModels:
    """The types of one or more generated clients."""

    def __init__(self, *clients: ModuleType) -> None:
        """Args: `clients`: each a module with the models' classes and `Configuration`."""
        self._clients: Sequence[ModuleType] = clients
        self._validators: dict[str, jsonschema.Draft202012Validator] = {}

    def validate(self, value: Any, type_name: str) -> None:
        """Raises `jsonschema.ValidationError` unless `value` is of the type."""
        if type_name not in self._validators:
            self._validators[type_name] = jsonschema.Draft202012Validator(self.schema(type_name))
        self._validators[type_name].validate(value)

    def schema(self, type_name: str) -> dict[str, Any]:
        """The schema of one of the types; raises `StopIteration` if no client has it."""
        if type_name in _PLAIN:
            return _PLAIN[type_name]
        if match := re.fullmatch(r"list\[(.+)\]", type_name):
            return {"type": "array", "items": self.schema(match[1])}
        if match := re.fullmatch(r"dict\(str, (.+)\)", type_name):
            return {"type": "object", "additionalProperties": self.schema(match[1])}
        client = next(one for one in self._clients if hasattr(one, type_name))
        model = getattr(client, type_name)
        if hasattr(model, "allowable_values"):
            return {"enum": model.allowable_values}
        keys = model.attribute_map
        return {
            "type": "object",
            "properties": {key: self.schema(model.openapi_types[name]) for name, key in keys.items()},
            "required": [key for name, key in keys.items() if _is_required(client, model, name)],
            "additionalProperties": False,
        }


def _is_required(client: ModuleType, model: Any, name: str) -> bool:
    """Whether the model refuses to be without it."""
    lenient, strict = client.Configuration(), client.Configuration()
    lenient.client_side_validation, strict.client_side_validation = False, True
    instance = model(local_vars_configuration=lenient)
    instance.local_vars_configuration = strict
    try:
        setattr(instance, name, None)
    except ValueError:
        return True
    return False

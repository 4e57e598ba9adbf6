"""Keys of files, which never lead out of the root that they are below."""

import inspect
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from components.errors import UserError

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def key_fault(key: str) -> str:
    """Returns what keeps `key` from naming a file below a root; "" for a good key."""
    names = key.split("/")
    if not key:
        return "it is empty"
    if key.startswith("/"):
        return "it is absolute"
    if ".." in names:
        return "it leads out of its directory by .."
    if "." in names or "" in names:
        return "it is not written the shortest way"
    return "it holds a control character" if _CONTROL.search(key) else ""


def _prefix_fault(prefix: str) -> str:
    """Does `key_fault` for the beginning of keys: it may be empty, or a directory with its slash."""
    return key_fault(prefix.removesuffix("/")) if prefix else ""


# The parameters of a storage's operations that are keys, or the beginning of some.
_FAULTS = {"key": key_fault, "new_key": key_fault, "directory": key_fault, "prefix": _prefix_fault}


def checking_keys(operation: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a storage's operation raise `UserError` for a key that leads out of its root."""
    signature = inspect.signature(operation)

    @wraps(operation)
    def checked(storage: Any, *args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(storage, *args, **kwargs).arguments.items():
            if name in _FAULTS and (fault := _FAULTS[name](value)):
                raise UserError(f"{value!r} names no file below {storage.root}: {fault}; mend what names it")
        return operation(storage, *args, **kwargs)

    return checked

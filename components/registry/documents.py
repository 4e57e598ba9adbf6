"""JSON documents of the registry: dataclasses whose fields are the document's keys."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any, TypeVar, get_origin, get_type_hints

from components.errors import UserError

FORMAT = 1

D = TypeVar("D")


def to_bytes(document: Any) -> bytes:
    """The dataclass `document` as indented JSON. NaN and infinity are refused (ValueError)."""
    fields = {"format": FORMAT, **dataclasses.asdict(document)}
    return (json.dumps(fields, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def from_bytes(kind: type[D], data: bytes, source: str, cure: str) -> D:
    """The document of type `kind` that `to_bytes` made into `data`.

    `source` is where it was read and `cure` what to do if it is broken, both for the message.

    Keys that `kind` does not have are ignored: a newer release may have added them.

    Raises:
      UserError: if `data` is no such document.
    """
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise UserError(f"{source} is corrupt: it is not JSON ({error}); {cure}") from error
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise UserError(f"{source} is corrupt or of a newer release: its format is not {FORMAT}; {cure}")
    types = {name: get_origin(hint) or hint for name, hint in get_type_hints(kind).items()}
    wrong = [name for name, type_ in types.items() if not isinstance(fields.get(name), type_)]
    if wrong:
        raise UserError(f"{source} is corrupt: {', '.join(wrong)} missing or of the wrong type; {cure}")
    return kind(**{name: fields[name] for name in types})


def now() -> datetime:
    """The present time in UTC."""
    return datetime.now(UTC)


def timestamp(time: datetime) -> str:
    """`time` in ISO 8601, to the microsecond."""
    return time.isoformat(timespec="microseconds")

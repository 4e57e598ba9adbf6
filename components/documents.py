"""JSON documents as typed structures: one reader, one writer and one form of error for all of them."""

import hashlib
import json
import re
import threading
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, dataclass_transform

import msgspec

from components.errors import UserError
from components.outputs import write_text

# A time with its offset from UTC; in JSON, ISO 8601 to the microsecond.
Timestamp = Annotated[datetime, msgspec.Meta(tz=True)]

# The keys under which documents state the version of their layout.
_FORMAT_KEYS = ("format", "schema_version")

# The key of the checksum of all others.
CHECKSUM = "checksum"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ERROR = re.compile(r"(?P<text>.*?)(?: - at `\$\.?(?P<path>.*)`)?")
_MISSING = re.compile(r"Object missing required field `(.*)`")


class _DocumentType(msgspec.StructMeta):
    """Makes every subclass of `Document` frozen, with keyword-only arguments."""

    def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        return super().__new__(mcs, name, bases, namespace, **{"frozen": True, "kw_only": True, **options})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Document(msgspec.Struct, frozen=True, kw_only=True, metaclass=_DocumentType):
    """Base of the JSON documents of all artifacts, and of the objects nested in them.

    The fields are the document's keys, in the order in which they are written. Keys that a class does not
    declare are ignored: a newer release may have added them. A field with a default may be absent. A field
    `format: Literal[1] = 1` (or `schema_version`) states the version of the layout: another one, or none, is
    refused by name.
    """

    # Earlier names of fields, by which older releases wrote them: old name -> field.
    _aliases: ClassVar[dict[str, str]] = {}
    _written_by: ClassVar[str] = ""  # the command that writes the document, for the cure in messages
    # Whether `encode` adds a checksum. One that is there is compared, also with keys that are not declared.
    _checksummed: ClassVar[bool] = False


D = TypeVar("D", bound=Document)


def read_document(path: str | Path, kind: type[D], cure: str = "") -> D:
    """Reads the file at `path` as a document of type `kind`.

    `cure` is for the message, if the document is absent or broken; "" names the command that writes it.
    Raises `UserError` if there is no such file, or `decode` refuses its content.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        writer = f"`{kind._written_by}`" if kind._written_by else "the step before"
        raise UserError(
            f"cannot read {path}: {error.strerror}; {cure or f'name the directory that {writer} wrote'}"
        ) from error
    return decode(data, kind, str(path), cure)


def decode(data: bytes, kind: type[D], source: str, cure: str = "") -> D:
    """Returns the document of type `kind` in `data`, JSON in UTF-8.

    Raises `UserError` if `data` is not JSON, or a field is missing or of another type; its message states
    `source`, where `data` comes from, and `cure`; "" names the command that writes the document.
    """
    writer = f"`{kind._written_by}`" if kind._written_by else "the step that writes it"
    cure = cure or f"run {writer} again"
    try:
        fields = msgspec.json.decode(data.removeprefix(_BYTE_ORDER_MARK))
        _check_format(fields, kind)
        _prepare(kind)
        document = msgspec.convert(_renamed(fields, kind), kind, str_keys=True)
        if kind._checksummed and fields.get(CHECKSUM, checksum_of(fields)) != checksum_of(fields):
            raise msgspec.ValidationError("It is damaged: its content does not have its checksum")
        return document
    except RecursionError as error:
        raise UserError(f"{source} is nested too deeply; {cure}") from error
    except msgspec.ValidationError as error:
        raise UserError(f"{source}: {_explain(str(error))}; {cure}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{source} is not JSON in UTF-8 ({error}); {cure}") from error


_preparing = threading.Lock()


@cache
def _is_prepared(kind: type[Document]) -> bool:
    msgspec.json.Decoder(kind)
    return True


def _prepare(kind: type[Document]) -> None:
    """Lets msgspec look at a type in one thread, at its first use.

    msgspec 0.22 ends the process (segmentation fault) where another thread meets a type that is half known.
    """
    with _preparing:
        _is_prepared(kind)


def decode_object(data: bytes, source: str, cure: str) -> dict[str, Any]:
    """Returns the JSON object in `data`, whatever its keys. Raises `UserError`, as `decode` does."""
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except RecursionError as error:
        raise UserError(f"{source} is nested too deeply; {cure}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{source} is no JSON object ({error}); {cure}") from error


def checksum_of(fields: Mapping[str, Any]) -> str:
    """Returns the SHA-256, in hexadecimal, of the canonical form of a document without its checksum.

    That is JSON in ASCII, with keys sorted at every depth and no spaces.
    """
    covered = {name: value for name, value in fields.items() if name != CHECKSUM}
    return hashlib.sha256(json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def encode(document: Document) -> bytes:
    """Returns `document` as indented JSON. NaN and infinity are refused (ValueError)."""
    text = _text(msgspec.to_builtins(document, builtin_types=(datetime,), enc_hook=_number))
    if document._checksummed:
        fields = msgspec.json.decode(text)
        text = _text({**fields, CHECKSUM: checksum_of(fields)})
    return f"{text}\n".encode()


def write_document(path: str | Path, document: Document) -> None:
    """Writes `document` as `encode` does, whole or not at all."""
    write_text(path, encode(document).decode())


def plain(document: Document) -> dict[str, Any]:
    """Returns `document` as dicts, lists, text and numbers, as JSON would have them, without a checksum."""
    values: dict[str, Any] = json.loads(encode(document))
    if document._checksummed:
        del values[CHECKSUM]
    return values


def schema(kind: type[Document]) -> dict[str, Any]:
    """Returns the JSON schema of the documents of type `kind`."""
    return msgspec.json.schema(kind)


def now() -> datetime:
    """Returns the present time in UTC."""
    return datetime.now(UTC)


def _text(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False, default=_timestamp_text)


def _number(value: Any) -> float:
    """NumPy's float64 is a float, but not of that very type."""
    if isinstance(value, float):
        return float(value)
    raise NotImplementedError(f"a document cannot hold a {type(value).__name__}")


def _timestamp_text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def _check_format(fields: Any, kind: type[Document]) -> None:
    """Refuses another layout before a field that it may have changed is found to be wrong."""
    for name, hint in _hints(kind).items():
        if name in _FORMAT_KEYS and typing.get_origin(hint) is Literal and isinstance(fields, dict):
            if name not in fields:
                raise msgspec.ValidationError(f"Object missing required field `{name}`")
            known, found = typing.get_args(hint), fields[name]
            if found not in known:
                raise msgspec.ValidationError(
                    f"expected {' or '.join(map(str, known))}, got {json.dumps(found)[:40]}, the layout of "
                    f"another release - at `$.{name}`"
                )


@cache
def _hints(kind: type[Document]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {name: hints[name] for name in kind.__struct_fields__}


def _renamed(value: Any, hint: Any) -> Any:
    """Returns `value`, which `hint` declares, with the earlier names of fields replaced at every depth."""
    if not _has_aliases(hint):
        return value
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (Annotated, typing.Union, types.UnionType):
        for argument in arguments:
            value = _renamed(value, argument)
    elif isinstance(value, dict) and arguments:
        value = {key: _renamed(one, arguments[-1]) for key, one in value.items()}
    elif isinstance(value, dict):
        hints, aliases = _hints(hint), hint._aliases
        earlier = {aliases[name]: one for name, one in value.items() if name in aliases}
        present = {name: one for name, one in value.items() if name not in aliases}
        value = {name: _renamed(one, hints.get(name)) for name, one in {**earlier, **present}.items()}
    elif isinstance(value, list):
        value = [_renamed(one, arguments[0]) for one in value]
    return value


@cache
def _has_aliases(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, Document):
        return bool(hint._aliases) or any(_has_aliases(inner) for inner in _hints(hint).values())
    return any(_has_aliases(argument) for argument in typing.get_args(hint))


def _explain(error: str) -> str:
    """Returns msgspec's message in our form: "field `a.b`: expected int, got str"."""
    match = _ERROR.fullmatch(error)
    text, path = (match["text"], match["path"] or "") if match else (error, "")
    if missing := _MISSING.fullmatch(text):
        path, text = f"{path}.{missing[1]}".lstrip("."), "it is missing"
    elif "datetime" in text:
        text = "expected a time in ISO 8601 with its offset from UTC"
    text = text.replace("`", "")
    text = f"{text[:1].lower()}{text[1:]}"
    return f"field `{path}`: {text}" if path else text

"""Documents come back as written; one that cannot be read is named with its field and a cure."""

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
import pytest

from components.documents import (
    Document,
    Timestamp,
    decode,
    encode,
    plain,
    read_document,
    schema,
    write_document,
)
from components.errors import UserError
from components.outputs import write_json


class Part(Document):
    _aliases: ClassVar[dict[str, str]] = {"masked": "mask_rate"}

    size: int
    mask_rate: float = 0.0


class Whole(Document):
    _aliases: ClassVar[dict[str, str]] = {"members": "ensemble_size"}
    _written_by: ClassVar[str] = "twotower make"

    format: Literal[1] = 1
    name: str
    ensemble_size: int = 1
    time: Timestamp
    parts: dict[str, Part] = msgspec.field(default_factory=dict)
    first: Part | None = None
    others: list[Part] = msgspec.field(default_factory=list)
    numbers: dict[str, float | None] = msgspec.field(default_factory=dict)
    anything: Any = None


TIME = datetime(2026, 11, 24, 10, 59, 0, tzinfo=UTC)
FIELDS = {"format": 1, "name": "a", "time": "2026-11-24T10:59:00.000000+00:00"}


def read(**fields: Any) -> Whole:
    return decode(json.dumps({**FIELDS, **fields}).encode(), Whole, "whole.json")


def test_a_document_comes_back_as_it_was_written(tmp_path: Path) -> None:
    document = Whole(
        name="é\u2028",
        time=TIME,
        parts={"a/b": Part(size=1)},
        first=Part(size=2, mask_rate=0.5),
        others=[Part(size=3)],
        numbers={"rmse": 0.1 + 0.2, "coverage": None},
        anything={"a": [1, 2.0, None, True, 2**63], "b": {}},
    )
    write_document(tmp_path / "whole.json", document)
    assert read_document(tmp_path / "whole.json", Whole) == document


def test_a_document_is_laid_out_as_write_json_does(tmp_path: Path) -> None:
    document = Whole(name="é", time=TIME, first=Part(size=2), anything=[], numbers={"x": np.float64(0.1)})
    write_document(tmp_path / "document.json", document)
    write_json(tmp_path / "plain.json", plain(document))
    assert (tmp_path / "document.json").read_bytes() == (tmp_path / "plain.json").read_bytes()
    assert list(plain(document)) == list(Whole.__struct_fields__)
    assert plain(document)["time"] == FIELDS["time"]


def test_keys_of_a_later_release_are_ignored() -> None:
    assert read(later={"a": 1}, first={"size": 1, "later": 2}).first == Part(size=1)


def test_earlier_names_of_fields_are_read_at_every_depth() -> None:
    old = {"size": 1, "masked": 0.25}
    new = Part(size=1, mask_rate=0.25)
    document = read(members=3, first=old, parts={"a": old}, others=[old], anything={"members": 2})
    assert (document.ensemble_size, document.first, document.parts) == (3, new, {"a": new})
    assert document.others == [new]
    assert document.anything == {"members": 2}
    assert read(members=3, ensemble_size=2).ensemble_size == 2


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"name": 1}, "field `name`: expected str, got int"),
        ({"first": {"size": "1"}}, "field `first.size`: expected int, got str"),
        ({"others": [{"size": 1}, {}]}, r"field `others\[1\].size`: it is missing"),
        ({"parts": {"a": {"size": 1.5}}}, r"field `parts\[...\].size`: expected int, got float"),
        ({"numbers": {"rmse": "good"}}, r"field `numbers\[...\]`: expected float | null, got str"),
        ({"time": "yesterday"}, "field `time`: expected a time in ISO 8601"),
        ({"time": "2026-11-24T10:59:00"}, "field `time`: expected a time in ISO 8601 with its offset"),
        ({"format": 2, "name": 1}, "field `format`: expected 1, got 2, the layout of another release"),
        ({"format": None}, "field `format`: expected 1, got null"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UserError, match=rf"^whole.json: {complaint}.*; run `twotower make` again$"):
        read(**fields)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(
        UserError, match=r"^whole.json: field `time`: it is missing; run `twotower make` again$"
    ):
        decode(b'{"format": 1, "name": "a"}', Whole, "whole.json")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", ": is not JSON"),
        (b'{"format": 1, "name', "is not JSON"),
        (b'{"format": 1} 2', "is not JSON"),
        (b'{"format": 1, "name": "\xff"}', "is not JSON in UTF-8"),
        (b'{"numbers": {"rmse": NaN}}', "is not JSON"),
        (b'{"numbers": {"rmse": Infinity}}', "is not JSON"),
        (b'{"numbers": {"rmse": 1e999}}', "number out of range"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b"[]", "expected object, got array"),
        (b"null", "expected object, got null"),
    ],
)
def test_what_is_no_document_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(UserError, match=rf"^whole\.json:? .*{complaint.lstrip(': ')}.*; the cure$"):
        decode(data, Whole, "whole.json", "the cure")


def test_an_absent_file_is_named_with_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*a\.json: No such file .* `twotower make` wrote$"):
        read_document(tmp_path / "a.json", Whole)
    with pytest.raises(UserError, match=r"Is a directory; name the directory that the step before wrote$"):
        read_document(tmp_path, Part)


def test_a_byte_order_mark_is_passed_over() -> None:
    assert decode(b"\xef\xbb\xbf" + json.dumps({"size": 1}).encode(), Part, "part.json") == Part(size=1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(Part(size=1, mask_rate=value))


def test_a_document_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match="immutable"):
        Part(size=1).size = 2  # type: ignore[misc]
    assert msgspec.structs.replace(Part(size=1), size=2) == Part(size=2)


def test_the_schema_names_the_fields() -> None:
    definitions = schema(Whole)["$defs"]
    assert set(definitions) == {"Whole", "Part"}
    assert definitions["Whole"]["required"] == ["name", "time"]


@pytest.mark.process
def test_importing_documents_loads_msgspec_alone() -> None:
    # What an installation in place loads at every start does not count.
    code = "import sys; before = {*sys.modules}; import components.documents; print(*{*sys.modules} - before)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    roots = {name.partition(".")[0] for name in loaded.split()} - set(sys.stdlib_module_names)
    assert roots <= {"components", "msgspec", "typing_extensions"}


_AT_ONCE = """
import threading, time
from components.documents import Document, decode

def slow():
    time.sleep(0.2)
    return int

class Inner(Document):
    value: "slow()"

class Outer(Document):
    inner: Inner
    more: int

found = []

def read():
    document = decode(b'{"inner": {"value": 1}, "more": 2}', Outer, "x")
    found.append(document.inner.value)

threads = [threading.Thread(target=read) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(*found)
"""


@pytest.mark.process
def test_threads_may_read_the_first_documents_of_a_type_at_once():
    done = subprocess.run([sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1"] * 4

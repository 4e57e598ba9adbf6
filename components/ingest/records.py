"""Records of delimited text, whose fields in quotes may hold line breaks, as long as they are closed."""

import csv
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

# The csv module refuses longer fields.
_LONGEST_FIELD = 1 << 20
_LINE_END = re.compile(r"\r\n|\r|\n")
# How the csv module says that a field in quotes goes on at the end of the text.
_OPEN = "unexpected end of data"


class RecordError(Exception):
    """A quote that is not closed, or a field that is too long; `line`, from 1, is where it begins."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


class TableRecord(NamedTuple):
    """The fields of a record, and the line, from 1, on which it begins."""

    line: int
    fields: list[str]


def records(text: str, delimiter: str) -> Iterator[TableRecord]:
    r"""Yields the records of `text` that are not blank.

    A quote inside quotes is doubled, or written as \". Raises `RecordError`.
    """
    csv.field_size_limit(_LONGEST_FIELD)
    lines = _LINE_END.split(text)
    place = 0
    while place < len(lines):
        fields, count = lines[place].split(delimiter), 1
        if '"' in lines[place] and len(delimiter) == 1:
            fields, count = _record(lines, place, delimiter)
        if lines[place]:
            yield TableRecord(place + 1, fields)
        place += count


def _record(lines: Sequence[str], place: int, delimiter: str) -> tuple[list[str], int]:
    """Returns the fields of the record that begins at `lines[place]`, and the number of its lines."""
    first = lines[place]
    written = [first, first.replace(r"\"", '""')] if r"\"" in first else [first]
    problems = []
    for text in written:
        try:
            return _fields([text], delimiter), 1
        except csv.Error as error:
            problems.append(str(error))
    if problems[0] != _OPEN:  # text after the closing quote, which belongs to the field
        try:
            return _fields([first], delimiter, strict=False), 1
        except csv.Error as error:
            raise RecordError(place + 1, str(error)) from error
    # It goes on below. Of a file with \" in it, each line may have to be read so.
    for escaped in (False, True):
        below = (lines[number] for number in range(place, len(lines)))
        pulled = _Counted(line.replace(r"\"", '""') if escaped else line for line in below)
        try:
            return _fields(pulled, delimiter), pulled.count
        except csv.Error:
            continue
    behind = first.rpartition('"')[2]
    raise RecordError(place + 1, f"a quote opens before {behind[:40]!r} and is not closed")


class _Counted(Iterator[str]):
    """Counts the lines that are taken from an iterator, and gives them their line ends."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.count = 0

    def __next__(self) -> str:
        line = next(self._lines)
        self.count += 1
        return f"{line}\n"


def _fields(lines: Sequence[str] | Iterator[str], delimiter: str, *, strict: bool = True) -> list[str]:
    """Returns the fields of one record. Raises `csv.Error` if its quotes are not as they should be."""
    return next(csv.reader(iter(lines), delimiter=delimiter, strict=strict))

"""Rows of a ratings file over several lines, because a quoted field that is not used holds line breaks."""

import csv
import io
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from components.ingest.inputs import InputFile

# A row over more lines than this has a quote that is not closed.
_MOST_LINES = 200


class RowShape(NamedTuple):
    """Fields of a row."""

    delimiter: str
    fields: int  # their number
    used: Collection[int]  # the places, from 1, of those that are read


def join_rows(file: InputFile, shape: RowShape, target: Path) -> bool:
    """Writes a copy of `file` in which each such row is one line, with blank lines below for those it took.

    So the number of a line stays that of the row's first one. Returns false if there is no such row, without
    writing. A row that is not whole as a table of CSV, or has a line break in a column that is used, stays.
    """
    if not any(b'"' in piece for piece in file.pieces()):
        return False
    found = False
    with target.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as copy:
        for rows in _grouped(file, shape):
            found |= len(rows) > 1
            copy.write(" ".join(line.rstrip("\n") for line in rows) + "\n" * len(rows))
    return found


def _grouped(file: InputFile, shape: RowShape) -> Iterator[Sequence[str]]:
    """Yields the lines of each row."""
    with (
        file.stream() as stream,
        io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline=None) as text,
    ):
        ahead: deque[str] = deque()
        while line := ahead.popleft() if ahead else text.readline():
            if line.count('"') % 2 == 0:
                yield [line]
                continue
            lines = [line]
            while len(lines) < _MOST_LINES and (line := ahead.popleft() if ahead else text.readline()):
                lines.append(line)
                if line.count('"') % 2:
                    break
            if _is_row(lines, shape):
                yield lines
            else:
                yield lines[:1]
                ahead.extendleft(reversed(lines[1:]))


def _is_row(lines: Sequence[str], shape: RowShape) -> bool:
    reader = csv.reader(lines, delimiter=shape.delimiter, strict=True, skipinitialspace=True)
    try:
        fields = next(reader)
    except (csv.Error, StopIteration):
        return False
    whole = reader.line_num == len(lines) and len(fields) == shape.fields
    return whole and not any("\n" in fields[place - 1] for place in shape.used)

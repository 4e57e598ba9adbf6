"""Rows that are not kept: listed with file and line, counted by reason, too many of them refused."""

import bisect
import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import UserError
from components.ingest.inputs import InputFile
from components.ingest.lines import SCAN, scan_parameters
from components.ingest.reasons import HARMLESS, Reason

_COLUMNS = ("file", "line", "reason", "text")
_LONGEST_TEXT = 1000


class Reject(NamedTuple):
    """One line that is not kept."""

    file: str
    line: int
    reason: Reason
    text: str


@dataclass
class Rejects:
    """How many rows were rejected, and the first one for each reason."""

    by_reason: Counter[Reason] = field(default_factory=Counter)
    examples: dict[Reason, Reject] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of them."""
        return self.by_reason.total()

    @property
    def harmful(self) -> int:
        """Those that count towards `--max-reject-rate`: all but duplicates and leaks into the test file."""
        return self.total - sum(self.by_reason[reason] for reason in HARMLESS)

    def check_rate(self, rows_read: int, greatest: float) -> None:
        """Raises `UserError` if more than the share `greatest` of the rows are bad."""
        if self.harmful <= greatest * rows_read:
            return
        reasons = [reason for reason, _ in self.by_reason.most_common() if reason not in HARMLESS][:3]
        counts = ", ".join(f"{reason.text} {self.by_reason[reason]:,}" for reason in reasons)
        first = self.examples[reasons[0]]
        raise UserError(
            f"{self.harmful:,} of {rows_read:,} rows ({self.harmful / rows_read:.1%}) must be rejected, more than "
            f"--max-reject-rate {greatest:g}: {counts}; the first: {first.file} line {first.line} "
            f"({first.reason.text}): {first.text[:80]!r}; mend the file, or raise --max-reject-rate"
        )


def write(connection: Any, files: Sequence[InputFile], target: Path) -> Rejects:
    """Writes rejects.csv, in the order of files and lines; returns what it holds.

    Args:
      connection: holds the tables `files`, `rejected` and `unread`.
      files: those that were read, in their order: the text of a line is read from them again.
      target: the file to write.
    """
    rejects = Rejects()
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for number, file in enumerate(files):
            for reject in _of_file(connection, number, file):
                rejects.by_reason[reject.reason] += 1
                rejects.examples.setdefault(reject.reason, reject)
                writer.writerow((*reject[:2], reject.reason.text, reject.text[:_LONGEST_TEXT]))
    return rejects


def _of_file(connection: Any, number: int, file: InputFile) -> Iterator[Reject]:
    unread = connection.execute(
        "SELECT line, text FROM unread WHERE file = ? ORDER BY line", [number]
    ).fetchall()
    found = [Reject(file.name, line, Reason.NOT_UTF_8, text.strip("\r\n")) for line, text in unread]
    places = _Places([line for line, _ in unread])
    found += [
        Reject(file.name, places.line(place), Reason(reason), text or "")
        for place, reason, text in _rejected(connection, number, file)
    ]
    yield from sorted(found, key=lambda reject: reject.line)


def _rejected(connection: Any, number: int, file: InputFile) -> list[tuple[int, int, str | None]]:
    """The rejected rows of a file: place among its rows, reason, text of the line."""
    bounds = [row for (row,) in connection.execute("SELECT first_row FROM files ORDER BY file").fetchall()]
    first, after = list(pairwise([*bounds, 1 << 62]))[number]
    rows = connection.execute(
        "SELECT row - $first, reason FROM rejected WHERE row >= $first AND row < $after ORDER BY row",
        {"first": first, "after": after},
    ).fetchall()
    if not rows or file.is_parquet:
        return [(place, reason, None) for place, reason in rows]
    texts = connection.execute(
        f"""
        SELECT place, line FROM (SELECT line, row_number() OVER () - 1 AS place FROM {SCAN})
        WHERE place IN (SELECT row - $first FROM rejected WHERE row >= $first AND row < $after)
        """,
        {**scan_parameters(file), "first": first, "after": after},
    ).fetchall()
    connection.execute("DELETE FROM reject_errors")
    text_of = dict(texts)
    return [(place, reason, text_of.get(place)) for place, reason in rows]


class _Places:
    """From a row's place among the rows of its file to its line; some lines could not be read as rows."""

    def __init__(self, unread: Sequence[int]) -> None:
        # How many rows stand before each unread line.
        self._rows_before = [line - 1 - place for place, line in enumerate(unread)]

    def line(self, place: int) -> int:
        """The line, from 1, of the row at `place`, from 0."""
        return place + 1 + bisect.bisect_right(self._rows_before, place)

"""Rejected rows: their reasons, rejects.csv with file and line of each, counts, and the limit."""

import bisect
import csv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from components.ingest.database import one_row
from components.ingest.inputs import InputFile


class RejectReason(IntEnum):
    """Class of a line: below 0 if it is no rating, or only left out; 0 if it is kept; above 0 if rejected."""

    FORGOTTEN_USER = -6
    NOT_RATED = -5
    LEFT_OUT = -4
    MOVIE_LINE = -3
    HEADER = -2
    BLANK = -1
    FINE = 0
    MALFORMED_LINE = 1
    NOT_UTF_8 = 2
    NUL_BYTE = 3
    NO_USER = 4
    NO_MOVIE = 5
    NO_RATING = 6
    RATING_NOT_A_NUMBER = 7
    TIME_NOT_UNDERSTOOD = 8
    RATING_OFF_THE_SCALE = 9
    UNKNOWN_MOVIE = 10
    DUPLICATE = 11
    ALSO_IN_TEST = 12
    LINE_TOO_LONG = 13
    TIME_IN_ANOTHER_UNIT = 14

    @property
    def text(self) -> str:
        """Text for people and rejects.csv."""
        return self.name.lower().replace("_", " ")


# Normal in real logs, so they are listed and counted, but do not make a file bad.
# Rows that nobody wants, and which are in no list either.
UNLISTED = frozenset({RejectReason.NOT_RATED, RejectReason.FORGOTTEN_USER})
HARMLESS = frozenset({RejectReason.DUPLICATE, RejectReason.ALSO_IN_TEST}) | UNLISTED

_CURE = "correct the file, or raise --max-reject-rate"
_COLUMNS = ("file", "line", "reason", "text")
_LONGEST_TEXT = 1000


class Reject(NamedTuple):
    """One line that is not kept."""

    file: str
    line: int
    reason: RejectReason
    text: str


@dataclass
class Rejects:
    """Number of rejected rows, and the first one, for each reason."""

    by_reason: Counter[RejectReason] = field(default_factory=Counter)
    examples: dict[RejectReason, Reject] = field(default_factory=dict)
    harmless: frozenset[RejectReason] = HARMLESS  # reasons that do not count for `--max-reject-rate`

    @property
    def total(self) -> int:
        """Number of all rejected rows."""
        return self.by_reason.total()

    @property
    def harmful(self) -> int:
        """Number of rejected rows that count for `--max-reject-rate`: all but the harmless ones."""
        return self.total - sum(self.by_reason[reason] for reason in self.harmless)

    def count_unlisted(self, reason: RejectReason, rows: int) -> None:
        """Counts rows that are not listed in rejects.csv."""
        if rows:
            self.by_reason[reason] += rows

    def excess(self, rows_read: int, greatest: float, cures: Mapping[RejectReason, str]) -> str | None:
        """Returns a message if more than the share `greatest` of the rows are harmful, else None.

        It ends with the entry of `cures` for the most frequent reason, if there is one.
        """
        rows_read -= sum(self.by_reason[reason] for reason in UNLISTED)
        if self.harmful <= greatest * rows_read:
            return None
        reasons = [reason for reason, _ in self.by_reason.most_common() if reason not in self.harmless][:3]
        counts = ", ".join(f"{reason.text} {self.by_reason[reason]:,}" for reason in reasons)
        first = self.examples[reasons[0]]
        return (
            f"{self.harmful:,} of {rows_read:,} rows ({self.harmful / rows_read:.1%}) must be rejected, "
            f"more than --max-reject-rate {greatest:g}: {counts}; the first: {first.file} line {first.line} "
            f"({first.reason.text}): {first.text[:80]!r}; {cures.get(reasons[0], _CURE)}"
        )


def write(
    connection: Any, files: Sequence[InputFile], target: Path, is_secret: Callable[[str], bool]
) -> Rejects:
    """Writes rejects.csv, in the order of files and lines, without texts that are secret; returns its counts.

    `connection` holds the tables `files`, `rejected`, `blank` and `unread`; `files` are those that were read,
    in their order: the text of a line is read from them again.
    """
    rejects = Rejects()
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for number in _with_rejects(connection):
            for reject in _of_file(connection, number, files[number]):
                if is_secret(reject.text):
                    reject = reject._replace(text="")
                rejects.by_reason[reject.reason] += 1
                rejects.examples.setdefault(reject.reason, reject)
                writer.writerow((*reject[:2], reject.reason.text, reject.text[:_LONGEST_TEXT]))
    return rejects


def _with_rejects(connection: Any) -> list[int]:
    """Lists the numbers of the files that have rejects: of thousands of parts, most have none."""
    found = connection.execute(
        """
        SELECT DISTINCT file FROM rejected ASOF JOIN (
            SELECT first_row, max(file) AS file FROM files GROUP BY first_row  -- those before it are empty
        ) AS starts ON rejected.row >= starts.first_row
        UNION SELECT file FROM unread ORDER BY file
        """
    )
    return [number for (number,) in found.fetchall()]


def _of_file(connection: Any, number: int, file: InputFile) -> list[Reject]:
    """Lists the rejects of one file, by line."""
    found = _numbered(connection, number)
    if file.is_parquet:
        return [Reject(file.name, place + 1, reason, "") for place, reason in found.items()]
    # The text of a line is not kept while the file is read: it would double what is held.
    return [
        Reject(file.name, line, found[place], text)
        for place, (line, text) in enumerate(file.lines() if found else ())
        if place in found
    ]


def _numbered(connection: Any, number: int) -> dict[int, RejectReason]:
    """Maps the place of each reject of a file, among the lines that are not blank, to its reason.

    Blank lines are not counted, because the engine finds one between a CR and an LF where other line ends
    occur in the same file.
    """
    first, after = one_row(
        connection,
        """
        SELECT min(first_row) FILTER (file = $file), coalesce(min(first_row) FILTER (file > $file), $never)
        FROM files
        """,
        {"file": number, "never": 1 << 62},
    )
    bounds = {"first": first, "after": after}
    blanks = connection.execute(
        "SELECT row - $first FROM blank WHERE row >= $first AND row < $after ORDER BY row", bounds
    ).fetchall()
    blank = [row for (row,) in blanks]
    unread = connection.execute(
        "SELECT line, reason FROM unread WHERE file = ? ORDER BY line", [number]
    ).fetchall()
    # How many rows stand before each line that could not be read as a row.
    rows_before = [line - 1 - earlier for earlier, (line, _) in enumerate(unread)]
    found = {
        before - bisect.bisect_left(blank, before) + earlier: RejectReason(unread[earlier][1])
        for earlier, before in enumerate(rows_before)
    }
    rejected = connection.execute(
        "SELECT row - $first, reason FROM rejected WHERE row >= $first AND row < $after", bounds
    ).fetchall()
    for row, reason in rejected:
        place = row - bisect.bisect_left(blank, row) + bisect.bisect_right(rows_before, row)
        found[place] = RejectReason(reason)
    return dict(sorted(found.items()))

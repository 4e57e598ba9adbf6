"""Rows that are not kept: listed with file and line, counted by reason, too many of them refused."""

import bisect
import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import UserError
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
        return self.by_reason.total()

    @property
    def harmful(self) -> int:
        """Rows that count towards --max-reject-rate: all but duplicates."""
        return self.total - sum(self.by_reason[reason] for reason in HARMLESS)

    def check_rate(self, rows_read: int, greatest: float) -> None:
        """Raises `UserError` if more than the share `greatest` of the rows are bad."""
        if not self.harmful or self.harmful <= greatest * rows_read:
            return
        reasons = [reason for reason, _ in self.by_reason.most_common() if reason not in HARMLESS]
        first = self.examples[reasons[0]]
        raise UserError(
            f"{self.harmful:,} of {rows_read:,} rows ({self.harmful / rows_read:.1%}) must be rejected, "
            f"which is more than --max-reject-rate {greatest:g}: "
            + ", ".join(f"{reason.text} {self.by_reason[reason]:,}" for reason in reasons[:3])
            + f"; the first: {first.file} line {first.line} {first.text[:80]!r} ({first.reason.text}); "
            "mend the file or raise --max-reject-rate"
        )


def write(connection: Any, file: Path) -> Rejects:
    """Writes rejects.csv in the order of files and lines; returns what it holds."""
    rejects = Rejects()
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for reject in _rejects(connection):
            rejects.by_reason[reject.reason] += 1
            rejects.examples.setdefault(reject.reason, reject)
            writer.writerow(reject._replace(reason=reject.reason.text, text=reject.text[:_LONGEST_TEXT]))
    return rejects


def _rejects(connection: Any) -> Iterator[Reject]:
    files = connection.execute("SELECT file, name, first_row FROM files ORDER BY file").fetchall()
    for file, name, first_row in files:
        unread = connection.execute(
            "SELECT line, reason, text FROM unread WHERE file = ? ORDER BY line", [file]
        ).fetchall()
        lines = _Lines(first_row, [line for line, _, _ in unread])
        found = [Reject(name, line, Reason(reason), text.strip("\n")) for line, reason, text in unread]
        found += [
            Reject(name, lines.of(row), Reason(reason), text)
            for row, reason, text in _bad_rows(connection, file)
        ]
        yield from sorted(found, key=lambda reject: reject.line)


def _bad_rows(connection: Any, file: int) -> list[tuple[int, int, str]]:
    """The rejected rows of a file: place in `rows`, reason, text."""
    rows: list[tuple[int, int, str]] = connection.execute(
        f"""
        SELECT rows.rowid, coalesce(
                nullif(rows.reason, 0), judged.reason,
                CASE WHEN catalogue.movie_id IS NULL
                THEN {Reason.UNKNOWN_MOVIE:d} ELSE {Reason.RATING_OFF_THE_SCALE:d} END
            ) AS verdict,
            coalesce(text, concat_ws(',', user_id, rows.movie_id, rows.rating))
        FROM rows
        LEFT JOIN judged ON judged.row = rows.rowid
        LEFT JOIN catalogue ON catalogue.movie_id = rows.movie_id
        WHERE file = ? AND verdict > 0
        """,
        [file],
    ).fetchall()
    return rows


class _Lines:
    """From places in `rows` to lines of the file, which also has lines that are not in `rows`."""

    def __init__(self, first_row: int, unread: list[int]) -> None:
        self._first_row = first_row
        # The i-th unread line stands before all rows from here on.
        self._rows_before = [line - 1 - place for place, line in enumerate(unread)]

    def of(self, row: int) -> int:
        place = row - self._first_row
        return place + 1 + bisect.bisect_right(self._rows_before, place)

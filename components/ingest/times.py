"""Times of ratings: seconds since 1970 from numbers in any unit, dates, and times of day with their zones."""

from collections.abc import Iterator
from enum import IntEnum
from itertools import islice
from typing import Any

from components.errors import UserError


class TimeUnit(IntEnum):
    """Unit of a time that is a number."""

    NONE = 0  # so near 1970 that it may be any; seconds
    DATES = 1  # of eight digits
    SECONDS = 2
    MILLISECONDS = 3
    MICROSECONDS = 4
    NANOSECONDS = 5

    @property
    def text(self) -> str:
        """Text for people."""
        return "a date" if self is TimeUnit.DATES else f"in {self.name.lower()}"


MACROS = f"""
    CREATE MACRO eight_digits(number) AS
        CASE WHEN number BETWEEN 19000101 AND 21001231 THEN try_strptime(number::VARCHAR, '%Y%m%d') END;
    CREATE MACRO within(number, bound) AS number > -bound AND number < bound;
    CREATE MACRO time_unit(number) AS CASE
        WHEN number BETWEEN 100_000_000 AND 99_999_999_999 THEN {TimeUnit.SECONDS:d}  -- nearly all are here
        WHEN number IS NULL OR within(number, 10_000_000) THEN {TimeUnit.NONE:d}
        WHEN eight_digits(number) IS NOT NULL THEN {TimeUnit.DATES:d}
        WHEN within(number, 100_000_000_000) THEN {TimeUnit.SECONDS:d}
        WHEN within(number, 100_000_000_000_000) THEN {TimeUnit.MILLISECONDS:d}
        WHEN within(number, 100_000_000_000_000_000) THEN {TimeUnit.MICROSECONDS:d}
        ELSE {TimeUnit.NANOSECONDS:d} END::TINYINT;
    CREATE MACRO seconds_of_number(number) AS CASE time_unit(number)
        WHEN {TimeUnit.DATES:d} THEN epoch(eight_digits(number))::BIGINT
        WHEN {TimeUnit.MILLISECONDS:d} THEN number // 1_000
        WHEN {TimeUnit.MICROSECONDS:d} THEN number // 1_000_000
        WHEN {TimeUnit.NANOSECONDS:d} THEN number // 1_000_000_000
        ELSE number END;
    CREATE MACRO seconds_of_date(text) AS epoch(CASE
        -- A cast to TIMESTAMP is fast, but passes over what stands behind the time of day.
        WHEN strlen(text) = 10 AND text[8] = text[5] OR strlen(text) = 19 AND text[17] = ':'
        THEN try_cast(text AS TIMESTAMP)
        WHEN upper(right(text, 2)) IN ('AM', 'PM')
        THEN try_strptime(
            replace(text, '/', '-'),
            ['%Y-%m-%d %I:%M:%S %p', '%Y-%m-%d %I:%M:%S%p', '%Y-%m-%d %I:%M %p', '%Y-%m-%d %I:%M%p']
        )
        ELSE try_cast(regexp_replace(text, ' +([+-]|[zZ]$)', '\\1') AS TIMESTAMPTZ) END)::BIGINT;
"""
_NUMBER = "CASE WHEN time_text LIKE '____-%' THEN NULL ELSE try_cast(time_text AS BIGINT) END"
_WITHOUT = "SELECT *, 0 AS unit, NULL::BIGINT AS time FROM ({})"
_FORMATTED = "SELECT *, 0 AS unit, epoch(try_strptime(time_text, $time_format))::BIGINT AS time FROM ({})"
_UNDERSTOOD = f"""
    SELECT *, time_unit(number) AS unit,
        CASE WHEN number IS NULL THEN seconds_of_date(time_text) ELSE seconds_of_number(number) END AS time
    FROM (SELECT *, {_NUMBER} AS number FROM ({{}}))
"""
# As many times at the start of a file show their unit.
_FIRST = 1000
_BATCH = 100_000


def query(
    connection: Any, texts: Iterator[tuple[int, str]] | None, time_format: str
) -> tuple[str, dict[str, Any]]:
    """Returns a query that adds the columns `time` and `unit` to rows with `time_text`, and its parameters.

    The rows stand at `{}`. The parameter `unit` is that of the first times of the file, -1 where none is
    seen.

    Args:
      texts: the times of the file, each with its line; None if it has none.
      time_format: form of all times, as strptime writes it; "" for the usual ones.
    """
    if texts is None:
        return _WITHOUT, {"unit": TimeUnit.NONE}
    if time_format:
        return _FORMATTED, {"unit": TimeUnit.NONE, "time_format": time_format}
    first = _numbers(connection, islice(texts, _FIRST))
    return _UNDERSTOOD, {"unit": next((unit for _, _, unit in first), -1)}


def refuse_two_units(connection: Any, texts: Iterator[tuple[int, str]], file: str) -> None:
    """Raises `UserError` if times of a file, which are `texts`, are in two units, with a line of each."""
    found: dict[TimeUnit, str] = {}
    for line, text, unit in _numbers(connection, texts):
        found.setdefault(unit, f"{text} in line {line:,} is {unit.text}")
    if len(found) > 1:
        raise UserError(
            f"{file} has times in {len(found)} units: {', '.join(found.values())}; write all in one"
        )


def _numbers(connection: Any, times: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str, TimeUnit]]:
    """Yields line, text and unit of each time that has a unit."""
    while batch := list(islice(times, _BATCH)):
        answers = connection.execute(
            f"SELECT time_unit({_NUMBER}) FROM (SELECT unnest($texts::VARCHAR[]) AS time_text)",
            {"texts": [text for _, text in batch]},
        ).fetchall()
        for (line, text), (unit,) in zip(batch, answers, strict=True):
            if unit:
                yield line, text, TimeUnit(unit)

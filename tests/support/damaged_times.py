"""Times in many forms, and the second that each means."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple

_ZONES = {"Z": 0, "+00": 0, "+0530": 330, "-05:00": -300, " +02": 120, " UTC": 0, " EST": -300, "-11": -660}


class Written(NamedTuple):
    """A time as a file has it, and its second since 1970; None where it cannot be read."""

    text: str
    second: int | None


def _zoned(time: datetime, random_: random.Random) -> str:
    mark, minutes = random_.choice(list(_ZONES.items()))
    local = time.astimezone(timezone(timedelta(minutes=minutes)))
    return f"{local:%Y-%m-%d}{random_.choice(' T')}{local:%H:%M:%S}{mark}"


# Forms of numbers are of one unit each, those of dates go together with any.
_NUMBERS: list[Callable[[datetime], str]] = [
    lambda time: f"{time.timestamp():.0f}",
    lambda time: f"{time.timestamp():.0f}000",
    lambda time: f"{time.timestamp():.0f}000000",
]
_DATES: list[Callable[[datetime, random.Random], str]] = [
    lambda time, _: f"{time:%Y-%m-%d %H:%M:%S}",
    lambda time, _: f"{time:%Y/%m/%d %H:%M:%S}",
    lambda time, _: f"{time:%Y-%m-%dT%H:%M:%S}",
    lambda time, _: f"{time:%Y-%m-%d %I:%M:%S %p}",
    lambda time, _: f"{time:%Y-%m-%d %H:%M:%S}.000",
    _zoned,
]
_JUNK = [
    "banana", "2004-11-09 banana", "2004-13-09", "2004-11-09 25:00:00", "2004-11-09 11:33:20 banana", "1e400",
    "11/09/2004", "09.11.2004", "2004-11-09 13:00:00 PM", "2004-11-09 11:33:20 XYZ", "9" * 30, "-", "é",
    "2004-11-09 11:33:20 +", "2004-11-09T", "noon", "2004-11-31", "2004-11-09 11:33:20 PMx",
]  # fmt: skip


def times(count: int, random_: random.Random) -> list[Written]:
    """Times of which some are junk, some missing, and the numbers in one unit."""
    number = random_.choice(_NUMBERS)
    forms: list[Callable[[datetime, random.Random], str]] = [lambda time, _: number(time), *_DATES]
    chosen = random_.sample(forms, random_.randint(1, len(forms)))
    found = []
    for _ in range(count):
        second = random_.randint(400_000_000, 4_000_000_000)
        time = datetime.fromtimestamp(second, UTC)
        kind = random_.random()
        if kind < 0.1:
            found.append(Written(random_.choice(_JUNK), None))
        else:
            found.append(Written(random_.choice(chosen)(time, random_), second))
    return found

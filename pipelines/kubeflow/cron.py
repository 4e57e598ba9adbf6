"""Kubeflow's cron: six fields, seconds first, as the Go library robfig/cron 1 reads them, in UTC."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from components.errors import UserError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# A time that does not come within so many years never comes, for the library as well.
_YEARS = 5

_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}


@dataclass(frozen=True)
class _Field:
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    def number(self, text: str) -> int | None:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.lowest
        return int(text) if text.isascii() and text.isdigit() else None

    def values(self, text: str) -> set[int]:
        """The values that a comma-separated list of `*`, `a`, `a-b` and their `/step` stands for."""
        return set(itertools.chain.from_iterable(self._range(part) for part in text.split(",")))

    def _range(self, text: str) -> range:
        span, slash, step_text = text.partition("/")
        step = int(step_text) if step_text.isascii() and step_text.isdigit() else 0
        low_text, dash, high_text = span.partition("-")
        if span in ("*", "?"):
            low: int | None = self.lowest
            high: int | None = self.highest
        else:
            low = self.number(low_text)
            # "5/10" is "from 5 on, every 10".
            high = self.number(high_text) if dash else self.highest if slash else low
        if low is None or high is None or (slash and step < 1):
            raise UserError(f"the cron's field {self.name} is {text!r}; {self._cure()}")
        if not self.lowest <= low <= high <= self.highest:
            raise UserError(f"the cron's field {self.name} is {text!r}, out of range; {self._cure()}")
        return range(low, high + 1, step or 1)

    def _cure(self) -> str:
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"write it with numbers {self.lowest}-{self.highest}{named}, as in *, 5, 1-5, */10 or 1,15"


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Cron:
    """A cron expression of six fields: second, minute, hour, day of the month, month, day of the week.

    A day fits if it fits both day fields; where both are restricted (neither begins with * or ?), one is
    enough.
    """

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after `moment`, in UTC, soonest first, up to five years on."""
        start = moment.astimezone(UTC)
        for number in range(_YEARS * 366):
            day = start.date() + timedelta(days=number)
            if not self._fits(day):
                continue
            for hour, minute, second in itertools.product(self.hours, self.minutes, self.seconds):
                time = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=UTC)
                if time > start:
                    yield time

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)


def parse_cron(text: str) -> Cron:
    """The cron that `text` stands for.

    Raises:
      UserError: if it has not six fields (one of five is translated in the message), a field cannot be read,
        or its time never comes.
    """
    parts = text.split()
    if text.strip().startswith("@") or len(parts) == 5:
        raise UserError(_translated(text.strip()))
    if len(parts) != 6:
        raise UserError(
            f"--cron '{text}' has {len(parts)} fields, not six: second minute hour day month weekday, "
            "as in '0 0 3 * * *' for every day at 03:00 UTC"
        )
    values = [sorted(field.values(part)) for field, part in zip(_FIELDS, parts, strict=True)]
    cron = Cron(
        text=" ".join(parts),
        seconds=tuple(values[0]),
        minutes=tuple(values[1]),
        hours=tuple(values[2]),
        days=frozenset(values[3]),
        months=frozenset(values[4]),
        weekdays=frozenset(values[5]),
        either_day=not (_starred(parts[3]) or _starred(parts[5])),
    )
    if next(cron.after(datetime.now(UTC)), None) is None:
        raise UserError(f"--cron '{text}': that day never comes; correct the day or the month")
    return cron


def _starred(text: str) -> bool:
    return any(part.startswith(("*", "?")) for part in text.split(","))


def _translated(text: str) -> str:
    if text.startswith("@"):
        six = _DESCRIPTORS.get(text, "0 0 3 * * *")
        return f"--cron '{text}' is a shorthand that not every server reads; write '{six}', or use --every"
    *fields, weekday = text.split()
    # Unix counts Sunday as 7 as well.
    six = " ".join(["0", *fields, "0" if weekday == "7" else weekday])
    return (
        f"--cron '{text}' has five fields; Kubeflow's cron begins with the seconds, and would read each "
        f"field as the one before it: write '{six}'"
    )

"""Triggers of schedules: an interval, or a cron expression of six fields, between a start and an end."""

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any

from components.errors import UserError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

# A time that does not occur within so many years never occurs; the library of the server has the same limit.
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

    def values(self, text: str) -> tuple[int, ...]:
        """Parses a comma-separated list of `*`, `a`, `a-b` and their `/step` into sorted numbers."""
        return tuple(sorted(set().union(*map(self._range, text.split(",")))))

    def _range(self, text: str) -> range:
        span, slash, step_text = text.partition("/")
        step = int(step_text) if step_text.isascii() and step_text.isdigit() else 0
        low_text, dash, high_text = span.partition("-")
        starred = span in ("*", "?")
        low = self.lowest if starred else self.number(low_text)
        # "5/10" is "from 5 on, every 10".
        high = self.number(high_text) if dash else self.highest if starred or slash else low
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

    A day must match both day fields; where both are restricted (neither begins with * or ?), one is enough.
    """

    text: str
    either_day: bool
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]

    def after(self, moment: datetime, zone: tzinfo = UTC) -> Iterator[datetime]:
        """Yields the times within five years after `moment`, by the clocks of `zone`, soonest first."""
        start = moment.astimezone(UTC)
        first = start.astimezone(zone).date()
        for number in range(_YEARS * 366):
            times = self._on(first + timedelta(days=number), zone)
            yield from (time for time in times if time.astimezone(UTC) > start)

    def last(self, after: datetime, until: datetime, zone: tzinfo = UTC) -> datetime | None:
        """Returns the last time after `after` that is not later than `until`; None if there is none."""
        day = until.astimezone(zone).date()
        while day >= after.astimezone(zone).date():
            times = [time for time in self._on(day, zone) if after < time.astimezone(UTC) <= until]
            if times:
                return times[-1]
            day -= timedelta(days=1)
        return None

    def _on(self, day: date, zone: tzinfo) -> Iterator[datetime]:
        """Yields the times of a day. Where clocks are set back, an hour comes twice; set forward, never."""
        if not self._fits(day):
            return
        for hour, fold in itertools.product(self.hours, (0, 1)):
            for minute, second in itertools.product(self.minutes, self.seconds):
                time = datetime(day.year, day.month, day.day, hour, minute, second, tzinfo=zone, fold=fold)
                shown = datetime.fromtimestamp(time.timestamp(), zone)
                if (shown.hour, shown.minute, shown.fold) == (hour, minute, fold):
                    yield time

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        in_month, in_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (in_month or in_week) if self.either_day else (in_month and in_week)


def parse_cron(text: str) -> Cron:
    """Parses a cron expression.

    Raises `UserError` if it does not have six fields (the message translates five fields), a field cannot be
    read, or its time never occurs.
    """
    parts = text.split()
    if text.strip().startswith("@") or len(parts) == 5:
        raise UserError(_translated(text.strip()))
    if len(parts) != 6:
        raise UserError(
            f"--cron '{text}' has {len(parts)} fields, not six: second minute hour day month weekday, "
            "as in '0 0 3 * * *' for every day at 03:00"
        )
    values = (field.values(part) for field, part in zip(_FIELDS, parts, strict=True))
    cron = Cron(" ".join(parts), not (_starred(parts[3]) or _starred(parts[5])), *values)
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
    # Unix also counts Sunday as 7.
    six = " ".join(["0", *fields, "0" if weekday == "7" else weekday])
    return (
        f"--cron '{text}' has five fields; Kubeflow's cron begins with the seconds, and would read each "
        f"field as the one before it: write '{six}'"
    )


_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_INTERVAL = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SHORTEST = 60


@dataclass(frozen=True)
class Trigger:
    """Trigger of a schedule: exactly one of `cron` and `seconds` is set."""

    cron: Cron | None = None
    seconds: int = 0  # the interval, which begins when the schedule is created
    start: datetime | None = None  # no firing before
    end: datetime | None = None  # no firing after

    def __str__(self) -> str:
        text = self.cron.text if self.cron is not None else f"every {interval_text(self.seconds)}"
        for word, time in (("from", self.start), ("until", self.end)):
            text += f" {word} {time:%Y-%m-%d %H:%M} UTC" if time is not None else ""
        return text

    def firings(self, after: datetime, last: datetime, zone: tzinfo = UTC) -> Iterator[datetime]:
        """Yields the times after `after` at which it fires, in `zone`.

        An interval begins with the `last` firing, or else with the creation of the schedule.
        """
        begin = self._begin(last)
        if self.cron is not None:
            times = self.cron.after(max(after, begin), zone)
        else:
            step = timedelta(seconds=self.seconds)
            # A missed firing happens at once, and the interval begins again.
            origin = (begin if begin + step > after else after).astimezone(UTC)
            times = ((origin + step * count).astimezone(zone) for count in itertools.count(1))
        end = self.end
        yield from times if end is None else itertools.takewhile(lambda time: time <= end, times)

    def missed(self, now: datetime, last: datetime, zone: tzinfo = UTC) -> datetime | None:
        """Returns the latest time until `now` that did not fire, in `zone`; `last` as for `firings`."""
        begin, until = self._begin(last), now if self.end is None else min(now, self.end)
        if self.cron is not None:
            return self.cron.last(begin, until, zone)
        step = timedelta(seconds=self.seconds)
        time = begin + step * ((until - begin) // step)
        return time.astimezone(zone) if time > begin else None

    def _begin(self, last: datetime) -> datetime:
        return last if self.start is None else max(last, self.start)

    def to_api(self) -> Any:
        """Returns the trigger as the API has it."""
        from kfp_server_api import V2beta1CronSchedule, V2beta1PeriodicSchedule, V2beta1Trigger

        span = {"start_time": self.start, "end_time": self.end}
        if self.cron is not None:
            return V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=self.cron.text, **span))
        periodic = V2beta1PeriodicSchedule(interval_second=str(self.seconds), **span)
        return V2beta1Trigger(periodic_schedule=periodic)


def parse_trigger(
    cron: str, every: str, start: str = "", end: str = "", *, catch_up: bool = False
) -> Trigger:
    """Parses --cron, --every, --start and --end.

    A start that is past means something only to a schedule that catches up, and is left out elsewhere: the
    server would start a run at once for the last time since. Raises `UserError` unless exactly one of `cron`
    and `every` is given, if one cannot be read, or if it never fires between start and end.
    """
    if bool(cron) == bool(every):
        raise UserError("give one of --cron '0 0 3 * * *' and --every 6h")
    trigger = Trigger(cron=parse_cron(cron)) if cron else Trigger(seconds=_parse_every(every))
    now = datetime.now(UTC)
    begin = _parse_time("--start", start) if start else None
    if begin is not None and begin <= now and not catch_up:
        begin = None
    trigger = replace(trigger, start=begin, end=_parse_time("--end", end) if end else None)
    since = min(now, begin) if begin is not None else now
    if next(trigger.firings(since, since), None) is None:
        raise UserError(f"--end {end}: no run would start before it; name a later time")
    return trigger


def trigger_of(api: Any) -> Trigger | None:
    """Converts the trigger of a schedule of the API; None for an unknown kind."""
    for schedule in (api.cron_schedule, api.periodic_schedule) if api is not None else ():
        if schedule is None:
            continue
        start, end = _set(schedule.start_time), _set(schedule.end_time)
        if schedule is api.periodic_schedule:
            return Trigger(seconds=int(schedule.interval_second or 0), start=start, end=end)
        with contextlib.suppress(UserError):  # of other tools, with an expression that `parse_cron` refuses
            return Trigger(cron=parse_cron(schedule.cron or ""), start=start, end=end)
    return None


def _set(time: datetime | None) -> datetime | None:
    """Returns a time of the API; None where it is not set, or 1970."""
    return time if time is not None and time.year > 1970 else None


def _parse_time(flag: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise UserError(f"{flag} {text}: write it like 2026-12-01 or 2026-12-01T03:00+01:00") from error
    return (time if time.tzinfo is not None else time.replace(tzinfo=UTC)).astimezone(UTC)


def interval_text(seconds: int) -> str:
    """Formats `seconds` in days, hours, minutes and seconds."""
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_interval(flag: str, text: str) -> int:
    """Parses a length of time such as 6h, 30m or 1d12h into seconds. Raises `UserError`, naming `flag`."""
    match = _INTERVAL.fullmatch(text.strip().lower())
    if not text.strip() or match is None:
        raise UserError(f"{flag} {text}: write it like 6h, 30m or 1d12h")
    counts = zip(match.groups(default="0"), _UNITS.values(), strict=True)
    return sum(int(count) * size for count, size in counts)


def _parse_every(text: str) -> int:
    seconds = parse_interval("--every", text)
    if seconds < _SHORTEST:
        raise UserError(f"--every {text}: the shortest interval is {_SHORTEST}s")
    return seconds

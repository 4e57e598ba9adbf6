"""When a schedule fires: a cron expression, or an interval."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from components.errors import UserError
from pipelines.kubeflow.cron import Cron, parse_cron

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_INTERVAL = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SHORTEST = 60


@dataclass(frozen=True)
class Trigger:
    """Exactly one of `cron` and `seconds` is set.

    Attributes:
      cron: the expression.
      seconds: from one run to the next, counted from when the schedule was made.
    """

    cron: Cron | None = None
    seconds: int = 0

    def __str__(self) -> str:
        return self.cron.text if self.cron is not None else f"every {interval_text(self.seconds)}"

    def firings(self, after: datetime, last: datetime) -> Iterator[datetime]:
        """The times at which it fires later than `after`, in UTC.

        Args:
          after: usually the present.
          last: when it fired last, or else when the schedule was made: an interval begins there.
        """
        if self.cron is not None:
            yield from self.cron.after(after)
            return
        step = timedelta(seconds=self.seconds)
        # A firing that was missed is made up for at once, and the interval begins anew.
        start = last if last + step > after else after
        yield from (start.astimezone(UTC) + step * count for count in itertools.count(1))

    def to_api(self) -> Any:
        """The API's trigger."""
        from kfp_server_api import V2beta1CronSchedule, V2beta1PeriodicSchedule, V2beta1Trigger

        if self.cron is not None:
            return V2beta1Trigger(cron_schedule=V2beta1CronSchedule(cron=self.cron.text))
        return V2beta1Trigger(periodic_schedule=V2beta1PeriodicSchedule(interval_second=str(self.seconds)))


def parse_trigger(cron: str, every: str) -> Trigger:
    """The trigger that one of the flags --cron and --every gives.

    Raises:
      UserError: if both or none are given, or it cannot be read.
    """
    if bool(cron) == bool(every):
        raise UserError("give one of --cron '0 0 3 * * *' and --every 6h")
    return Trigger(cron=parse_cron(cron)) if cron else Trigger(seconds=_parse_interval(every))


def trigger_of(api: Any) -> Trigger | None:
    """The trigger of a schedule as the API gives it; None if it is of no kind that is known here."""
    if api is not None and api.cron_schedule is not None and api.cron_schedule.cron:
        try:
            return Trigger(cron=parse_cron(api.cron_schedule.cron))
        except UserError:  # made by other means, with an expression that is refused here
            return None
    if api is not None and api.periodic_schedule is not None:
        return Trigger(seconds=int(api.periodic_schedule.interval_second or 0))
    return None


def interval_text(seconds: int) -> str:
    """`seconds` in days, hours, minutes and seconds."""
    parts = []
    for unit, size in _UNITS.items():
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def _parse_interval(text: str) -> int:
    match = _INTERVAL.fullmatch(text.strip().lower())
    if not text.strip() or match is None:
        raise UserError(f"--every {text}: write it like 6h, 30m or 1d12h")
    counts = zip(match.groups(default="0"), _UNITS.values(), strict=True)
    seconds = sum(int(count) * size for count, size in counts)
    if seconds < _SHORTEST:
        raise UserError(f"--every {text}: the shortest interval is {_SHORTEST}s")
    return seconds

"""Progress that a person can follow: a live bar on a terminal, plain lines in a log."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from components.display import duration

# Lines of ours begin with this, so that `twotower run` can pick them out of KFP's own output.
PREFIX = "twotower: "

# And those that the next one makes stale begin with this as well.
TRANSIENT = "… "

SECONDS_BETWEEN_LINES = 5.0
# The rest is estimated from the rate between the latest lines, so many, and only once so much of all work was
# done since the first: the first steps of a training, which compile what others use, foretell nothing.
_LINES, _LEAST_SHARE = 13, 0.01


def log(message: str) -> None:
    """Prints one line for people to standard error."""
    print(f"{PREFIX}{message}", file=sys.stderr, flush=True)


@contextmanager
def every(seconds: float, act: Callable[[], None]) -> Iterator[None]:
    """Calls `act` in a thread, `seconds` after its last end, for as long as the block runs."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(seconds):
            act()

    thread = threading.Thread(target=repeat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class Progress:
    """Counts work done towards a total and says how long the rest will take.

    >>> with Progress("rank", total=6040, unit="users") as progress:
    ...     progress.advance(256)
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._started = self._last_line = time.monotonic()
        # Work done at the first line. What came before it may have been a slow start, or what an earlier
        # process has done.
        self._first_line: int | None = None
        # Work done and the time at the latest lines.
        self._lines: deque[tuple[int, float]] = deque(maxlen=_LINES)
        self._bar = _bar(title, total) if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif kind is None:
            seconds = time.monotonic() - self._started
            log(f"{self._title}: {self._done:,} {self._unit} in {seconds:.1f} s")

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Counts `amount` more units; `note` (losses, metrics) stands behind the figures."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=self._done, note=note)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            log(f"{TRANSIENT}{self._title}: {self._line()}{' · ' if note else ''}{note}")

    def set_total(self, total: int) -> None:
        """Replaces the total."""
        self._total = total
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total)

    def _line(self) -> str:
        line, now = f"{self._done:,}/{self._total:,} {self._unit}", time.monotonic()
        self._lines.append((self._done, now))
        if self._first_line is None:
            self._first_line = self._done
        done, then = self._lines[0]
        if self._done - self._first_line < max(_LEAST_SHARE * self._total, 1) or self._done == done:
            return line
        left = (now - then) / (self._done - done) * (self._total - self._done)
        return f"{line} · {duration(max(left, 0))} left"


def _bar(title: str, total: int):  # type: ignore[no-untyped-def]  # rich is imported only where it is shown
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
    )
    bar.add_task(title, total=total, note="")
    return bar

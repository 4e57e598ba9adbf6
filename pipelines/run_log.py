"""Reads what matters out of the log of KFP's local runner."""

import re
from dataclasses import dataclass
from typing import Literal

from components.progress import PREFIX, TRANSIENT

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([\w-]+)'")
_ENDED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")
_CACHED = re.compile(r"Task ([\w-]+) cache hit")
_RECORD = re.compile(re.escape(PREFIX) + r"run record: (.+)")
_ERROR = re.compile(r"^\s*error: (.+)")


@dataclass(frozen=True)
class Event:
    """One thing that a person wants to know: `subject` is a step's name or a line of text."""

    kind: Literal["started", "ended", "failed", "cached", "line", "progress", "record", "error"]
    subject: str


def event(line: str) -> Event | None:
    """The event that a line of the log stands for, or None."""
    text = _COLOUR.sub("", line).rstrip()
    if match := _STARTED.search(text):
        return Event("started", match[1])
    if match := _ENDED.search(text):
        return Event("ended" if match[2] == "SUCCESS" else "failed", match[1])
    if match := _CACHED.search(text):
        return Event("cached", match[1])
    if match := _RECORD.search(text):
        return Event("record", match[1])
    if match := _ERROR.search(text):
        return Event("error", match[1])
    _, found, rest = text.partition(PREFIX)
    if not found or rest.startswith("to repeat this step"):
        return None
    return Event("progress", rest) if rest.startswith(TRANSIENT) else Event("line", rest)

"""Messages between the server and the process that answers: a head of fixed size, then bytes."""

import asyncio
import struct
from typing import BinaryIO, NamedTuple

_HEAD = struct.Struct("!IHI")

# What is asked.
PREDICT, PAGE = 1, 2

# What the process says of itself before any question.
READY, FAILED = 1, 2


class Frame(NamedTuple):
    """A message.

    Attributes:
      number: of the question that it asks or answers; 0 for what the process says of itself.
      kind: of the question; in an answer, the status of HTTP.
      body: of any length below 4 GB.
    """

    number: int
    kind: int
    body: bytes


def pack(frame: Frame) -> bytes:
    """The message as bytes."""
    return _HEAD.pack(frame.number, frame.kind, len(frame.body)) + frame.body


def read(file: BinaryIO) -> Frame | None:
    """The next message; None when the other side has gone."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    number, kind, size = _HEAD.unpack(head)
    body = file.read(size)
    return Frame(number, kind, body) if len(body) == size else None


async def receive(reader: asyncio.StreamReader) -> Frame | None:
    """The next message; None when the other side has gone."""
    try:
        number, kind, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return Frame(number, kind, await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None

"""Messages between the server and the process that answers, over a socket."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_HEAD = struct.Struct("!IHHI")
_BYTES_AT_ONCE = 1 << 18

# Kinds of questions. Each is answered once; nothing is computed for a ping, or for one that was cancelled.
PREDICT, PAGE, PING = 1, 2, 3

# A message that cancels the question of its number. It has no answer of its own.
CANCEL = 4

# Kinds of messages about the process itself, sent before any question.
READY, FAILED = 1, 2


class Frame(NamedTuple):
    """A message."""

    number: int  # of the question; 0 for a message about the process itself
    kind: int  # of the question or message; in an answer, the HTTP status
    body: bytes  # less than 4 GB
    cold: int = 0  # in an answer, the users without ratings to whom it recommends movies


def pack(frame: Frame) -> bytes:
    """Encodes a message."""
    return _HEAD.pack(frame.number, frame.kind, frame.cold, len(frame.body)) + frame.body


def received(connection: socket.socket) -> Iterator[list[Frame]]:
    """Yields the messages that have come, again and again, until the other side closes the connection."""
    buffer = bytearray()
    while data := connection.recv(_BYTES_AT_ONCE):
        buffer += data
        frames, start = [], 0
        while (body := start + _HEAD.size) <= len(buffer):
            number, kind, cold, size = _HEAD.unpack_from(buffer, start)
            if body + size > len(buffer):
                break
            start = body + size
            frames.append(Frame(number, kind, bytes(buffer[body:start]), cold))
        del buffer[:start]
        yield frames


async def receive(reader: asyncio.StreamReader) -> Frame | None:
    """Reads the next message; None when the other side has closed the connection."""
    try:
        number, kind, cold, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return Frame(number, kind, await reader.readexactly(size), cold)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


@dataclass(frozen=True)
class Source:
    """An index to serve."""

    name: str  # of the model in the paths
    number: int  # the champion's number in the champion log; 1 for an index without registry
    registry: str = ""  # a directory, gs:// or s3:// prefix; "" for none
    version: str = ""  # the id in the registry
    index: str = ""  # the directory of an index without registry; "" for none

    @property
    def title(self) -> str:
        """The version, or the directory of an index without registry."""
        return self.version or self.index

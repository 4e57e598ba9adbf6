"""Access log: one line a request, as text or JSON, written by a thread."""

import os
import threading
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import quote

import orjson

from components.progress import log

FORMATS = ("text", "json", "off")

# Descriptors of the streams.
STREAMS = {"stdout": 1, "stderr": 2}

_SECONDS_BETWEEN_WRITES = 0.2

# The most lines that wait for a slow reader of the stream; further ones are dropped and counted.
_WAITING = 50_000

# Bytes that a pipe takes in one piece (PIPE_BUF), so that no other line of the process comes between.
_PIECE = 4096

# The longest path in a line, in bytes.
_PATH = 200


class Entry(NamedTuple):
    """A request and its answer. Query and body, which hold ids of users, have no place in it."""

    time: float  # of its arrival, in seconds since 1970
    request_id: bytes
    client: str  # its address; "" for none
    method: str
    path: bytes  # as received, without the query
    status: int
    seconds: float  # to the end of the answer


class AccessLog:
    """Writes entries to a descriptor. A slow or closed reader delays no request, and no end of the process.

    Every 0.2 s a thread writes the entries that were added; leaving the context writes the last ones.
    """

    def __init__(self, form: str, descriptor: int) -> None:
        self._line = {"text": _text, "json": _json}[form]
        self._descriptor = descriptor
        self._waiting = deque[Entry]()
        self._dropped = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_until_the_end, name="access-log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=2.0)

    def add(self, entry: Entry) -> None:
        """Takes an entry; returns at once."""
        if len(self._waiting) < _WAITING:
            self._waiting.append(entry)
        else:
            self._dropped += 1

    def _write_until_the_end(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(_SECONDS_BETWEEN_WRITES)
            try:
                self._write()
            except OSError as error:
                log(f"the access log ends: {error}")
                return
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                log(f"the access log lacks {dropped:,} requests: its stream is read too slowly")

    def _write(self) -> None:
        """Writes the waiting entries in pieces of whole lines."""
        piece = b""
        for _ in range(len(self._waiting)):
            line = self._line(self._waiting.popleft()).encode()
            if len(piece) + len(line) > _PIECE:
                self._write_all(piece)
                piece = b""
            piece += line
        self._write_all(piece)

    def _write_all(self, piece: bytes) -> None:
        while piece:
            piece = piece[os.write(self._descriptor, piece) :]


def access_log(form: str, stream: str) -> AbstractContextManager[AccessLog | None]:
    """Returns a log of one of `FORMATS` to one of `STREAMS`; nothing for "off"."""
    return nullcontext() if form == "off" else AccessLog(form, STREAMS[stream])


def _json(entry: Entry) -> str:
    fields = {
        "time": _time(entry),
        "request_id": entry.request_id.decode("ascii"),
        "client": _printable(entry.client.encode()),
        "method": entry.method,
        "path": _printable(entry.path),
        "status": entry.status,
        "ms": round(entry.seconds * 1000, 2),
    }
    return orjson.dumps(fields).decode() + "\n"


def _text(entry: Entry) -> str:
    return (
        f"{_time(entry)} {_printable(entry.client.encode()) or '-'} {entry.method} {_printable(entry.path)} "
        f"{entry.status} {entry.seconds * 1000:.2f} ms {entry.request_id.decode('ascii')}\n"
    )


def _time(entry: Entry) -> str:
    return datetime.fromtimestamp(entry.time, UTC).isoformat(timespec="milliseconds")


def _printable(text: bytes) -> str:
    """Encodes what could forge a line, a terminal's commands among it, and cuts the text."""
    return quote(text[:_PATH], safe="/:%~!$&'()*+,;=@[]")

"""The server's connections: their deadlines, how many there are, and what is logged of them.

uvicorn ends idle connections, and knows no deadline for a head, a body or an answer that nobody reads, and no
bound on what a head may hold.
"""

import asyncio
import logging
import resource
import time
from collections.abc import Iterable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from components.serve.messages import Frame
from components.serve.rest import RequestError, encode_error

# Seconds for the head of a request, from its first byte or, of the first, from the connection's opening.
_SECONDS_FOR_A_HEAD = 10.0
# Seconds for a body; the application answers by 408 a little earlier.
_SECONDS_FOR_A_BODY = 35.0
# Seconds for reading an answer and sending the next request. A proxy keeps its connections for 60 s.
SECONDS_IDLE = 75

# The most bytes of a head, or of what else is no body.
_MOST_HEAD_BYTES = 64 * 1024

# Descriptors for other purposes than connections.
_OTHER_DESCRIPTORS = 64

_STATE = "connection"


class Connections:
    """All connections of a server.

    Attributes:
      most: how many there may be.
      seconds: the deadline of an answer.
      strangers: those that have never sent a whole request, the oldest first.
      idle: those that have had their answer, the one that waits longest first.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self.most, self.seconds = most, seconds
        self.strangers = dict[Connection, None]()
        self.idle = dict[Connection, None]()

    def make_room(self, new: "Connection") -> bool:
        """Ends the connection that is least worth keeping; returns false if that is the new one."""
        others = (place for place in (self.strangers, self.idle) if place and next(iter(place)) is not new)
        victim = next((next(iter(place)) for place in others), None)
        if victim:
            victim.end()
        return victim is not None

    def forget(self, connection: "Connection") -> None:
        """Takes a connection out of those that may be ended."""
        self.strangers.pop(connection, None)
        self.idle.pop(connection, None)

    async def end_late_ones(self, every: Iterable[Any]) -> None:
        """Ends, once a second, those of `every` connection that are past their deadline."""
        while True:
            await asyncio.sleep(1.0)
            self.end_late(every)

    def end_late(self, every: Iterable[Any]) -> None:
        """Ends those of `every` connection that are past their deadline."""
        now = time.monotonic()
        for connection in list(every):
            if now > connection.deadline:
                connection.end()


class Connection(HttpToolsProtocol):
    """A connection; `answer` is what its client is waiting for."""

    def __init__(self, all_connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._all = all_connections
        self.answer: asyncio.Future[Frame] | None = None
        self.deadline = time.monotonic() + _SECONDS_FOR_A_HEAD
        self._receiving = False  # a request of which a part has arrived
        self._in_head = True
        self._quiet = 0  # bytes in a row that were no body
        self._answering: RequestResponseCycle | None = None  # the request that is being answered

    @classmethod
    def of(cls, scope: Any) -> "Connection | None":
        """Returns the connection of a request; None if it came by other means."""
        return cast("Connection | None", scope.get("state", {}).get(_STATE))

    def end(self) -> None:
        """Ends the connection at once."""
        self._all.forget(self)
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(cast(asyncio.Transport, transport))
        self._all.strangers[self] = None
        if len(self.connections) > self._all.most and not self._all.make_room(self):
            self._refuse(503, "too many connections; try again in a moment")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._all.forget(self)
        if self._answering:
            self._answering.disconnected = True  # uvicorn looks at the newest of several requests only
        if self.answer and not self.answer.done():
            self.answer.set_exception(RequestError("the client has left", 499))

    def data_received(self, data: bytes) -> None:
        self._quiet += len(data)
        super().data_received(data)
        if self._quiet > _MOST_HEAD_BYTES:
            if self._in_head:
                self._refuse(431, f"the head has more than {_MOST_HEAD_BYTES:,} bytes")
            else:
                self.end()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_head = True
        self.deadline = time.monotonic() + _SECONDS_FOR_A_HEAD
        self.scope["state"][_STATE] = self

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer is no header
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._in_head, self._quiet = False, 0
        self.deadline = time.monotonic() + _SECONDS_FOR_A_BODY

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._quiet = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._receiving, self._quiet = False, 0
        self.deadline = time.monotonic() + self._all.seconds + SECONDS_IDLE
        self._all.forget(self)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._receiving:
            self.deadline = time.monotonic() + SECONDS_IDLE
            self._all.idle[self] = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        """Answers what never becomes a request, and ends the connection."""
        body = encode_error(message)
        headers = [
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
        ]
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        self.transport.write(b"%s%s\r\n%s" % (STATUS_LINE[status], head, body))
        self.transport.close()


def raise_descriptor_limit(most: int) -> int:
    """Raises the soft limit of descriptors for `most` connections; returns how many there may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _OTHER_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(1, wanted - _OTHER_DESCRIPTORS)


class OncePerMinute(logging.Filter):
    """Lets a message of each place in the code pass once a minute: clients could fill a disk by them."""

    def __init__(self) -> None:
        super().__init__()
        self._due: dict[tuple[str, ...], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns true if the record is to be logged."""
        place, trace = "", record.exc_info[2] if record.exc_info else None
        while trace:
            place, trace = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}", trace.tb_next
        key, now = (record.name, str(record.msg).partition("\n")[0], place), time.monotonic()
        if now < self._due.get(key, 0.0):
            return False
        self._due[key] = now + 60.0
        return True

"""The deadlines of a connection, and what is logged of connections, by a clock that the tests set."""

import asyncio
import functools
import logging
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from components.serve import connections as module
from components.serve.connections import Connection, Connections, OncePerMinute

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"


class Clock:
    """Stands in for the module `time`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


class Transport(asyncio.Transport):
    """Takes what is written; `aborted` once the connection was ended at once."""

    aborted = False

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Site:
    """A server of up to `most` connections, whose application answers once it has the body."""

    def __init__(self, most: int) -> None:
        self.all = Connections(most, seconds=10.0)
        self._state = ServerState()
        config = uvicorn.Config(self._answer, lifespan="off", log_config=None, ws="none", interface="asgi3")
        config.load()
        self._connect = functools.partial(
            Connection, self.all, config=config, server_state=self._state, app_state={}
        )

    def connect(self) -> tuple[Connection, Transport]:
        connection, transport = self._connect(_loop=asyncio.get_running_loop()), Transport()
        connection.connection_made(transport)
        return connection, transport

    async def _answer(self, _: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"1", "more_body": False})


def seconds_left(site: Site, clock: Clock, connection: Connection, transport: Transport) -> float:
    """The seconds until the connection is ended, which it is."""
    start = clock.now
    for _ in range(2_000):
        site.all.end_late([connection])
        if transport.aborted:
            return clock.now - start
        clock.now += 0.1
    raise AssertionError("it is never ended")


@pytest.mark.parametrize(
    ("received", "seconds"),
    [
        ([], 10),
        ([b"\r\n\r\n"], 10),  # lines before a request are none
        ([b"POST / HT"], 10),
        ([HEAD[:-2]], 10),
        ([HEAD], 35),
        ([HEAD, b"{"], 35),
        ([HEAD + b"{}"], 75),
        ([HEAD + b"{}", b"\r\n"], 75),
        ([HEAD + b"{}", b"POST / HT"], 10),
        ([HEAD + b"{}", HEAD], 35),
    ],
)
def test_a_connection_ends_when_its_client_is_late(
    clock: Clock, received: list[bytes], seconds: float
) -> None:
    async def run() -> float:
        site = Site(most=5)
        connection, transport = site.connect()
        for data in received:
            connection.data_received(data)
            await asyncio.sleep(0.01)  # it is answered
        return seconds_left(site, clock, connection, transport)

    assert asyncio.run(run()) == pytest.approx(seconds, abs=0.3)


def test_an_answer_that_cannot_be_written_has_a_deadline_too(clock: Clock) -> None:
    async def run() -> float:
        site = Site(most=5)
        connection, transport = site.connect()
        connection.pause_writing()
        connection.data_received(HEAD + b"{}")
        await asyncio.sleep(0.01)
        assert transport.written == b""
        left = seconds_left(site, clock, connection, transport)
        connection.connection_lost(None)
        await asyncio.sleep(0.01)
        return left

    assert asyncio.run(run()) == pytest.approx(85, abs=0.3)


def test_nothing_is_written_to_a_client_that_has_left(clock: Clock) -> None:
    """Also where it had sent a second request before the first one was answered."""

    async def run() -> bytes:
        site = Site(most=5)
        connection, transport = site.connect()
        connection.pause_writing()
        connection.data_received(HEAD + b"{}" + HEAD + b"{}")
        await asyncio.sleep(0.01)
        connection.connection_lost(None)
        await asyncio.sleep(0.01)
        return transport.written

    assert asyncio.run(run()) == b""


def test_one_too_many_takes_the_place_of_who_is_least_worth_it(clock: Clock) -> None:
    async def run() -> None:
        site = Site(most=3)
        answered, busy, stranger = (site.connect() for _ in range(3))
        answered[0].data_received(HEAD + b"{}")
        await asyncio.sleep(0.01)
        busy[0].pause_writing()
        busy[0].data_received(HEAD + b"{}")
        await asyncio.sleep(0.01)
        ends = []
        for _ in range(4):
            _, new = site.connect()
            gone = [pair for pair in (answered, busy, stranger) if pair[1].aborted]
            ends.append((len(gone), new.aborted, new.written[:12]))
            for connection, _ in gone:
                connection.connection_lost(None)
        assert stranger[1].aborted
        assert not busy[1].aborted
        assert not answered[1].aborted
        assert all(not aborted and not written for _, aborted, written in ends)
        busy[0].connection_lost(None)
        await asyncio.sleep(0.01)

    asyncio.run(run())


def test_only_who_is_busy_keeps_a_new_one_out(clock: Clock) -> None:
    async def run() -> None:
        site = Site(most=1)
        busy, _ = site.connect()
        busy.pause_writing()
        busy.data_received(HEAD + b"{}")
        await asyncio.sleep(0.01)
        _, refused = site.connect()
        assert refused.written.startswith(b"HTTP/1.1 503 ")
        assert b'{"error":"too many connections' in refused.written
        busy.connection_lost(None)
        await asyncio.sleep(0.01)

    asyncio.run(run())


def test_a_message_is_logged_once_a_minute(clock: Clock) -> None:
    limit = OncePerMinute()

    def passes(message: str, *arguments: object) -> bool:
        return limit.filter(logging.LogRecord("asyncio", logging.ERROR, "", 1, message, arguments, None))

    assert passes("accept failed\nsocket: 5")
    assert not passes("accept failed\nsocket: 6")
    assert passes("another")
    clock.now += 61
    assert passes("accept failed\nsocket: 7")

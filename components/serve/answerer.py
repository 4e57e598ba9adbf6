"""A process with a loaded index, as the server sees it: questions with a deadline, its pulse and its end."""

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from components.errors import UserError
from components.serve.messages import CANCEL, FAILED, PING, READY, Frame, Source, pack, receive
from components.serve.rest import RequestError

# Requests are answered in parallel, one thread each. A request that uses several threads itself takes 50%
# more processor time, and is no faster once two requests run.
_ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

# The most requests that wait for one process; further ones are refused.
_WAITING = 256

# A process that has answered none of two pings in a row, each for so long, is ended. One alone may be lost to
# a server that was itself stopped for a while.
_SECONDS_BETWEEN_PINGS = 1.0
_SECONDS_OF_SILENCE = 5.0
# And one of whose questions is still unanswered so long after its deadline: a thread of it hangs.
_SECONDS_OVERDUE = 60.0

# The longest time for a process to fetch, check and load its index.
_SECONDS_TO_LOAD = 30 * 60

# Time for a process to end by itself once it is no longer needed.
_SECONDS_TO_END = 10.0


class Asker(Protocol):
    """Whoever waits for an answer; gives up by an exception in `answer`."""

    answer: "asyncio.Future[Frame] | None"


class _Asked(NamedTuple):
    """A question that the process has not answered yet."""

    answer: "asyncio.Future[Frame]"
    deadline: float  # by time.monotonic()


class Answerer:
    """A process with a loaded index; `metadata` is the body of the answer to `/metadata`."""

    def __init__(
        self,
        source: Source,
        seconds: float,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.source = source
        self.metadata = b""
        self.retired = False  # true once it is not needed any more
        self._seconds = seconds
        self._process, self._reader, self._writer = process, reader, writer
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._idle = asyncio.Event()
        self._idle.set()
        self._fault = ""  # for which it was ended

    @classmethod
    async def start(cls, source: Source, seconds: float) -> "Answerer":
        """Starts a process and waits until it has loaded the index; `seconds` is the deadline of an answer.

        Raises `UserError` if it cannot load it.
        """
        ours, its = socket.socketpair()
        with its:
            asked = json.dumps(vars(source))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "components.serve.worker", str(its.fileno()), asked),
                pass_fds=[its.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env={**_ENVIRONMENT, **os.environ, "PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl-C goes to the server, which lets this process finish
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        answerer = cls(source, seconds, process, reader, writer)
        try:
            await answerer._await_ready()
        except BaseException:
            await answerer.close()
            raise
        return answerer

    @property
    def alive(self) -> bool:
        """True while it accepts requests."""
        return not self.retired and not self._listening.done()

    @property
    def waiting(self) -> int:
        """Number of questions that wait for an answer."""
        return len(self._asked)

    def memory(self) -> int:
        """Returns the memory of the process in bytes, without what others share; 0 if it has ended."""
        with suppress(OSError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8").splitlines():
                if line.startswith("RssAnon:"):
                    return int(line.split()[1]) * 1024
        return 0

    async def ask(self, kind: int, body: bytes, asker: Asker | None = None) -> Frame:
        """Returns the answer, whose kind is its status.

        Raises `RequestError` if there will be none: 503 at once, 504 after the deadline. A question that
        `asker` has given up, or whose deadline is over, is not computed any more.
        """
        if not self.alive:
            raise RequestError("the process that answers is being started; try again in a moment", 503)
        if len(self._asked) >= _WAITING:
            raise RequestError("too many requests are waiting; try again in a moment", 503)
        number, answer = self._send(kind, body, self._seconds)
        if asker:
            asker.answer = answer
        try:
            async with asyncio.timeout(self._seconds):
                frame = await answer
        except TimeoutError as error:
            message = f"there was no answer within {self._seconds:g} s (--timeout); ask for less at once"
            raise RequestError(message, 504) from error
        finally:
            if asker:
                asker.answer = None  # an idle connection must not keep it
            if number in self._asked:
                self._writer.write(pack(Frame(number, CANCEL, b"")))
        return frame

    async def responds(self, seconds: float) -> bool:
        """Returns true if the process answers a ping within so many seconds."""
        if not self.alive:
            return False
        with suppress(TimeoutError, RequestError):
            async with asyncio.timeout(seconds):
                await self._send(PING, b"", seconds)[1]
                return True
        return False

    async def end(self) -> str:
        """Waits for the end of the process, and returns its cause: "was ended by SIGKILL", for instance."""
        await asyncio.shield(self._listening)
        return self._fault or await self._wait()

    async def retire(self) -> None:
        """Accepts no more requests, waits for the answers to those it has, then ends the process."""
        self.retired = True
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._idle.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Ends the process and waits for its end."""
        self._writer.close()
        await self._wait()

    async def _wait(self) -> str:
        """Waits for the end of the process, whose connection is closed; returns the cause."""
        try:
            async with asyncio.timeout(_SECONDS_TO_END):
                status = await self._process.wait()
        except TimeoutError:
            self._process.kill()
            status = await self._process.wait()
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def _send(self, kind: int, body: bytes, seconds: float) -> "tuple[int, asyncio.Future[Frame]]":
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._asked[number] = _Asked(answer, time.monotonic() + seconds)
        self._idle.clear()
        self._writer.write(pack(Frame(number, kind, body)))
        return number, answer

    async def _await_ready(self) -> None:
        what = self.source.title
        try:
            async with asyncio.timeout(_SECONDS_TO_LOAD):
                frame = await receive(self._reader)
        except TimeoutError as error:
            raise UserError(f"{what} was not loaded within {_SECONDS_TO_LOAD // 60} minutes") from error
        if frame is None:
            raise UserError(f"the process that loads {what} {await self._wait()}")
        if frame.kind == FAILED:
            raise UserError(frame.body.decode())
        assert frame.kind == READY
        self.metadata = frame.body
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Delivers the answers until the process ends."""
        pulse = asyncio.create_task(self._watch_pulse())
        while frame := await receive(self._reader):
            asked = self._asked.pop(frame.number, None)
            if asked and not asked.answer.done():  # nobody may wait any more
                asked.answer.set_result(frame)
            if not self._asked:
                self._idle.set()
        pulse.cancel()
        for answer, _ in self._asked.values():
            if not answer.done():
                answer.set_exception(RequestError("the process that answers has died; try again", 503))
                answer.exception()  # a ping's may have nobody who waits
        self._asked.clear()
        self._idle.set()

    async def _watch_pulse(self) -> None:
        """Ends the process once it hangs."""
        while not self._fault:
            await asyncio.sleep(_SECONDS_BETWEEN_PINGS)
            oldest = next(iter(self._asked.values()), None)
            if oldest and time.monotonic() > oldest.deadline + _SECONDS_OVERDUE:
                self._fault = f"has not answered a request for {_SECONDS_OVERDUE:g} s"
            elif not await self.responds(_SECONDS_OF_SILENCE) and not await self.responds(
                _SECONDS_OF_SILENCE
            ):
                self._fault = f"has not responded for {2 * _SECONDS_OF_SILENCE:g} s"
        self._process.kill()

"""A process that answers, as the server sees it.

TensorFlow has a process of its own, because loading an index keeps Python's interpreter busy for seconds, in
which no other thread of the same process gets to answer; and because what the old index held goes back to the
system only with its process.
"""

import asyncio
import itertools
import os
import socket
import sys

from components.errors import UserError
from components.serve.frames import FAILED, READY, Frame, pack, receive
from components.serve.rest import RequestError
from components.serve.worker import Source

# Answers are given side by side, a thread each: one that is itself spread over the cores takes half as much
# processor time again, for no gain once there are two.
_ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1"}

# Questions that wait for one process, beyond which it is better to say so.
_WAITING = 256


class Answerer:
    """A process with a loaded index.

    Attributes:
      source: what it serves.
      metadata: the body that answers `/metadata`.
    """

    def __init__(
        self,
        source: Source,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.source = source
        self.metadata = b""
        self._process, self._reader, self._writer = process, reader, writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def start(cls, source: Source) -> "Answerer":
        """Starts a process and waits until it has loaded the index. Raises `UserError` if it cannot."""
        ours, its = socket.socketpair()
        with its:
            command = [sys.executable, "-m", "components.serve.worker", str(its.fileno()), source.to_json()]
            process = await asyncio.create_subprocess_exec(
                *command,
                pass_fds=[its.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env={**_ENVIRONMENT, **os.environ, "PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl-C is for the server, which lets it finish
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        answerer = cls(source, process, reader, writer)
        try:
            await answerer._await_ready()
        except BaseException:
            await answerer.close()
            raise
        return answerer

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return not self._listening.done()

    async def ask(self, kind: int, body: bytes) -> tuple[int, bytes]:
        """The status and the body of the answer. Raises `RequestError` (503) if there will be none."""
        if len(self._waiting) >= _WAITING or not self.alive:
            raise RequestError("too many requests are waiting; try again in a moment", 503)
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._idle.clear()
        self._writer.write(pack(Frame(number, kind, body)))
        frame = await answer
        return frame.kind, frame.body

    async def retire(self) -> None:
        """Lets it answer what it has been asked, then ends it."""
        await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """Ends it, and waits until it has."""
        self._writer.close()
        await self._process.wait()

    async def _await_ready(self) -> None:
        frame = await receive(self._reader)
        if frame is None:
            raise UserError(f"the process that loads {self.source.version or self.source.index} has died")
        if frame.kind == FAILED:
            raise UserError(frame.body.decode())
        assert frame.kind == READY
        self.metadata = frame.body
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        """Hands on the answers until the process ends."""
        while frame := await receive(self._reader):
            answer = self._waiting.pop(frame.number)
            if not answer.cancelled():  # the client may have gone
                answer.set_result(frame)
            if not self._waiting:
                self._idle.set()
        for answer in self._waiting.values():
            if not answer.cancelled():
                answer.set_exception(RequestError("the process that answers has died; try again", 503))
        self._waiting.clear()
        self._idle.set()

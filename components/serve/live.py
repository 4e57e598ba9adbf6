"""The served index and its replacement, and the process that answers for it."""

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Coroutine
from dataclasses import dataclass

from components.errors import UserError
from components.progress import log
from components.registry.registry import Registry
from components.serve.rest import RequestError
from components.serve.worker import FAILED, READY, Frame, Source, pack, receive

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


@dataclass(frozen=True)
class Failure:
    """A champion that could not be loaded: its place in the champion log, and why."""

    number: int
    reason: str


class Live:
    """The index that is served: the champion, or one that belongs to no registry.

    Attributes:
      current: what answers. Whoever answers a request reads it once, and so stays with one index.
      loading: the champion that is being loaded beside it; 0 for none.
      failure: the champion that could not be loaded; None if all is well.
    """

    def __init__(self, current: Answerer, registry: Registry | None) -> None:
        self.current = current
        self.loading = 0
        self.failure: Failure | None = None
        self._registry = registry
        self._retiring = set[asyncio.Task[None]]()

    @classmethod
    async def of_index(cls, name: str, directory: str) -> "Live":
        """Serves an index that belongs to no registry. Raises `UserError` if there is none."""
        return cls(await Answerer.start(Source(name, 1, index=directory)), None)

    @classmethod
    async def of_champion(cls, name: str, registry: Registry) -> "Live":
        """Serves the champion. Raises `UserError` if there is none, or it is broken."""
        return cls(await Answerer.start(await _champion(name, registry)), registry)

    async def watch(self, poll_seconds: float) -> None:
        """Takes up each new champion, and starts what has died again, until it is cancelled."""
        while True:
            await asyncio.sleep(poll_seconds)
            number = self.current.source.number
            try:
                if self._registry:
                    number = await asyncio.to_thread(_last_number, self._registry)
                if number > self.current.source.number or not self.current.alive:
                    await self._take_up(number)
            except Exception as error:
                # Whatever stops this one, the next champion must be taken up.
                self._fail(Failure(number, str(error) or repr(error)))

    async def close(self) -> None:
        """Ends what answers."""
        await self.current.close()
        await asyncio.gather(*self._retiring)

    async def _take_up(self, number: int) -> None:
        before = self.current
        self.loading = number
        try:
            source = before.source
            if self._registry:
                source = await _champion(source.name, self._registry)
            self.current = await Answerer.start(source)
        finally:
            self.loading = 0
        self.failure = None
        log(f"serving {source.version or source.index}, number {source.number}")
        self._in_background(before.retire())

    def _in_background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    def _fail(self, failure: Failure) -> None:
        if failure != self.failure:
            log(f"{self.current.source.version or self.current.source.index} stays: {failure.reason}")
        self.failure = failure


async def _champion(name: str, registry: Registry) -> Source:
    entry = await asyncio.to_thread(registry.champion_log.latest)
    if entry is None:
        raise UserError(f"{registry.root} has no champion to serve; publish one by `twotower run`")
    return Source(name, entry.sequence, registry=registry.root, version=entry.version)


def _last_number(registry: Registry) -> int:
    return max(registry.champion_log.sequences(), default=0)

"""The served index, its replacement by a new champion, and the process that holds it."""

import asyncio
import itertools
import json
import os
import socket
import sys

from components.errors import UserError
from components.progress import log
from components.registry.registry import Registry
from components.serve.rest import RequestError
from components.serve.worker import FAILED, READY, Frame, Source, pack, receive

# Requests are answered in parallel, one thread each. A request that uses several threads itself takes 50%
# more processor time, and is no faster once two requests run.
_ENVIRONMENT = {"TF_NUM_INTRAOP_THREADS": "1"}

# The most requests that wait for one process; further ones are refused.
_WAITING = 256


class Answerer:
    """A process with a loaded index; `metadata` is the body of the answer to `/metadata`."""

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
            asked = json.dumps(vars(source))
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "components.serve.worker", str(its.fileno()), asked),
                pass_fds=[its.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                env={**_ENVIRONMENT, **os.environ, "PYTHONSAFEPATH": "1"},
                start_new_session=True,  # Ctrl-C goes to the server, which lets this process finish
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
        """True while it accepts requests."""
        return not self._listening.done()

    async def ask(self, kind: int, body: bytes) -> tuple[int, bytes]:
        """Returns status and body of the answer; raises `RequestError` (503) if there will be none."""
        if len(self._waiting) >= _WAITING or not self.alive:
            raise RequestError("too many requests are waiting; try again in a moment", 503)
        number, answer = next(self._numbers), asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._idle.clear()
        self._writer.write(pack(Frame(number, kind, body)))
        frame = await answer
        return frame.kind, frame.body

    async def retire(self) -> None:
        """Waits for the answers to all its requests, then ends the process."""
        await self._idle.wait()
        await self.close()

    async def close(self) -> None:
        """Ends the process and waits for its end."""
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
        """Delivers the answers until the process ends."""
        while frame := await receive(self._reader):
            answer = self._waiting.pop(frame.number)
            if not answer.cancelled():  # the client may have disconnected
                answer.set_result(frame)
            if not self._waiting:
                self._idle.set()
        for answer in self._waiting.values():
            if not answer.cancelled():
                answer.set_exception(RequestError("the process that answers has died; try again", 503))
        self._waiting.clear()
        self._idle.set()


class Live:
    """The index that is served: the champion, or one that belongs to no registry."""

    def __init__(self, current: Answerer, registry: Registry | None) -> None:
        self.current = current  # answers; a request reads it once, and so uses one index throughout
        self.loading = 0  # number of the champion that is being loaded beside it; 0 for none
        self.failure: tuple[int, str] | None = None  # the champion that could not be loaded, and the reason
        # The fault of the champion's copy for TensorFlow Serving, and at how many polls in a row it was seen.
        self._copy_fault, self._polls = "", 0
        self._registry = registry
        self._retiring = set[asyncio.Task[None]]()

    @classmethod
    async def start(cls, name: str, index: str, registry: str) -> "Live":
        """Serves the directory `index` or, if that is "", the champion of `registry`.

        Raises `UserError` if there is none, or it is broken.
        """
        if index:
            return cls(await Answerer.start(Source(name, 1, index=index)), None)
        store = Registry(registry)
        return cls(await Answerer.start(await _champion(name, store)), store)

    async def watch(self, poll_seconds: float) -> None:
        """Loads each new champion, and restarts a process that has died, until it is cancelled."""
        if fault := await self._look_at_copy(by_size=False):
            log(fault)
        while True:
            await asyncio.sleep(poll_seconds)
            number = self.current.source.number
            try:
                if self._registry:
                    number = await asyncio.to_thread(self._registry.champion_log.end)
                if number < self.current.source.number:
                    raise UserError(
                        f"the champion log ends at {number}, and {self.current.source.number} is served; "
                        "restore its end from a backup"
                    )
                if number > self.current.source.number or not self.current.alive:
                    await self._take_up(number)
                else:
                    self.failure = None
                    await self._poll_copy()
            except Exception as error:
                # Whatever the fault of this champion, the next one must be loaded.
                failure = (number, str(error) or repr(error))
                if failure != self.failure:
                    log(f"{self.current.source.version or self.current.source.index} stays: {failure[1]}")
                self.failure = failure

    async def close(self) -> None:
        """Ends the processes."""
        await self.current.close()
        await asyncio.gather(*self._retiring)

    async def _poll_copy(self) -> None:
        """Logs a fault of the copy for TensorFlow Serving, once it is seen twice: publishers take a while."""
        fault = await self._look_at_copy(by_size=True)
        self._polls = self._polls + 1 if fault == self._copy_fault else 1
        self._copy_fault = fault
        if fault and self._polls == 2:
            log(fault)

    async def _look_at_copy(self, by_size: bool) -> str:
        if self._registry is None:
            return ""
        return await asyncio.to_thread(self._registry.copy_fault, self.current.source.number, by_size)

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
        retiring = asyncio.create_task(before.retire())
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)


async def _champion(name: str, registry: Registry) -> Source:
    advice = " to serve; publish one by `twotower run`"
    entry = await asyncio.to_thread(registry.champion, advice)
    return Source(name, entry.sequence, registry=registry.root, version=entry.version)

"""What answers now, and what is about to."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass

from components.errors import UserError
from components.progress import log
from components.registry.registry import Registry
from components.serve.answerer import Answerer
from components.serve.worker import Source


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

"""The served index: its replacement by a new champion, and the process that holds it, kept alive."""

import asyncio
import re
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.machine import available_memory
from components.progress import log
from components.registry.registry import Registry, cache_directory, published_index
from components.registry.versions import INDEX
from components.serve.answerer import Answerer
from components.serve.messages import Source

# So many champions are tried at the start, the newest first. What ails more of them ails every one.
_MOST_TRIED = 10

# A champion that could not be loaded is tried again after growing pauses, at most this one.
_LONGEST_PAUSE, _MOST_DOUBLINGS = 600.0, 20

# A process that died is started again at once; one that has not lived so long, after growing pauses.
_SECONDS_OF_LIFE = 10.0
_LONGEST_RESTART_PAUSE = 60.0


class Live:
    """The index that is served: the champion, or one that belongs to no registry."""

    def __init__(self, current: Answerer, registry: Registry | None, seconds: float) -> None:
        self.current = current  # answers; a request reads it once, and so uses one index throughout
        self.loading = 0  # number of the champion that is being loaded; 0 for none
        self.failure: tuple[int, str] | None = None  # the champion that could not be loaded, and the reason
        self._tries, self._next_try = 0, 0.0  # to load that champion
        # The champion for which the present one was ended in vain, for lack of memory, and its fault.
        self._ended_for: tuple[int, Exception] | None = None
        self.draining = False  # true once the server has been told to stop
        self.reloads = 0  # champions taken up after the first
        self.reload_failures = 0  # attempts to take one up that failed
        self.restarts = 0  # of the process that answers
        # The fault of the champion's copy for TensorFlow Serving, and at how many polls in a row it was seen.
        self._copy_fault, self._polls = "", 0
        self._registry, self._seconds = registry, seconds
        self._restart_pause = 0.0
        self._tasks = set[asyncio.Task[None]]()

    @classmethod
    async def start(cls, name: str, index: str, registry: str, seconds: float) -> "Live":
        """Serves the directory `index` or, if that is "", the newest loadable champion of `registry`.

        `seconds` is the deadline of an answer. Raises `UserError` if there is none to serve.
        """
        store, failure = None if index else Registry(registry), None
        if store:
            current, failure = await _start_newest(name, store, seconds)
        else:
            current = await Answerer.start(Source(name, 1, index=index), seconds)
        live = cls(current, store, seconds)
        live._begin(live._keep_alive(current))
        if failure:
            live._note_failure(*failure)
        return live

    async def watch(self, poll_seconds: float) -> None:
        """Loads each new champion, until it is cancelled."""
        if fault := await self._look_at_copy(by_size=False):
            log(fault)
        while True:
            await asyncio.sleep(poll_seconds)
            number = served = self.current.source.number
            try:
                if self._registry:
                    number = await asyncio.to_thread(self._registry.champion_log.end)
                if number < served:
                    raise UserError(
                        f"the champion log ends at {number}, and {served} is served; "
                        "restore its end from a backup"
                    )
                if number == served:
                    self.failure, self._tries = None, 0
                    await self._poll_copy()
                elif not self.failure or self.failure[0] != number or time.monotonic() >= self._next_try:
                    await self._take_up(number)
            except Exception as error:
                # Whatever the fault of this champion, the next one must be loaded.
                self.reload_failures += 1
                self._note_failure(number, str(error) or repr(error))
                pause = min(poll_seconds * 2 ** min(self._tries, _MOST_DOUBLINGS), _LONGEST_PAUSE)
                self._next_try = time.monotonic() + pause

    def drain(self) -> None:
        """Notes that the server has been told to stop."""
        self.draining = True

    async def close(self) -> None:
        """Ends the processes."""
        current, self.current.retired = self.current, True
        await current.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note_failure(self, number: int, reason: str) -> None:
        """Keeps why a champion is not served, and logs it unless it is known."""
        failure = (number, _public(reason, self._registry))
        if failure != self.failure:
            log(f"{self.current.source.title} stays: {reason}")
        same = self.failure is not None and self.failure[0] == number
        self._tries = self._tries + 1 if same else 1
        self.failure = failure

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
        """Replaces the present index by the champion of this number. Raises `UserError` if that is broken."""
        assert self._registry is not None
        before = self.current
        self.loading = number
        try:
            await asyncio.to_thread(self._registry.check_log)
            source = await asyncio.to_thread(_source, before.source.name, self._registry, number)
            lack = await asyncio.to_thread(_lacking_memory, before, source, self._registry)
            if lack and self._ended_for and self._ended_for[0] == number:
                raise self._ended_for[1]  # not a second time for one that does not load
            if lack:
                # A broken one must not end the present one.
                await asyncio.to_thread(published_index, source.registry, source.version)
                log(f"{lack}: {before.source.title} is stopped before {source.version} is loaded")
                await before.retire()
            try:
                fresh = await Answerer.start(source, self._seconds)
            except Exception as error:
                if lack:
                    self._ended_for = number, error
                    await self._restart(before)
                raise
        finally:
            self.loading = 0
        self.failure, self._tries = None, 0
        self.reloads += 1
        self._serve(fresh)

    def _serve(self, fresh: Answerer) -> None:
        before, self.current = self.current, fresh
        log(f"serving {fresh.source.title}, number {fresh.source.number}")
        self._begin(before.retire())
        self._begin(self._keep_alive(fresh))

    async def _keep_alive(self, answerer: Answerer) -> None:
        """Starts the process again when it dies, unless it is not needed any more."""
        started = time.monotonic()
        cause = await answerer.end()
        if answerer.retired:
            return
        if time.monotonic() - started >= _SECONDS_OF_LIFE:
            self._restart_pause = 0.0
        log(f"the process that answers {cause}; it is started again")
        await self._restart(answerer)

    async def _restart(self, dead: Answerer) -> None:
        """Serves again what `dead` served or, where that cannot be loaded, the newest champion that can."""
        while dead is self.current:
            await asyncio.sleep(self._restart_pause)
            self._restart_pause = min(max(1.0, 2 * self._restart_pause), _LONGEST_RESTART_PAUSE)
            try:
                fresh = await self._start_again(dead.source)
            except Exception as error:
                # Whatever the fault, it may pass.
                log(str(error) or repr(error))
                continue
            if dead is not self.current:  # a new champion was faster
                await fresh.close()
                return
            self.restarts += 1
            self._serve(fresh)

    async def _start_again(self, source: Source) -> Answerer:
        try:
            return await Answerer.start(source, self._seconds)
        except UserError as error:
            if self._registry is None:
                raise
            log(f"{source.title} cannot be loaded again: {error}")
            fresh, _ = await _start_newest(source.name, self._registry, self._seconds)
            return fresh

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _start_newest(
    name: str, registry: Registry, seconds: float
) -> tuple[Answerer, tuple[int, str] | None]:
    """Starts the newest champion that can be loaded; returns the newest one that cannot, and the reason, too.

    Raises `UserError` if there is none.
    """
    numbers = await asyncio.to_thread(registry.champion_log.sequences)
    try:
        await asyncio.to_thread(registry.check_log)
    except UserError as error:
        log(str(error))
    failure: tuple[int, str] | None = None
    tried = set[str]()
    for number in reversed(numbers):
        try:
            source = await asyncio.to_thread(_source, name, registry, number)
            if source.version in tried:
                continue
            tried.add(source.version)
            return await Answerer.start(source, seconds), failure
        except UserError as error:
            log(f"number {number} is not served: {error}")
            failure = failure or (number, str(error))
        if len(tried) == _MOST_TRIED:
            break
    if failure:
        raise UserError(failure[1])
    raise UserError(f"{registry.root} has no champion to serve; publish one by `twotower run`")


def _source(name: str, registry: Registry, number: int) -> Source:
    entry = registry.champion_log.entry(number)
    return Source(name, number, registry=registry.root, version=entry.version)


def _lacking_memory(before: Answerer, source: Source, registry: Registry) -> str:
    """Returns one line if there is no memory for the index of `source` beside the present one, else ""."""
    if not before.alive:
        return ""
    sizes = [_bytes(registry, version) for version in (before.source.version, source.version)]
    needed, free = before.memory() + 2 * max(0, sizes[1] - sizes[0]), available_memory()
    if needed <= free:
        return ""
    return f"{free / 1e9:.1f} GB of memory are free, and a second index needs {needed / 1e9:.1f} GB"


def _bytes(registry: Registry, version: str) -> int:
    try:
        return sum(file.size for file in registry.versions.manifest(version).part(INDEX).values())
    except UserError:  # the load will say it
        return 0


def _public(reason: str, registry: Registry | None) -> str:
    """Returns a reason without the directories of this machine, for everybody who can ask."""
    for directory in (registry.root if registry else "", str(cache_directory()), str(Path.home())):
        if directory:
            reason = reason.replace(f"{directory}/", "")
    return re.sub(r"(?<![\w.:/])/(?:[^\s/:;,]+/)+", "", reason)

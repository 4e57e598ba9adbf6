"""The index that answers now, and the one that is about to."""

import gc
import threading
from dataclasses import dataclass

from components.errors import UserError
from components.progress import log
from components.registry.published import published_index
from components.registry.registry import Registry
from components.serve.served_index import Served, ServedIndex


@dataclass(frozen=True)
class Failure:
    """A champion that could not be loaded: its place in the champion log, and why."""

    number: int
    reason: str


class Live:
    """What is served.

    Attributes:
      current: what answers. Whoever answers a request reads it once, and so stays with one index.
      loading: the champion that is being loaded beside it; 0 for none.
      failure: the champion that could not be loaded; None if all is well.
    """

    def __init__(self, current: Served) -> None:
        self.current = current
        self.loading = 0
        self.failure: Failure | None = None


def load_index(directory: str) -> Served:
    """Loads an index that belongs to no registry. Raises `UserError` if there is none."""
    return Served(1, "", _ready(directory))


def load_champion(registry: Registry) -> Served:
    """Loads the champion. Raises `UserError` if there is none, or it is broken."""
    entry = registry.champion_log.latest()
    if entry is None:
        raise UserError(f"{registry.root} has no champion to serve; publish one by `twotower run`")
    return Served(entry.sequence, entry.version, _ready(str(published_index(registry.root, entry.version))))


class ChampionWatcher:
    """A thread that looks for a new champion, loads it beside the present one, and puts it in its place."""

    def __init__(self, registry: Registry, live: Live, poll_seconds: float) -> None:
        self._registry, self._live, self._poll_seconds = registry, live, poll_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="champion watcher", daemon=True)

    def start(self) -> None:
        """Begins to look."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, or leaves it to end with the process if it is at work."""
        self._stop.set()
        self._thread.join(timeout=1.0)

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            self.look()

    def look(self) -> None:
        """Takes up the champion if it is new; if it cannot be loaded, the present one stays."""
        number = self._live.loading
        try:
            number = max(self._registry.champion_log.sequences(), default=0)
            if number <= self._live.current.number:
                return
            self._live.loading = number
            self._take_up(load_champion(self._registry))
        except UserError as error:
            self._fail(Failure(number, str(error)))
        finally:
            self._live.loading = 0

    def _take_up(self, served: Served) -> None:
        log(f"serving {served.version}, number {served.number}, in the place of {self._live.current.version}")
        self._live.current, self._live.failure = served, None
        # What answers no request any more holds a catalogue's worth of memory, in cycles.
        gc.collect()

    def _fail(self, failure: Failure) -> None:
        if failure != self._live.failure:
            log(f"{self._live.current.version} stays: {failure.reason}")
        self._live.failure = failure


def _ready(directory: str) -> ServedIndex:
    index = ServedIndex.load(directory)
    index.warm_up()
    return index

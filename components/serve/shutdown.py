"""End of the server by a signal."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

import uvicorn

from components.progress import log


class DrainingServer(uvicorn.Server):
    """On SIGTERM, says that it is not ready, serves on for a grace, and then finishes.

    Balancers take a moment to notice. SIGINT and a second SIGTERM end the grace.
    """

    def __init__(self, config: uvicorn.Config, grace_seconds: float, drain: Callable[[], None]) -> None:
        """Args: `drain`: called at each signal; makes /readyz say that the server is not ready."""
        super().__init__(config)
        self._grace_seconds, self._drain = grace_seconds, drain
        self._told = False
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Takes a signal."""
        again, self._told = self._told, True
        self._drain()
        if sig != signal.SIGTERM:
            super().handle_exit(sig, frame)
        elif self._grace_seconds and not again:
            log(f"told to stop: not ready from now, finishing in {self._grace_seconds:g} s")
            self._loop.call_soon_threadsafe(self._loop.call_later, self._grace_seconds, self._finish)
        else:
            self._finish()

    def _finish(self) -> None:
        # uvicorn would end the process by the signal once it has finished, before what is open is closed.
        self.should_exit = True

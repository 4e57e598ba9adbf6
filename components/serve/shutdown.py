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
        finish, again, self._told = super().handle_exit, self._told, True
        self._drain()
        if sig == signal.SIGTERM and self._grace_seconds and not again:
            log(f"told to stop: not ready from now, finishing in {self._grace_seconds:g} s")
            self._loop.call_soon_threadsafe(self._loop.call_later, self._grace_seconds, finish, sig, None)
        else:
            finish(sig, frame)

"""ASGI middleware around the routes: request ids, access log, metrics, CORS and API keys."""

import itertools
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serve.access_log import AccessLog, Entry
from components.serve.api_keys import ApiKeys, KeyCheck
from components.serve.hosts import HostCheck
from components.serve.prometheus import OTHER, Metrics

# Paths that balancers and Kubernetes ask without a key.
_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:=-]{1,128}")

# In log and metrics: the client went away before its answer began. The number is nginx's.
_CLIENT_LEFT = 499


@dataclass(frozen=True)
class AccessSettings:
    """Settings of who may ask, and of what is written about it."""

    log_format: str = "off"  # "text", "json" or "off"
    log_stream: str = "stdout"  # or "stderr"
    keys: str = ""  # a file of API keys; "" for none
    public_metrics: bool = False  # whether /metrics is answered without a key
    origins: Sequence[str] = ()  # whose pages may ask; "*" for all
    hosts: Sequence[str] = ()  # the server's names; "*.example.com" for all below one, "*" for all


def wrap(
    app: ASGIApp,
    access: AccessSettings,
    keys: ApiKeys | None,
    metrics: Metrics,
    log: AccessLog | None,
    draining: Callable[[], bool],
) -> ASGIApp:
    """Puts the middleware that `access` asks for around `app`.

    Args:
      keys: those of the file `access.keys`.
      log: takes an entry for each request.
      draining: says whether the server has been told to stop.
    """
    app = HostCheck(app, access.hosts, access.origins)
    if keys:
        app = KeyCheck(app, keys, _HEALTH | {"/metrics"} if access.public_metrics else _HEALTH)
    if access.origins:
        app = CORSMiddleware(
            app,
            allow_origins=access.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "X-API-Key", "X-Request-Id"],
            expose_headers=["X-Request-Id"],
        )
    return _Observer(app, metrics, log, draining)


class _Observer:
    """Gives each request an id, and counts and logs its answer."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, log: AccessLog | None, draining: Callable[[], bool]
    ) -> None:
        self._app, self._metrics, self._log, self._draining = app, metrics, log, draining
        self._start, self._numbers = secrets.token_hex(6), itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrived, started = time.time(), time.perf_counter()
        request_id, status = self._request_id(scope["headers"]), _CLIENT_LEFT

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", request_id)]
                if self._draining():  # the next request goes to another server
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            seconds = time.perf_counter() - started
            # The router names the endpoint; unknown paths share one label.
            endpoint = scope.get("endpoint")
            self._metrics.count(endpoint.__name__ if endpoint else OTHER, status, seconds)
            if self._log:
                client = scope["client"][0] if scope["client"] else ""
                path = scope["raw_path"]
                entry = Entry(arrived, request_id, client, scope["method"], path, status, seconds)
                self._log.add(entry)

    def _request_id(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Returns the id that the client gave, if it can stand in a log, or a new one."""
        for name, value in headers:
            if name == b"x-request-id" and _WELL_FORMED.fullmatch(value):
                return value
        return f"{self._start}-{next(self._numbers):x}".encode()

"""ASGI middleware around the routes: who may ask, request ids, access log, metrics and CORS."""

import ipaddress
import itertools
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from components.serve.access_log import AccessLog, Entry
from components.serve.api_keys import ApiKeys, KeyCheck
from components.serve.prometheus import OTHER, Metrics
from components.serve.rest import encode_error

# Paths that balancers and Kubernetes ask without a key.
_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})

_WELL_FORMED = re.compile(rb"[A-Za-z0-9._:=-]{1,128}")

# Methods that change nothing.
_READING = ("GET", "HEAD", "OPTIONS")

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


class HostCheck:
    """Middleware that refuses requests to names that are not this server's, and POST from other sites' pages.

    A page of another site can point a name of its own at this machine (DNS rebinding), and would then read
    what only this machine may. It cannot do so under an address, so addresses are always allowed.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str], origins: Sequence[str] = ()) -> None:
        """Takes the server's names ("*.example.com" for those below one, "*" for all), and sites allowed."""
        self._app, self._origins = app, origins
        self._allows = lru_cache(1_000)(_name_check(names))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers the request, or lets the application do so."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal:
            status, message = refusal
            response = Response(encode_error(message), status, media_type="application/json")
            await response(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        for host in hosts:
            if not self._allows(host):
                return 421, f"{host[:80]!r} is not a name of this server; allow it by --allowed-host"
        if scope["method"] in _READING:
            return None
        for origin in (value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"):
            if origin not in self._origins and "*" not in self._origins and _place(origin) not in hosts:
                return 403, f"a page of {origin[:80]!r} may not ask this server"
        return None


def _place(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def _name_check(names: Sequence[str]) -> Callable[[str], bool]:
    exact = {name.lower() for name in names}
    endings = tuple(name[1:] for name in exact if name.startswith("*."))

    def allows(host: str) -> bool:
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        name = name.lower().removesuffix(".")
        return "*" in exact or name in exact or name.endswith(endings) or _is_address(name)

    return allows


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True

"""HTTP server: routes, address and shutdown."""

import asyncio
import functools
import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from components.errors import UserError
from components.progress import log
from components.serve import frontend, openapi
from components.serve.access_log import AccessLog, access_log
from components.serve.answerer import Answerer
from components.serve.api_keys import ApiKeys
from components.serve.connections import (
    SECONDS_IDLE,
    Connection,
    Connections,
    OncePerMinute,
    raise_descriptor_limit,
)
from components.serve.live import Live
from components.serve.messages import PAGE, PREDICT
from components.serve.prometheus import Metrics, ServedState
from components.serve.rest import RequestError, encode_error, encode_status

_SECONDS_FOR_A_BODY = 30.0
_SECONDS_FOR_HEALTH = 1.0

# The page loads nothing else.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
# Of every answer.
_HEADERS = [("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store")]

# The longest query of the page: each of its some hundred links repeats the picks in it.
_QUERY_BYTES = 4_096


def application(live: Live, name: str, body_bytes: int, metrics: Metrics, with_keys: bool) -> Starlette:
    """Builds the ASGI application.

    Args:
      name: the model's in the paths.
      body_bytes: the largest body of a request.
      with_keys: whether requests need an API key, for the description of the interface.
    """
    model, endpoints = f"/v1/models/{name}", _Endpoints(live, metrics, body_bytes, with_keys)
    version = f"{model}/versions/{{number}}"
    return Starlette(
        routes=[
            Route("/", endpoints.page),
            Route("/livez", endpoints.live),
            *(Route(path, endpoints.ready) for path in ("/readyz", "/healthz")),
            Route("/metrics", metrics.metrics),
            Route("/openapi.json", endpoints.openapi),
            *(Route(f"{path}:predict", endpoints.predict, methods=["POST"]) for path in (model, version)),
            *(Route(f"{path}/metadata", endpoints.metadata) for path in (model, version)),
            *(Route(path, endpoints.status) for path in (model, version)),
        ],
        exception_handlers={RequestError: _refused, HTTPException: _not_found, Exception: _broken},
    )


class _Endpoints:
    def __init__(self, live: Live, metrics: Metrics, body_bytes: int, with_keys: bool) -> None:
        self._live, self._metrics = live, metrics
        self._body_bytes, self._with_keys = body_bytes, with_keys
        self._described = b"", b""  # signatures, and the description made of them

    async def predict(self, request: Request) -> Response:
        body = await self._body(request)
        answer = await self._answerer(request).ask(PREDICT, body, Connection.of(request.scope))
        self._metrics.cold_answers.inc(answer.cold)
        return _json(answer.body, answer.kind)

    async def page(self, request: Request) -> Response:
        query = request.scope["query_string"]
        if len(query) > _QUERY_BYTES:
            raise RequestError(f"the query has more than {_QUERY_BYTES:,} bytes; pick fewer movies", 414)
        answer = await self._live.current.ask(PAGE, query, Connection.of(request.scope))
        if answer.kind != 200:
            return _json(answer.body, answer.kind)
        return Response(answer.body, media_type="text/html", headers=_PAGE_HEADERS)

    async def openapi(self, request: Request) -> Response:
        metadata = self._live.current.metadata
        if self._described[0] is not metadata:
            description = openapi.describe(request.app.routes, metadata, self._with_keys)
            self._described = metadata, description
        return _json(self._described[1])

    async def metadata(self, request: Request) -> Response:
        return _json(self._answerer(request).metadata)

    async def status(self, request: Request) -> Response:
        served = self._answerer(request).source.number
        number, reason = self._live.failure or (0, "")
        versions = {number: ("END", reason)} if number else {}
        if loading := self._live.loading:
            versions[loading] = ("LOADING", reason if loading == number else "")
        versions[served] = ("AVAILABLE", reason if served == number else "")
        return _json(encode_status(versions))

    async def live(self, _: Request) -> Response:
        """Answers as long as this process does; the one with the index is replaced without a restart."""
        return JSONResponse({"status": "ok"})

    async def ready(self, _: Request) -> Response:
        """Asks the process with the index whether it responds."""
        answerer = self._live.current
        facts = {"version": answerer.source.version, "number": answerer.source.number}
        if self._live.draining:
            return JSONResponse({"status": "the server has been told to stop", **facts}, 503)
        if not answerer.alive:
            return JSONResponse({"status": "the process that answers is being started", **facts}, 503)
        if not await answerer.responds(_SECONDS_FOR_HEALTH):
            return JSONResponse({"status": "the process that answers does not respond", **facts}, 503)
        return JSONResponse({"status": "ok", **facts})

    def _answerer(self, request: Request) -> Answerer:
        answerer = self._live.current
        served = answerer.source.number
        wanted = request.path_params.get("number", str(served))
        if wanted != str(served):
            raise RequestError(f"version {wanted[:20]} is not served; {served} is", 404)
        return answerer

    async def _body(self, request: Request) -> bytes:
        too_large = RequestError(f"the body has more than {self._body_bytes:,} bytes; send less at once", 413)
        if int(request.headers.get("content-length", 0)) > self._body_bytes:
            raise too_large
        body = bytearray()
        try:
            async with asyncio.timeout(_SECONDS_FOR_A_BODY):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._body_bytes:
                        raise too_large
        except TimeoutError as error:
            raise RequestError("the body took too long to arrive", 408) from error
        except ClientDisconnect as error:
            raise RequestError("the client has left", 499) from error
        return bytes(body)


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestError)
    answer = _json(encode_error(str(error)), error.status)
    if error.status == 503:
        answer.headers["Retry-After"] = "1"
    return answer


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse({"error": message}, error.status_code, headers=error.headers)


def _broken(_: Request, __: Exception) -> Response:
    # uvicorn logs the exception itself.
    return _json(encode_error("internal error; the server's log has it"), 500)


# The most connections that wait to be accepted.
_BACKLOG = 1024

# Time for requests in progress when the server is told to stop.
_SECONDS_TO_FINISH = 10


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


def serve(
    *,
    registry: str,
    index: str,
    name: str,
    host: str,
    port: int,
    poll_seconds: float,
    body_bytes: int,
    timeout: float,
    max_connections: int,
    grace_seconds: float,
    access: frontend.AccessSettings,
) -> None:
    """Serves the champion of a registry, or an index, until SIGINT or SIGTERM; finishes requests in progress.

    Raises `UserError` if there is nothing to serve, or the address or the file of keys cannot be used.

    Args:
      registry: a directory, gs:// or s3:// prefix; not read if `index` is given.
      index: an index directory; "" for the champion.
      name: the name of the model in the paths.
      host, port: the address to listen on; port 0 for a free one.
      poll_seconds: interval between looks for a new champion.
      body_bytes: the largest body of a request.
      timeout: deadline of an answer, in seconds.
      max_connections: the most connections at a time; fewer if the limit of descriptors is lower.
      grace_seconds: time between SIGTERM, from which /readyz says no, and the end.
      access: who may ask, and what is logged.
    """
    keys = ApiKeys(access.keys) if access.keys else None

    async def run(listener: socket.socket) -> None:
        live = await Live.start(name, index, registry, timeout)
        _announce(listener, live, name, keys is not None)
        connections = Connections(raise_descriptor_limit(max_connections), timeout)
        watching = asyncio.create_task(live.watch(poll_seconds))
        try:
            with access_log(access.log_format, access.log_stream) as lines:
                app = _application(live, name, body_bytes, access, keys, lines)
                server = DrainingServer(_config(app, connections), grace_seconds, live.drain)
                ending = asyncio.create_task(connections.end_late_ones(server.server_state.connections))
                await server.serve(sockets=[listener])
                ending.cancel()
        finally:
            watching.cancel()
            await live.close()

    # uvicorn raises Ctrl-C again once all requests have been answered.
    loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with _listener(host, port) as listener, suppress(KeyboardInterrupt), loop:
        loop.run(run(listener))


def _application(
    live: Live,
    name: str,
    body_bytes: int,
    access: frontend.AccessSettings,
    keys: ApiKeys | None,
    log: AccessLog | None,
) -> ASGIApp:
    """Builds the application with its middleware."""
    metrics = Metrics(lambda: _state(live))
    app = application(live, name, body_bytes, metrics, keys is not None)
    return frontend.wrap(app, access, keys, metrics, log, lambda: live.draining)


def _state(live: Live) -> ServedState:
    source = live.current.source
    return ServedState(
        live.current.waiting, source.number, source.version, live.reloads, live.reload_failures, live.restarts
    )


def _config(app: ASGIApp, connections: Connections) -> uvicorn.Config:
    for logger in ("asyncio", "uvicorn.error"):
        logging.getLogger(logger).addFilter(OncePerMinute())
    return uvicorn.Config(
        app,
        http=functools.partial(Connection, connections),  # type: ignore[arg-type]  # it only calls it
        ws="none",
        headers=_HEADERS,
        timeout_keep_alive=SECONDS_IDLE,
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host} port {port}: {error.strerror}; name another --host or --port"
        ) from error
    # Connections inherit it. Without it the body of an answer waits 40 ms for the client to confirm the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _announce(listener: socket.socket, live: Live, name: str, with_keys: bool) -> None:
    host, port, *_ = listener.getsockname()
    if not ipaddress.ip_address(host).is_loopback:
        lacking = "no encryption" if with_keys else "no API key (--api-keys) and no encryption"
        log(f"everybody who reaches this machine can connect: there is {lacking}")
    source = live.current.source
    shown = f"[{host}]" if ":" in host else host
    log(
        f"serving {source.title}, number {source.number}: http://{shown}:{port}/ and "
        f"http://{shown}:{port}/v1/models/{name}"
    )

"""The server: what it serves, where it listens, and how it ends."""

import asyncio
import ipaddress
import socket
from contextlib import suppress

import uvicorn

from components.errors import UserError
from components.progress import log
from components.registry.registry import Registry
from components.serve.app import application
from components.serve.live import Live

# Connections that wait to be accepted.
_BACKLOG = 1024

# For requests under way when the server is told to stop.
_SECONDS_TO_FINISH = 10


def serve(
    *, registry: str, index: str, name: str, host: str, port: int, poll_seconds: float, body_bytes: int
) -> None:
    """Serves the champion of a registry, or one index, until SIGINT or SIGTERM; requests under way end first.

    Args:
      registry: a directory or gs:// prefix; not read if `index` is given.
      index: an index directory; "" for the champion.
      name: the model's, in the paths.
      host: the address to listen on.
      port: its port; 0 for a free one.
      poll_seconds: how often to look for a new champion.
      body_bytes: the largest body of a request.

    Raises:
      UserError: if there is nothing to serve, or the address cannot be had.
    """

    async def run(listener: socket.socket) -> None:
        if index:
            live = await Live.of_index(name, index)
        else:
            live = await Live.of_champion(name, Registry(registry))
        _announce(listener, live, name)
        watching = asyncio.create_task(live.watch(poll_seconds))
        try:
            await _http_server(live, name, body_bytes).serve(sockets=[listener])
        finally:
            watching.cancel()
            await live.close()

    # uvicorn raises Ctrl-C again once all requests have been answered.
    with _listener(host, port) as listener, suppress(KeyboardInterrupt):
        asyncio.run(run(listener))


def _http_server(live: Live, name: str, body_bytes: int) -> uvicorn.Server:
    config = uvicorn.Config(
        application(live, name, body_bytes),
        access_log=False,
        log_config=None,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_SECONDS_TO_FINISH,
    )
    return uvicorn.Server(config)


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UserError(
            f"cannot listen on {host} port {port}: {error.strerror}; name another --host or --port"
        ) from error
    # Connections inherit it. Else the body of an answer waits 40 ms for the client to confirm the head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _announce(listener: socket.socket, live: Live, name: str) -> None:
    host, port, *_ = listener.getsockname()
    if not ipaddress.ip_address(host).is_loopback:
        log("everybody who reaches this machine can ask: there is no password and no encryption")
    source = live.current.source
    shown = f"[{host}]" if ":" in host else host
    log(
        f"serving {source.version or source.index}, number {source.number}: http://{shown}:{port}/ and "
        f"http://{shown}:{port}/v1/models/{name}"
    )

"""The server: what it serves, where it listens, and how it ends."""

import gc
import importlib
import ipaddress
import socket
import sys
from contextlib import suppress

import uvicorn

from components.errors import UserError
from components.progress import log
from components.registry.registry import Registry
from components.serve.app import application
from components.serve.live import ChampionWatcher, Live, load_champion, load_index

# While one thread loads a champion, another waits so long at most for its turn. Python's own value of 5 ms
# would be felt in every answer.
_SWITCH_SECONDS = 0.0005

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
    _prepare_the_interpreter()
    with _listener(host, port) as listener:
        store = None if index else Registry(registry)
        live = Live(load_champion(store) if store else load_index(index))
        watcher = ChampionWatcher(store, live, poll_seconds) if store else None
        if watcher:
            watcher.start()
        _announce(listener, live, name)
        config = uvicorn.Config(
            application(live, name, body_bytes),
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
        )
        with suppress(KeyboardInterrupt):  # raised again once all requests have been answered
            uvicorn.Server(config).run(sockets=[listener])
        if watcher:
            watcher.stop()


def _prepare_the_interpreter() -> None:
    sys.setswitchinterval(_SWITCH_SECONDS)
    # TensorFlow's own half a million objects stay for good: the collector need not go through them whenever
    # an index comes or goes.
    importlib.import_module("tensorflow")
    gc.collect()
    gc.freeze()


def _listener(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"cannot listen on {host} port {port}: {reason}; name another --host or --port"
        ) from error


def _announce(listener: socket.socket, live: Live, name: str) -> None:
    host, port, *_ = listener.getsockname()
    if not ipaddress.ip_address(host).is_loopback:
        log("everybody who reaches this machine can ask: there is no password and no encryption")
    what = f"{live.current.version}, number {live.current.number}" if live.current.version else "the index"
    shown = f"[{host}]" if ":" in host else host
    log(f"serving {what}: http://{shown}:{port}/ and http://{shown}:{port}/v1/models/{name}")

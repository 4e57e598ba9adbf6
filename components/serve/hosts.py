"""Check of the names under which the server is asked, and of the sites whose pages ask it."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from components.serve.rest import encode_error

_READING = ("GET", "HEAD", "OPTIONS")


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


def _name_check(names: Sequence[str]):  # type: ignore[no-untyped-def]
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

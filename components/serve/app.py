"""The routes."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from components.errors import UserError
from components.serve.limits import check_limits
from components.serve.live import Live
from components.serve.page import Question, page
from components.serve.rest import (
    RequestError,
    encode_answer,
    encode_error,
    encode_metadata,
    encode_status,
    read_call,
)
from components.serve.served_index import Served

# TensorFlow spreads one request over all cores; a second one fills the gaps.
_THREADS = 2

# Requests that wait, beyond which it is better to say so.
_WAITING = 256

_SECONDS_FOR_A_BODY = 30.0

# The page holds nothing but itself.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


T = TypeVar("T")


def application(live: Live, name: str, body_bytes: int) -> Starlette:
    """The ASGI application.

    Args:
      live: what is served.
      name: the model's, in the paths.
      body_bytes: the largest body of a request.
    """
    model, endpoints = f"/v1/models/{name}", _Endpoints(live, name, body_bytes)
    version = f"{model}/versions/{{number:int}}"
    return Starlette(
        routes=[
            Route("/", endpoints.page),
            Route("/healthz", endpoints.health),
            *(Route(f"{path}:predict", endpoints.predict, methods=["POST"]) for path in (model, version)),
            *(Route(f"{path}/metadata", endpoints.metadata) for path in (model, version)),
            *(Route(path, endpoints.status) for path in (model, version)),
        ],
        exception_handlers={
            RequestError: _refused,
            HTTPException: _not_found,
            UserError: _refused,
            Exception: _broken,
        },
    )


class _Endpoints:
    def __init__(self, live: Live, name: str, body_bytes: int) -> None:
        self._live, self._name, self._body_bytes = live, name, body_bytes
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="answers")
        self._waiting = 0

    async def predict(self, request: Request) -> Response:
        body = await self._body(request)
        served = self._served(request)
        return _json(await self._in_thread(partial(_answer, served, body)))

    async def metadata(self, request: Request) -> Response:
        return _json(encode_metadata(self._name, self._served(request)))

    async def status(self, request: Request) -> Response:
        versions = {self._served(request).number: ("AVAILABLE", "")}
        if self._live.failure:
            versions[self._live.failure.number] = ("END", self._live.failure.reason)
        if self._live.loading:
            versions[self._live.loading] = ("LOADING", "")
        return _json(encode_status(versions))

    async def health(self, _: Request) -> Response:
        served = self._live.current
        return JSONResponse({"status": "ok", "version": served.version, "number": served.number})

    async def page(self, request: Request) -> Response:
        question = Question.of(request.query_params.multi_items())
        text = await self._in_thread(partial(page, self._live.current, question))
        return HTMLResponse(text, headers=_PAGE_HEADERS)

    def _served(self, request: Request) -> Served:
        served = self._live.current
        wanted = request.path_params.get("number", served.number)
        if wanted != served.number:
            raise RequestError(f"version {wanted} is not served; {served.number} is", 404)
        return served

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
        return bytes(body)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING:
            raise RequestError("too many requests are waiting; try again in a moment", 503)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


def _answer(served: Served, body: bytes) -> bytes:
    call = read_call(body, served.index)
    check_limits(call)
    return encode_answer(call, served.index.predict(call.signature, call.inputs))


def _json(body: bytes, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _refused(_: Request, error: Exception) -> Response:
    return _json(encode_error(str(error)), getattr(error, "status", 400))


def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse({"error": message}, error.status_code, headers=error.headers)


def _broken(_: Request, error: Exception) -> Response:
    # The server logs the exception itself.
    return _json(encode_error("internal error; the server's log has it"), 500)

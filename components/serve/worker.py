"""Process that holds an index and answers, and the messages between it and the server."""

import asyncio
import gc
import json
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple
from urllib.parse import parse_qsl

from components.errors import UserError
from components.machine import available_cpus
from components.registry.registry import published_index
from components.serve.page import Question, page
from components.serve.rest import (
    RequestError,
    check_limits,
    encode_answer,
    encode_error,
    encode_metadata,
    read_call,
)
from components.serve.served_index import Served, ServedIndex

_HEAD = struct.Struct("!IHI")

# Kinds of questions.
PREDICT, PAGE = 1, 2

# Kinds of messages about the process itself, sent before any question.
READY, FAILED = 1, 2


class Frame(NamedTuple):
    """A message."""

    number: int  # of the question; 0 for a message about the process itself
    kind: int  # of the question or message; in an answer, the HTTP status
    body: bytes  # less than 4 GB


def pack(frame: Frame) -> bytes:
    """Encodes a message."""
    return _HEAD.pack(frame.number, frame.kind, len(frame.body)) + frame.body


def read(file: BinaryIO) -> Frame | None:
    """Reads the next message; None when the other side has closed the connection."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    number, kind, size = _HEAD.unpack(head)
    body = file.read(size)
    return Frame(number, kind, body) if len(body) == size else None


async def receive(reader: asyncio.StreamReader) -> Frame | None:
    """Reads the next message; None when the other side has closed the connection."""
    try:
        number, kind, size = _HEAD.unpack(await reader.readexactly(_HEAD.size))
        return Frame(number, kind, await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


# Requests that are answered in parallel. More threads slow each other down in the Python interpreter.
_THREADS = max(2, min(8, available_cpus()))


@dataclass(frozen=True)
class Source:
    """An index to serve."""

    name: str  # of the model in the paths
    number: int  # the champion's number in the champion log; 1 for an index without registry
    registry: str = ""  # a directory, gs:// or s3:// prefix; "" for none
    version: str = ""  # the id in the registry
    index: str = ""  # the directory of an index without registry; "" for none


def main() -> None:
    """Loads the index, reports the result, and answers questions."""
    source = Source(**json.loads(sys.argv[2]))
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        send = _sender(connection)
        try:
            served = _load(source)
        except UserError as error:
            send(Frame(0, FAILED, str(error).encode()))
            return
        send(Frame(0, READY, encode_metadata(source.name, served)))
        with connection.makefile("rb") as questions, ThreadPoolExecutor(_THREADS) as pool:
            while question := read(questions):
                pool.submit(_reply, served, question, send)


def _load(source: Source) -> Served:
    directory = source.index or published_index(source.registry, source.version)
    index = ServedIndex.load(directory)
    index.warm_up()
    # The index stays as long as the process: garbage collections of it would only delay answers.
    gc.collect()
    gc.freeze()
    return Served(source.number, source.version, index)


def _reply(served: Served, question: Frame, send: Callable[[Frame], None]) -> None:
    """Sends the answer to a question; an error becomes an answer with its status."""
    work = {PREDICT: _predict, PAGE: _page}[question.kind]
    try:
        status, body = 200, work(served, question.body)
    except RequestError as error:
        status, body = error.status, encode_error(str(error))
    except UserError as error:
        status, body = 400, encode_error(str(error))
    except Exception:
        traceback.print_exc()
        status, body = 500, encode_error("internal error; the server's log has it")
    send(Frame(question.number, status, body))


def _predict(served: Served, body: bytes) -> bytes:
    call = read_call(body, served.index)
    check_limits(call)
    return encode_answer(call, served.index.predict(call.signature, call.inputs))


def _page(served: Served, query: bytes) -> bytes:
    return page(served, Question.of(parse_qsl(query.decode("latin-1")))).encode()


def _sender(connection: socket.socket) -> Callable[[Frame], None]:
    """Returns a function that sends one message at a time, and ignores a closed connection."""
    lock = threading.Lock()

    def send(frame: Frame) -> None:
        with lock, suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(pack(frame))

    return send


if __name__ == "__main__":
    main()

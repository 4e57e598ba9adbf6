"""Process that holds an index and answers."""

import gc
import json
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import parse_qsl

from components.errors import UserError
from components.machine import available_cpus
from components.registry.registry import published_index
from components.serve.gathering import Gathering, Waiting
from components.serve.limits import answer
from components.serve.messages import (
    CANCEL,
    FAILED,
    PAGE,
    PING,
    PREDICT,
    READY,
    Frame,
    Source,
    pack,
    received,
)
from components.serve.page import Question, page
from components.serve.rest import (
    RequestError,
    count_cold,
    encode_answer,
    encode_error,
    encode_metadata,
    read_call,
)
from components.serve.served_index import Served, ServedIndex

# Requests that are answered in parallel. More threads slow each other down in the Python interpreter.
_THREADS = max(2, min(8, available_cpus()))


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
        _answer_all(served, connection, send)


def _answer_all(served: Served, connection: socket.socket, send: Callable[..., None]) -> None:
    """Answers questions until the server closes the connection: short ones gathered, others by a pool."""
    gathering = Gathering(served.index)
    waiting = set[int]()  # numbers of questions for the pool that are still to be computed

    def reply(question: Frame) -> None:
        wanted = question.number in waiting
        waiting.discard(question.number)
        send(_answer(served, question) if wanted else Frame(question.number, 0, b""))

    with ThreadPoolExecutor(_THREADS) as pool:

        def compute(question: Frame) -> None:
            waiting.add(question.number)
            pool.submit(reply, question)

        for questions in received(connection):
            short = dict[int, Waiting]()
            for question in questions:
                if question.kind == PING:
                    send(question)
                elif question.kind == CANCEL:
                    waiting.discard(question.number)
                    if short.pop(question.number, None):
                        send(Frame(question.number, 0, b""))
                elif one := gathering.read(question):
                    short[question.number] = one
                else:
                    compute(question)
            for part in gathering.parts(short.values()):
                try:
                    send(*gathering.answer(part))
                except Exception:
                    # Each by itself, so that each is given an error of its own.
                    for question, _ in part:
                        compute(question)
        waiting.clear()


def _load(source: Source) -> Served:
    directory = source.index or published_index(source.registry, source.version)
    index = ServedIndex.load(directory)
    index.warm_up()
    # The index stays as long as the process: garbage collections of it would only delay answers.
    gc.collect()
    gc.freeze()
    return Served(source.number, source.version, index)


def _answer(served: Served, question: Frame) -> Frame:
    """Computes the answer to a question; an error becomes an answer with its status."""
    work = {PREDICT: _predict, PAGE: _page}[question.kind]
    status, cold = 200, 0
    try:
        body, cold = work(served, question.body)
    except RequestError as error:
        status, body = error.status, encode_error(str(error))
    except UserError as error:
        status, body = 400, encode_error(str(error))
    except Exception:
        traceback.print_exc()
        status, body = 500, encode_error("internal error; the server's log has it")
    return Frame(question.number, status, body, cold)


def _predict(served: Served, body: bytes) -> tuple[bytes, int]:
    """Returns the answer, and the number of users without ratings to whom it recommends movies."""
    call = read_call(body, served.index)
    outputs = answer(call, served.index)
    return encode_answer(call, outputs), count_cold(outputs)


def _page(served: Served, query: bytes) -> tuple[bytes, int]:
    return page(served, Question.of(parse_qsl(query.decode("latin-1")))).encode(), 0


def _sender(connection: socket.socket) -> Callable[..., None]:
    """Returns a function that sends messages without others between, and ignores a closed connection."""
    lock = threading.Lock()

    def send(*frames: Frame) -> None:
        with lock, suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(b"".join(map(pack, frames)))

    return send


if __name__ == "__main__":
    main()

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
from components.serve.messages import CANCEL, FAILED, PAGE, PING, PREDICT, READY, Frame, Source, pack, read
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
        waiting = set[int]()  # numbers of questions that are still to be computed

        def answer(question: Frame) -> None:
            wanted = question.number in waiting
            waiting.discard(question.number)
            send(_answer(served, question) if wanted else Frame(question.number, 0, b""))

        with connection.makefile("rb") as questions, ThreadPoolExecutor(_THREADS) as pool:
            while question := read(questions):
                if question.kind == PING:
                    send(question)
                elif question.kind == CANCEL:
                    waiting.discard(question.number)
                else:
                    waiting.add(question.number)
                    pool.submit(answer, question)
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
    check_limits(call)
    outputs = served.index.predict(call.signature, call.inputs)
    cold = int((~outputs["known_user"]).sum()) if {"known_user", "score"} <= outputs.keys() else 0
    return encode_answer(call, outputs), cold


def _page(served: Served, query: bytes) -> tuple[bytes, int]:
    return page(served, Question.of(parse_qsl(query.decode("latin-1")))).encode(), 0


def _sender(connection: socket.socket) -> Callable[[Frame], None]:
    """Returns a function that sends one message at a time, and ignores a closed connection."""
    lock = threading.Lock()

    def send(frame: Frame) -> None:
        with lock, suppress(BrokenPipeError, ConnectionResetError):
            connection.sendall(pack(frame))

    return send


if __name__ == "__main__":
    main()

"""The load generator counts every request that was due, from the moment at which it was due."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import http_load
import pytest


@contextmanager
def stub(seconds: float) -> Iterator[int]:
    """A server that echoes after so long, refuses the body "no" and closes the connection at "bye"."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if body == b"bye":
                self.close_connection = True
                return
            time.sleep(seconds)
            self.send_response(400 if body == b"no" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def requests(*bodies: str) -> list[bytes]:
    return [f"POST / HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode() for body in bodies]


def test_every_request_is_answered_or_has_failed() -> None:
    with stub(0.0) as port:
        result = http_load.run(
            port, requests("a", "no", "a", "bye", "a"), rate=100, seconds=0.5, connections=3
        )
    assert len(result.latencies) == 50
    assert sorted(failure[:20] for failure in result.failures) == sorted(
        10 * ["ConnectionResetError"] + 10 * ["HTTP/1.1 400 Bad Req"]
    )
    assert [due for due, _ in sorted(result.latencies)] == pytest.approx([n / 100 for n in range(50)])


def test_a_request_that_waited_for_a_connection_is_late() -> None:
    with stub(0.1) as port:
        result = http_load.run(port, requests("a"), rate=50, seconds=0.2, connections=1)
    # The last of ten is due after 0.18 s, and answered after a second.
    assert len(result.latencies) == 10
    assert max(result.latencies)[1] > 800


def test_without_a_rate_each_connection_has_one_request_under_way() -> None:
    with stub(0.05) as port:
        result = http_load.run(port, requests("a"), rate=0, seconds=0.3, connections=2)
    assert 2 <= len(result.latencies) <= 14
    assert not result.failures

"""Load on an HTTP server at a steady rate, from a process of its own that takes little of the processors.

    python benchmarks/http_load.py PORT PATH RATE SECONDS CONNECTIONS < BODIES

The bodies, one a line, are posted in turn. Request n is due n / RATE seconds after the start, whether or not
the ones before have been answered, is sent by the first connection that is free, and its latency counts from
the moment at which it was due. With the rate 0 each connection sends its next request when it has its answer.

Prints a `Result` as JSON. It takes the standard library's sockets only: a client library takes more processor
time than the server.
"""

import json
import select
import socket
import sys
import time
from dataclasses import asdict, dataclass, field

# After so many seconds beyond the last due moment, requests without an answer have failed.
_SECONDS_LATE = 5.0


@dataclass
class Result:
    """Latencies and failures of a run: each request that was due is in one of the two."""

    latencies: list[tuple[float, float]] = field(default_factory=list)  # due, s from the start; ms it took
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0  # from the start to the last answer
    processor_seconds: float = 0.0  # that the generator took


class Connection:
    """A connection with one request at a time."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self._size = bytearray(), 0
        self.due = 0.0

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self._socket.sendall(request)

    def receive(self) -> bytes:
        """Returns the answer when all of it has come, else b"". Raises OSError if there will be none."""
        data = self._socket.recv(1 << 18)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._received += data
        if not self._size and (end := self._received.find(b"\r\n\r\n")) >= 0:
            length = self._received[:end].lower().partition(b"content-length:")[2]
            self._size = end + 4 + int(length.partition(b"\r\n")[0])
        if not self._size or len(self._received) < self._size:
            return b""
        answer, self._received, self._size = bytes(self._received), bytearray(), 0
        return answer


def run(port: int, requests: list[bytes], rate: float, seconds: float, connections: int) -> Result:
    """Sends requests for some seconds, and waits for the last answers."""
    result, number = Result(), 0
    free, busy = [Connection(port) for _ in range(connections)], set[Connection]()
    started, processor = time.perf_counter(), time.process_time()
    while True:
        now = time.perf_counter() - started
        due = number / rate if rate else now
        if due >= seconds and (not busy or now > seconds + _SECONDS_LATE):
            break
        if due <= now and due < seconds and free:
            connection = free.pop()
            connection.send(requests[number % len(requests)], due)
            busy.add(connection)
            number += 1
            continue
        patience = due - now if free and due < seconds else _SECONDS_LATE
        for connection in select.select(busy, [], [], patience)[0]:
            try:
                answer = connection.receive()
            except OSError as error:
                answer = repr(error).encode()
            if answer:
                result.latencies.append(
                    (connection.due, (time.perf_counter() - started - connection.due) * 1e3)
                )
                busy.remove(connection)
                if answer.startswith(b"HTTP/1.1 200 "):
                    free.append(connection)
                else:
                    result.failures.append(answer[:300].decode(errors="replace"))
                    free.append(Connection(port))
    late = (int(seconds * rate) if rate else number) - len(result.latencies)
    result.failures += ["not answered in time: the server does not keep up"] * late
    result.seconds = time.perf_counter() - started
    result.processor_seconds = time.process_time() - processor
    return result


def main() -> None:
    port, path, rate, seconds, connections = sys.argv[1:]
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: "
    requests = [
        f"{head}{len(body.encode())}\r\n\r\n{body}".encode() for body in sys.stdin.read().splitlines()
    ]
    print(json.dumps(asdict(run(int(port), requests, float(rate), float(seconds), int(connections)))))


if __name__ == "__main__":
    main()

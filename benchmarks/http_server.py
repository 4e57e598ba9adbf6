"""How fast `twotower serve` answers, with a champion swapped in the middle.

    python benchmarks/http_server.py --index DIR [--seconds 60] [--rate 200] [--k 100]

A registry is made for it, with the index as the champion; half-way, the same index becomes the next one.
Requests are due at fixed moments, whether or not the ones before have been answered, and a latency counts
from the moment at which its request was due. Everything happens on this machine's loopback.
"""

import argparse
import http.client
import itertools
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.recommend.index import PublishedIndex
from components.registry.registry import Registry
from components.registry.versions import GateDecision, Provenance

_CONNECTIONS = 16
_USERS = 2_000
_SECONDS_LATE = 10.0


def main() -> None:
    arguments = _arguments()
    users = PublishedIndex.load(arguments.index).user_ids[:_USERS]
    with tempfile.TemporaryDirectory() as folder:
        registry = Registry(folder)
        _promote(registry, arguments.index, "first")
        with _server(folder) as port:
            swap = threading.Timer(arguments.seconds / 2, _promote, (registry, arguments.index, "second"))
            swap.start()
            load = Load(port, users, arguments.k, arguments.rate, arguments.seconds)
            load.run()
            swap.join()
            number = json.loads(_get(port, "/healthz"))["number"]
    load.report()
    print(f"champion served at the end: number {number}")
    sys.exit(bool(load.failures) or number != 2)


class Load:
    """Requests at a steady rate.

    Attributes:
      latencies: (second in which the request was due, ms until it was answered).
      failures: of requests, as text.
    """

    def __init__(self, port: int, users: list[str], k: int, rate: float, seconds: float) -> None:
        self._port, self._rate, self._total = port, rate, int(rate * seconds)
        self._bodies = [
            json.dumps(
                {"signature_name": "recommend", "inputs": {"user_id": [user], "k": k, "ratings": "all"}}
            )
            for user in users
        ]
        self._numbers = itertools.count()
        self.latencies: list[tuple[int, float]] = []
        self.failures: list[str] = []

    def run(self) -> None:
        self._start = time.monotonic()
        self._deadline = self._start + self._total / self._rate + _SECONDS_LATE
        clients = [threading.Thread(target=self._client) for _ in range(_CONNECTIONS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()

    def _client(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        # Handing out numbers is one step of the interpreter: no lock is needed.
        while (number := next(self._numbers)) < self._total:
            due = self._start + number / self._rate
            time.sleep(max(0.0, due - time.monotonic()))
            if time.monotonic() > self._deadline:
                self.failures.append("not sent in time: the server does not keep up")
                continue
            try:
                connection.request(
                    "POST", "/v1/models/twotower:predict", self._bodies[number % len(self._bodies)]
                )
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    self.failures.append(f"{response.status} {body[:200]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.latencies.append((int(due - self._start), (time.monotonic() - due) * 1e3))

    def report(self) -> None:
        every = sorted(latency for _, latency in self.latencies)
        p50, p90, p99 = (every[int(len(every) * share)] for share in (0.5, 0.9, 0.99))
        print(f"{len(every):,} requests at {self._rate:g} a second, {len(self.failures)} failed")
        print(f"p50 {p50:.1f} ms, p90 {p90:.1f} ms, p99 {p99:.1f} ms, at most {every[-1]:.1f} ms")
        seconds = itertools.groupby(sorted(self.latencies), key=lambda sample: sample[0])
        worst = {second: max(latency for _, latency in samples) for second, samples in seconds}
        print("worst of each second, ms: " + " ".join(f"{latency:.0f}" for latency in worst.values()))
        for failure in self.failures[:5]:
            print(failure)


def _promote(registry: Registry, index: str, run_id: str) -> None:
    provenance = Provenance(run_id=run_id, fingerprint="", settings={}, metrics={}, verdict=GateDecision())
    version = registry.versions.add(provenance, {"index": Path(index)}).version
    registry.champion_log.append(len(registry.champion_log.sequences()), version, "published", run_id)


@contextmanager
def _server(registry: str) -> Iterator[int]:
    """The port of a server over the registry."""
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--registry", registry, "--port", "0"]
    process = subprocess.Popen([*command, "--poll-seconds", "1"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            print(line, end="")
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/ ", line):
                yield int(found[1])
                return
        raise SystemExit("the server has ended")
    finally:
        process.terminate()
        process.wait(timeout=30)


def _get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    return connection.getresponse().read()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--index", required=True, help="an index directory")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, in seconds")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second")
    parser.add_argument("--k", type=int, default=100, help="movies an answer")
    return parser.parse_args()


if __name__ == "__main__":
    main()

"""A running HTTP server over a registry, and what its tests ask of it."""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

from components.registry.registry import Registry
from components.registry.versions import GateDecision, Manifest, Provenance

# The server's limit.
BODY_KB = 4


def add_version(registry: Registry, index: Path, run_id: str) -> Manifest:
    """Makes the index a version of its own."""
    provenance = Provenance(run_id=run_id, fingerprint="", settings={}, metrics={}, verdict=GateDecision())
    return registry.versions.add(provenance, {"index": index})


def promote(registry: Registry, version: str) -> int:
    """Makes a version the champion; returns its number."""
    sequence = max(registry.champion_log.sequences(), default=0)
    return registry.champion_log.append(sequence, version, "published", "run").sequence


@dataclass
class Server:
    """A running server.

    Attributes:
      pid: its process.
      port: where it listens.
      registry: what it serves the champion of.
      index: an index to publish.
      lines: what it has logged.
    """

    pid: int
    port: int
    registry: Registry
    index: Path
    lines: list[str] = field(default_factory=list)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Message, bytes]:
        """Sends a request with `headers`; returns status, headers and body of the answer."""
        connection = self.connection()
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        connection.request(method, path, data, dict(headers or {}))
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response.status, response.headers, answer

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON that come back; `body` is sent as it is if it is bytes, else as JSON."""
        status, _, answer = self.send(method, path, body)
        return status, json.loads(answer)

    def predict(self, **body: Any) -> tuple[int, Any]:
        return self.ask("POST", "/v1/models/twotower:predict", body)

    def page(self, query: str = "") -> str:
        connection = self.connection()
        connection.request("GET", f"/{query}")
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        assert response.status == 200
        return text

    def worker(self) -> int:
        """The process that answers; those of champions before are given time to end."""
        for _ in range(600):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            if len(children) == 1:
                return int(children[0])
            time.sleep(0.1)
        raise AssertionError(f"several processes answer: {children}")

    def await_line(self, part: str, seconds: float = 60) -> str:
        """Waits until it has logged a line with `part`."""
        for _ in range(round(seconds * 20)):
            if found := next((line for line in self.lines if part in line), ""):
                return found
            time.sleep(0.05)
        raise AssertionError(f"no {part!r} in {self.lines}")

    def await_ready(self, seconds: float = 60) -> float:
        """Waits until it can answer; returns the seconds that this took."""
        start = time.monotonic()
        while time.monotonic() < start + seconds:
            if self.ask("GET", "/readyz")[0] == 200:
                return time.monotonic() - start
            time.sleep(0.05)
        raise AssertionError(f"not ready after {seconds} s: {self.lines}")

    def await_number(self, number: int) -> None:
        """Waits until this champion is served."""
        for _ in range(600):
            if self.ask("GET", "/healthz")[1]["number"] == number:
                return
            time.sleep(0.1)
        raise AssertionError(f"number {number} is not taken up")


@contextmanager
def running_server(registry: Registry, index: Path, *flags: str, grace: float = 0) -> Iterator[Server]:
    """Serves a registry with `flags` on a free port; `index` is one to publish in it.

    `grace` are the seconds from SIGTERM, with which it is ended, to its last step.
    """
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--registry", registry.root, "--port", "0"]
    command += ["--poll-seconds", "0.1", "--grace-seconds", str(grace)]
    process = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True)
    server = Server(process.pid, 0, registry, index)
    stderr = process.stderr
    assert stderr is not None
    reader = threading.Thread(target=server.lines.extend, args=[stderr])
    reader.start()
    try:
        line = server.await_line("serving ", seconds=180)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/ ", line)
        assert found, line
        server.port = int(found[1])
        yield server
    finally:
        process.terminate()
        try:
            assert process.wait(timeout=30) in (0, -15)
        finally:
            process.kill()
            reader.join(timeout=10)
            stderr.close()

"""A running HTTP server over a registry, and what its tests ask of it."""

import http.client
import json
import time
from dataclasses import dataclass
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
    """

    pid: int
    port: int
    registry: Registry
    index: Path

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the JSON that come back; `body` is sent as it is if it is bytes, else as JSON."""
        connection = self.connection()
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        connection.request(method, path, data)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer

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

    def await_number(self, number: int) -> None:
        """Waits until this champion is served."""
        for _ in range(600):
            if self.ask("GET", "/healthz")[1]["number"] == number:
                return
            time.sleep(0.1)
        raise AssertionError(f"number {number} is not taken up")

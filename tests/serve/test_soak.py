"""A server under load while champions change, its process dies or hangs, and slow clients wait."""

import http.client
import itertools
import json
import os
import signal
import socket
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from running_server import Server, add_version, promote, running_server

from components.recommend.index import PublishedIndex
from components.registry.registry import Registry

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

REQUESTS = int(os.environ.get("TWOTOWER_REQUESTS", "20000"))
CLIENTS, SLOW_CLIENTS = 8, 20
SECONDS_BETWEEN_REQUESTS = 0.004
SECONDS_TO_RETRY = 60

PREDICT = "/v1/models/twotower:predict"
# What the server may answer while nothing, a champion, or the process is replaced.
ALLOWED = {"calm": {200}, "swap": {200}, "kill": {200, 503}, "stop": {200, 503, 504}}


class Load:
    """Clients that repeat a request that was not answered, as `Retry-After` asks.

    Attributes:
      phase: what happens to the server at the moment.
      statuses: how often each status was answered, by phase.
      wrong: answers that are not right, and requests that were never answered.
    """

    def __init__(self, server: Server, expected: dict[str, list[str]]) -> None:
        self.phase = "calm"
        self.statuses: dict[str, Counter[int]] = defaultdict(Counter)
        self.wrong: list[str] = []
        self.sent = itertools.count()
        self.done = threading.Event()
        self._server, self._expected = server, expected
        self._users = itertools.cycle(expected)
        self._threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        self._threads.append(threading.Thread(target=self._slow_clients))

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self._threads:
            thread.join()

    def answered(self) -> int:
        return sum(counts[200] for counts in list(self.statuses.values()))

    def _client(self) -> None:
        connection = self._server.connection()
        while not self.done.is_set():
            user = next(self._users)
            inputs = {"user_id": [user], "k": 5, "ratings": "all"}
            body = json.dumps({"signature_name": "recommend", "inputs": inputs})
            end = time.monotonic() + SECONDS_TO_RETRY
            try:
                while (found := self._ask(connection, body)) is None and time.monotonic() < end:
                    time.sleep(0.2)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(f"{self.phase}: {error!r}")
                return
            if found != self._expected[user]:
                self.wrong.append(f"{self.phase}: {user}: {found}")
            time.sleep(SECONDS_BETWEEN_REQUESTS)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, body: str) -> list[str] | None:
        before = self.phase
        connection.request("POST", PREDICT, body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        # A request belongs to the phase in which it began, or to the one that has begun meanwhile.
        allowed = ALLOWED[before] | ALLOWED[self.phase]
        self.statuses[before][response.status] += 1
        if response.status not in allowed:
            self.wrong.append(f"{before}: {response.status} {answer}")
        if response.status != 200:
            return None
        movies: list[str] = answer["outputs"]["movie_id"][0]
        return movies

    def _slow_clients(self) -> None:
        """Heads and bodies that stop half-way, answers that nobody reads, and clients that leave."""
        body = json.dumps({"signature_name": "catalogue", "inputs": {}})
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        parts = (head[:30], head + body[:5], (head + body) * 50, head + body)
        while not self.done.is_set():
            held = [socket.create_connection(("127.0.0.1", self._server.port)) for _ in range(SLOW_CLIENTS)]
            for connection, part in zip(held, itertools.cycle(parts), strict=False):
                connection.sendall(part.encode())
            self.done.wait(3)
            for connection in held:
                connection.close()


def status_of(pid: int) -> tuple[float, int]:
    """The memory of a process that it shares with none, in MB, and the number of its descriptors."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    memory = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))
    return memory / 1024, len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_nothing_is_lost_and_memory_is_flat(index_directory: Path, tmp_path: Path) -> None:
    index = PublishedIndex.load(index_directory)
    users = index.user_ids[:200]
    found = index.recommend(users, 5)
    expected = {user: movies.tolist() for user, movies in zip(users, found.movie_id, strict=True)}
    registry = Registry(str(tmp_path / "registry"))
    number = promote(registry, add_version(registry, index_directory, "run-1").version)
    with running_server(registry, index_directory, "--timeout", "8") as server:
        with Load(server, expected) as load:

            def phase(name: str) -> None:
                load.phase = name

            def until_answered(requests: int) -> None:
                while load.answered() < requests and not load.wrong:
                    time.sleep(0.1)

            until_answered(REQUESTS // 10)
            rounds = max(1, REQUESTS // 25_000)
            for turn in range(rounds):
                phase("swap")
                version = add_version(registry, index_directory, f"swap-{turn}").version
                number = promote(registry, version)
                server.await_number(number)
                server.worker()  # waits for the end of the one before
                for name, number_of_signal in (("kill", signal.SIGKILL), ("stop", signal.SIGSTOP)):
                    phase(name)
                    before = server.worker()
                    os.kill(before, number_of_signal)
                    wait_for_another(server, before)
                    time.sleep(8.5)  # the last of those that waited are answered
                phase("calm")
                until_answered(max(load.answered() + 1_000, REQUESTS * (turn + 1) // (rounds + 1)))
                if turn == 0:
                    memory, descriptors = status_of(server.pid)
            worker_memory, _ = status_of(server.worker())
            until_answered(max(load.answered() + 1_000, REQUESTS))
            assert load.wrong[:5] == []
            time.sleep(1)
            grown = status_of(server.worker())[0] - worker_memory
        time.sleep(3)
        memory_after, descriptors_after = status_of(server.pid)
        figures: dict[str, Any] = {
            "answers": {name: dict(counts) for name, counts in load.statuses.items()},
            "server": (memory, memory_after, descriptors, descriptors_after),
            "process": (worker_memory, worker_memory + grown),
        }
        print(json.dumps(figures))
        assert load.answered() >= REQUESTS, figures
        assert memory_after < memory + 25, figures
        assert grown < 40, figures
        assert descriptors_after <= descriptors + 5, figures
        assert server.ask("GET", "/readyz")[1]["number"] == number
        assert len(server.lines) < 30 + 20 * rounds, server.lines[-30:]


def wait_for_another(server: Server, before: int) -> None:
    for _ in range(600):
        if server.ask("GET", "/readyz")[0] == 200 and server.worker() != before:
            return
        time.sleep(0.1)
    raise AssertionError(f"the process is not replaced: {server.lines}")

"""The process with the index dies, hangs, or cannot load its champion: the server stays up."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_server import Server, add_version, promote, running_server

from components.registry.registry import Registry

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def server(index_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = Registry(str(tmp_path_factory.mktemp("supervision") / "registry"))
    promote(registry, add_version(registry, index_directory, "run-1").version)
    with running_server(registry, index_directory, "--timeout", "1.5") as server:
        yield server


def test_a_process_that_dies_is_started_again_at_once(server: Server) -> None:
    number = server.ask("GET", "/readyz")[1]["number"]
    os.kill(server.worker(), signal.SIGKILL)
    server.await_line("was ended by SIGKILL", seconds=2)
    status, answer = server.predict(instances=["user2"])
    assert status == 503
    assert "is being started" in answer["error"]
    assert server.ask("GET", "/livez") == (200, {"status": "ok"})
    assert server.ask("GET", "/readyz")[0] == 503
    server.await_ready()
    assert server.predict(instances=["user2"])[0] == 200
    assert server.ask("GET", "/healthz")[1]["number"] == number


def test_a_process_that_hangs_is_replaced_and_nobody_waits_for_it(server: Server) -> None:
    server.await_ready()
    os.kill(server.worker(), signal.SIGSTOP)
    start = time.monotonic()
    status, answer = server.predict(instances=["user2"])
    assert 1.4 < time.monotonic() - start < 4
    assert status == 504
    assert "within 1.5 s (--timeout)" in answer["error"]
    assert server.ask("GET", "/livez")[0] == 200
    assert server.ask("GET", "/readyz")[0] == 503
    server.await_line("has not responded for 10 s", seconds=20)
    server.await_ready()
    assert server.predict(instances=["user2"])[0] == 200

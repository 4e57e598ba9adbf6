"""A server with API keys, CORS, an access log and metrics, and its end by SIGTERM."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from running_server import Server, add_version, promote, running_server
from starlette.applications import Starlette

from components.registry.registry import Registry
from components.serve.server import DrainingServer

pytestmark = pytest.mark.tensorflow

KEY, PREDICT = "k3y-" * 8, "/v1/models/twotower:predict"
BEARER = {"Authorization": f"Bearer {KEY}"}
ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def registry(index_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    registry = Registry(str(tmp_path_factory.mktemp("operation") / "registry"))
    promote(registry, add_version(registry, index_directory, "run-1").version)
    return registry


@pytest.fixture(scope="module")
def guarded(
    registry: Registry, index_directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"# of the tests\n{KEY}\n")
    keys.chmod(0o600)
    flags = ["--api-keys", str(keys), "--cors-origin", ORIGIN, "--access-log", "json"]
    with running_server(registry, index_directory, *flags, "--access-log-to", "stderr") as server:
        yield server
    assert not any(KEY in line for line in server.lines)


def logged(server: Server, request_id: str) -> dict[str, object]:
    return json.loads(server.await_line(f'"request_id":"{request_id}"', seconds=5))


def test_without_a_key_nothing_but_health_is_answered(guarded: Server) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        assert guarded.send("GET", path)[0] == 200
    for method, path in (("POST", PREDICT), ("GET", "/"), ("GET", "/metrics"), ("GET", "/openapi.json")):
        for headers in ({}, {"X-API-Key": KEY[:-1]}, {"Authorization": f"Basic {KEY}"}):
            status, given, body = guarded.send(method, path, headers=headers)
            assert status == 401
            assert given["WWW-Authenticate"] == "Bearer"
            assert "send Authorization: Bearer KEY, or X-API-Key: KEY" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "headers",
    [
        BEARER,
        {"X-API-Key": KEY},
        {"authorization": f"bearer  {KEY} "},
        {"X-API-Key": "of another layer", **BEARER},
        {"X-API-Key": KEY, "Authorization": "Bearer of-a-proxy"},
    ],
)
def test_with_a_key_everything_is(guarded: Server, headers: dict[str, str]) -> None:
    assert guarded.send("POST", PREDICT, {"instances": ["user2"]}, headers)[0] == 200
    assert guarded.send("GET", "/metrics", headers=headers)[0] == 200


def test_a_page_of_a_named_origin_may_ask_and_another_may_not(guarded: Server) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    status, given, _ = guarded.send("OPTIONS", PREDICT, headers={"Origin": ORIGIN, **asked})
    assert (status, given["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    body = {"instances": ["user2"]}
    status, given, _ = guarded.send("POST", PREDICT, body, {"Origin": ORIGIN, **BEARER})
    assert (status, given["Access-Control-Allow-Origin"]) == (200, ORIGIN)
    other = {"Origin": "https://other.example"}
    assert guarded.send("OPTIONS", PREDICT, headers={**other, **asked})[0] == 400
    assert "Access-Control-Allow-Origin" not in guarded.send("GET", "/healthz", headers=other)[1]


def test_a_request_is_a_line_in_the_log_without_what_it_asked(guarded: Server) -> None:
    headers = {
        **BEARER,
        "X-Request-Id": "page-1",
        "X-Forwarded-For": "192.0.2.7",
    }  # by a proxy of this machine
    _, given, _ = guarded.send("GET", "/?user=user2&find=alien", headers=headers)
    assert given["X-Request-Id"] == "page-1"
    line = logged(guarded, "page-1")
    assert (line["method"], line["path"], line["status"], line["client"]) == ("GET", "/", 200, "192.0.2.7")
    assert isinstance(line["ms"], float)
    guarded.send("POST", PREDICT, {"instances": ["user2"]}, {**BEARER, "X-Request-Id": "ask-1"})
    line = logged(guarded, "ask-1")
    assert (line["path"], line["client"]) == (PREDICT, "127.0.0.1")
    made = guarded.send("GET", "/nowhere")[1]["X-Request-Id"]
    assert logged(guarded, made)["status"] == 401
    said = "".join(guarded.lines)
    assert "user2" not in said
    assert "alien" not in said


def metrics(server: Server) -> dict[str, float]:
    text = server.send("GET", "/metrics", headers=BEARER)[2].decode()
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_count_requests_cold_answers_and_champions(guarded: Server, index_directory: Path) -> None:
    before = metrics(guarded)
    guarded.send("POST", PREDICT, {"instances": ["user2", "nobody", "no one"]}, BEARER)
    history = {"signature_name": "history", "inputs": {"user_id": ["nobody"]}}
    guarded.send("POST", PREDICT, history, BEARER)
    guarded.send("POST", PREDICT, b"{", BEARER)
    number = int(before["twotower_champion_number"])
    version = add_version(guarded.registry, index_directory, "metrics").version
    promote(guarded.registry, version)
    guarded.await_number(number + 1)
    broken = add_version(guarded.registry, index_directory, "broken").version
    guarded.registry.storage.write_bytes(f"versions/{broken}/index/saved_model.pb", b"flipped")
    promote(guarded.registry, broken)
    guarded.await_line("saved_model.pb is corrupt")
    after = metrics(guarded)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["twotower_requests_total predict 200"] == 2
    assert grown["twotower_requests_total predict 400"] == 1
    assert grown["twotower_request_duration_seconds_count predict"] == 3
    assert grown["twotower_cold_answers_total"] == 2
    assert grown["twotower_reloads_total"] == 1
    assert grown["twotower_reload_failures_total"] >= 1
    assert after["twotower_champion_number"] == number + 1
    assert after[f"twotower_champion {version}"] == 1
    assert after["twotower_queue"] == 0
    assert not any(
        name.startswith("twotower_champion ") for name in after.keys() - {f"twotower_champion {version}"}
    )


def test_sigterm_says_not_ready_while_it_serves_on_and_a_second_one_drains(
    registry: Registry, index_directory: Path
) -> None:
    """Clients ask on until the balancer, which asks /readyz, takes the server out."""
    log = ("--access-log", "text", "--access-log-to", "stderr")
    with running_server(registry, index_directory, *log, grace=100.0) as server:
        taken_out, lost, answered = threading.Event(), list[object](), [0] * 4

        def load(client: int) -> None:
            while not taken_out.is_set():
                try:
                    status, _, _ = server.send("POST", PREDICT, {"instances": ["user2"]})
                except OSError as error:
                    lost.append(error)
                    return
                if status != 200:
                    lost.append(status)
                answered[client] += 1

        clients = [threading.Thread(target=load, args=(client,)) for client in range(4)]
        for client in clients:
            client.start()
        os.kill(server.pid, signal.SIGTERM)
        server.await_line("told to stop: not ready from now, finishing in 100 s")
        status, headers, body = server.send("GET", "/readyz")
        assert (status, headers["Connection"]) == (503, "close")
        assert json.loads(body)["status"] == "the server has been told to stop"
        assert server.send("GET", "/livez")[0] == 200
        before = sum(answered)
        time.sleep(0.5)
        assert sum(answered) > before
        taken_out.set()
        for client in clients:
            client.join()
        assert lost == []

        under_way = server.connection()
        under_way.putrequest("POST", PREDICT)
        under_way.putheader("Content-Length", "23")
        under_way.putheader("X-Request-Id", "the-last")
        under_way.endheaders(b'{"instances"')
        server.send("GET", "/livez")  # by now the server has those bytes
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.5)
        under_way.send(b':["user2"]}')
        assert under_way.getresponse().status == 200
        server.await_line("the-last\n")  # before the end of the block sends SIGTERM once more
    assert "the-last\n" in server.lines[-1]


def test_the_grace_ends_by_itself() -> None:
    async def told() -> None:
        drained: list[bool] = []
        server = DrainingServer(uvicorn.Config(Starlette()), 0.1, lambda: drained.append(server.should_exit))
        server.handle_exit(signal.SIGTERM, None)
        assert drained == [False]
        await asyncio.sleep(0.05)
        assert not server.should_exit
        await asyncio.sleep(0.15)
        assert server.should_exit
        at_once = DrainingServer(uvicorn.Config(Starlette()), 100, lambda: None)
        at_once.handle_exit(signal.SIGINT, None)
        assert at_once.should_exit

    asyncio.run(told())

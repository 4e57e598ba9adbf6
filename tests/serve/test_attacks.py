"""Clients that mean harm, or act as if they did: the others do not notice."""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from running_server import Server, add_version, promote, running_server

from components.registry.registry import Registry

pytestmark = pytest.mark.tensorflow

PREDICT = "/v1/models/twotower:predict"
MOST = 40


@pytest.fixture(scope="module")
def server(index_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = Registry(str(tmp_path_factory.mktemp("attacks") / "registry"))
    promote(registry, add_version(registry, index_directory, "run-1").version)
    flags = ("--max-connections", str(MOST), "--allowed-host", "*.example.com", "--timeout", "5")
    with running_server(registry, index_directory, *flags) as server:
        yield server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def ended_after(connection: socket.socket) -> float:
    """The seconds until the server ends the connection."""
    start = time.monotonic()
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - start


def exchange(server: Server, request: bytes) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to raw bytes."""
    with connect(server) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, headers, response.read()


def test_heads_that_never_end_keep_nobody_out_and_end(server: Server) -> None:
    before = len(server.lines)
    held = [connect(server) for _ in range(3 * MOST)]
    try:
        for connection in held[-MOST // 2 :]:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        for _ in range(20):
            start = time.monotonic()
            assert server.ask("GET", "/readyz")[0] == 200
            assert time.monotonic() - start < 2
        assert ended_after(held[0]) < 1, "the oldest of too many makes room"
        held[-1].sendall(b"X: y\r\n")
        assert 5 < ended_after(held[-1]) < 15
    finally:
        for connection in held:
            connection.close()
    assert len(server.lines) - before < 5


def test_a_client_that_is_known_is_not_displaced_by_strangers(server: Server) -> None:
    connection = server.connection()
    connection.request("GET", "/livez")
    connection.getresponse().read()
    strangers = [connect(server) for _ in range(2 * MOST)]
    connection.request("GET", "/livez")
    assert connection.getresponse().status == 200
    for stranger in strangers:
        stranger.close()
    connection.close()


def test_a_server_of_few_descriptors_takes_fewer_connections(index_directory: Path, tmp_path: Path) -> None:
    """The worst case for accept: as many connections as the limit of descriptors."""
    import resource

    registry = Registry(str(tmp_path / "registry"))
    promote(registry, add_version(registry, index_directory, "run-1").version)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running_server(registry, index_directory) as server:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (90, 90))
        held = [connect(server) for _ in range(120)]
        time.sleep(1)
        for connection in held:
            connection.close()
        time.sleep(0.5)
        assert server.ask("GET", "/livez")[0] == 200
        assert len(server.lines) < 15, server.lines[:30]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def test_a_body_that_trickles_keeps_nobody_waiting(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(
            f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1".encode()
        )
        others = [server.predict(instances=["user2"])[0] for _ in range(3)]
        assert others == [200, 200, 200]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 400_000 + b"\r\n\r\n", 431),
        (b"GET /?find=" + b"p+" * 30_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414),
        (b"GET /v1/models/twotower/versions/" + b"9" * 4_301 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/models/twotower/versions/007 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.test:80\r\n\r\n", 421),
        (b"GET / HTTP/1.1\r\nHost: example.com.evil.test\r\n\r\n", 421),
        (b"GET /livez HTTP/1.1\r\nHost: a.example.com:80\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: LocalHost.:80\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 200),
        (b"GET /livez HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n", 200),
        (b"GET /livez HTTP/1.0\r\n\r\n", 200),
    ],
)  # fmt: skip
def test_a_request_that_is_no_good_is_refused_in_json(server: Server, request_: bytes, status: int) -> None:
    found, headers, body = exchange(server, request_)
    assert found == status, body[:300]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert ("error" in json.loads(body)) == (status != 200)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 200),
        ("https://evil.test", 403),
        ("null", 403),
        ("http://localhost:81", 403),
        ("//[", 403),
    ],
)
def test_another_sites_page_may_not_post(server: Server, origin: str, status: int) -> None:
    body = b'{"instances": ["user2"]}'
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n"
    assert exchange(server, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)[0] == status


def test_a_trailer_without_an_end_ends_the_connection(server: Server) -> None:
    with connect(server) as connection:
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head.encode() + b"2\r\n{}\r\n0\r\nX: ")
        with pytest.raises(ConnectionError):
            connection.sendall(b"y" * 64_000_000)


def test_trailers_are_no_headers(server: Server) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b'{"instances": ["user2"]}'
    chunks = b"%x\r\n%s\r\n0\r\nHost: evil.test\r\nOrigin: http://evil.test\r\n\r\n" % (len(body), body)
    assert exchange(server, head.encode() + chunks)[0] == 200


def test_words_of_a_title_are_bounded(server: Server) -> None:
    assert "p" * 100 in (page := server.page("?find=" + "p" * 4_000))
    assert "p" * 101 not in page


def test_stars_off_the_scale_are_refused(server: Server) -> None:
    inputs: dict[str, Any] = {"movie_id": ["m1", "m2"], "row_splits": [0, 2], "k": 3}
    for rating, status in ((5, 200), (5.5, 400), (0, 400), (-1e9, 400)):
        answer = server.predict(
            signature_name="recommend_from_history", inputs={**inputs, "rating": [5, rating]}
        )
        assert answer[0] == status
    assert answer[1]["error"] == "rating[1]: -1e+09 is off the scale of 1 to 5"
    assert "You picked" not in server.page("?pick=999:m1")


def test_a_history_is_read_in_parts(server: Server) -> None:
    users = ["user2", "nobody", "user3", "user2"]
    whole = server.predict(signature_name="history", inputs={"user_id": users})[1]["outputs"]
    rows = len(whole["movie_id"])
    for size in (1, 3, rows - 1, rows, rows + 5):
        joined: dict[str, list[Any]] = {
            name: [] for name in ("movie_id", "title", "year", "rating", "held_out")
        }
        for offset in range(0, rows + size, size):
            _, answer = server.predict(
                signature_name="history", inputs={"user_id": users}, offset=offset, limit=size
            )
            part = answer["outputs"]
            assert part["known_user"] == whole["known_user"]
            splits = [min(max(split - offset, 0), size) for split in whole["row_splits"]]
            assert part["row_splits"] == [min(split, len(part["movie_id"])) for split in splits]
            for name, values in joined.items():
                values += part[name]
        assert joined == {name: whole[name] for name in joined}
    for signature in ("catalogue", "users"):
        _, everything = server.predict(signature_name=signature, inputs={})
        _, some = server.predict(signature_name=signature, inputs={}, offset=2, limit=3)
        for name, values in as_columns(everything).items():
            assert as_columns(some)[name] == values[2:5]


def as_columns(answer: dict[str, Any]) -> dict[str, list[Any]]:
    outputs = answer["outputs"]
    return outputs if isinstance(outputs, dict) else {"only": outputs}


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ({"signature_name": "history", "inputs": ["user2"], "offset": -1}, 400, "offset: .* no whole number"),
        ({"signature_name": "history", "inputs": ["user2"], "limit": 1.5}, 400, "limit: .* no whole number"),
        ({"instances": ["user2"], "limit": 5}, 400, "limit: only history, catalogue, users can be"),
    ],
)
def test_parts_that_are_none_are_refused(
    server: Server, request_: dict[str, Any], status: int, message: str
) -> None:
    found, answer = server.predict(**request_)
    assert found == status
    assert re.match(message, answer["error"])


def test_nothing_is_computed_for_a_client_that_has_left(server: Server) -> None:
    """Of many who ask for much and leave, hardly anything is left to do when the next one asks."""
    inputs = {"user_id": ["user2"] * 300, "k": 50, "ratings": "all"}
    body = json.dumps({"signature_name": "recommend", "inputs": inputs})
    request = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    start = time.monotonic()
    assert exchange(server, request.encode())[0] == 200
    one = time.monotonic() - start
    left = [connect(server) for _ in range(30)]
    for connection in left:
        connection.sendall(request.encode())
        time.sleep(0.01)
    for connection in left:
        connection.close()
    start = time.monotonic()
    assert server.predict(instances=["user2"])[0] == 200
    assert time.monotonic() - start < 6 * one + 1

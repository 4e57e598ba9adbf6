"""A real server in a process of its own, asked by many at once."""

import http.client
import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from running_server import BODY_KB, add_version, promote

from components.errors import UserError
from components.recommend.index import PublishedIndex
from components.serve.cli import serve

pytestmark = pytest.mark.tensorflow

PREDICT = "/v1/models/twotower:predict"


@pytest.fixture(scope="session")
def index(index_directory):
    return PublishedIndex.load(index_directory)


def test_rows_answer_what_the_index_answers(server, index) -> None:
    users = ["user2", "nobody"]
    status, answer = server.predict(instances=users)
    assert status == 200
    expected = index.recommend(users, 100)
    for row, prediction in enumerate(answer["predictions"]):
        assert prediction["movie_id"] == expected.movie_id[row].tolist()
        assert prediction["score"] == pytest.approx(expected.score[row].tolist())
        assert prediction["known_user"] == (row == 0)


def test_columns_answer_what_the_index_answers(server, index) -> None:
    inputs = {"user_id": ["user2", "user3"], "k": 4, "ratings": "train"}
    status, answer = server.predict(signature_name="recommend", inputs=inputs)
    assert status == 200
    expected = index.recommend(inputs["user_id"], 4, "train")
    assert answer["outputs"]["title"] == expected.title.tolist()
    assert answer["outputs"]["year"] == expected.year.tolist()

    pairs = {"user_id": ["user2", "user3"], "movie_id": ["m1", "m2"], "ratings": "all"}
    _, answer = server.predict(signature_name="rate", inputs=pairs)
    assert answer["outputs"] == pytest.approx(index.rate(["user2", "user3"], ["m1", "m2"]).tolist())

    history = {"movie_id": ["m1", "m2"], "rating": [5, 1.5], "row_splits": [0, 2], "k": 3}
    _, answer = server.predict(signature_name="recommend_from_history", inputs=history)
    expected_ids = [movie["movie_id"] for movie in index.recommend_from_history({"m1": 5, "m2": 1.5}, 3)]
    assert answer["outputs"]["movie_id"] == [expected_ids]


def test_status_and_metadata_are_those_of_tensorflow_serving(server, index) -> None:
    number = server.ask("GET", "/healthz")[1]["number"]
    available = {"version": str(number), "state": "AVAILABLE"}
    ok = {"error_code": "OK", "error_message": ""}
    for path in ("/v1/models/twotower", f"/v1/models/twotower/versions/{number}"):
        _, status = server.ask("GET", path)
        assert {**available, "status": ok} in status["model_version_status"]
        _, metadata = server.ask("GET", f"{path}/metadata")
        assert metadata["model_spec"] == {"name": "twotower", "signature_name": "", "version": str(number)}
        signatures = metadata["metadata"]["signature_def"]["signature_def"]
        assert set(signatures) == set(index.manifest.signatures)
        assert signatures["recommend"]["inputs"]["user_id"]["dtype"] == "DT_STRING"
        assert signatures["recommend"]["outputs"]["score"]["tensor_shape"]["dim"] == [
            {"size": "-1", "name": ""},
            {"size": "-1", "name": ""},
        ]
    path = f"/v1/models/twotower/versions/{number}:predict"
    assert server.ask("POST", path, {"instances": ["u"]})[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", PREDICT, b"{", 400, "the body is not JSON"),
        ("POST", PREDICT, b"", 400, "the body is not JSON"),
        ("POST", PREDICT, {"instances": [7]}, 400, "user_id[0]"),
        ("POST", PREDICT, {"signature_name": "x", "inputs": {}}, 400, 'there is no "x"; there are '),
        ("POST", PREDICT, {"instances": ["u" * BODY_KB * 1024]}, 413, "the body has more than 4,096 bytes"),
        ("POST", PREDICT, {"signature_name": "recommend",
                           "inputs": {"user_id": ["u"], "k": 10**6, "ratings": "all"}}, 413, "k: 1 rows"),
        ("POST", PREDICT, {"signature_name": "recommend",
                           "inputs": {"user_id": ["u"], "k": 3, "ratings": "some"}}, 400, 'must be "all"'),
        ("POST", "/v1/models/other:predict", {}, 404, "/v1/models/other:predict: Not Found"),
        ("POST", "/v1/models/twotower/versions/99:predict", {}, 404, "version 99 is not served"),
        ("GET", "/v1/models/twotower/versions/99", None, 404, "version 99 is not served"),
        ("GET", PREDICT, None, 405, "Method Not Allowed"),
        ("GET", "/favicon.ico", None, 404, "Not Found"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_a_json_error(server, method, path, body, status, message) -> None:
    found, answer = server.ask(method, path, body)
    assert found == status
    assert list(answer) == ["error"]
    assert message in answer["error"]


def test_a_body_of_unknown_length_is_bounded_too(server) -> None:
    connection = server.connection()
    chunks = (b"x" * 512 for _ in range(2 * BODY_KB + 1))
    connection.request("POST", PREDICT, chunks, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert connection.getresponse().status == 413


def test_a_champion_is_taken_up_in_the_middle_of_a_load(server) -> None:
    number = server.ask("GET", "/healthz")[1]["number"]
    done, answered, failures = threading.Event(), [], []

    def load() -> None:
        connection = server.connection()
        body = json.dumps({"instances": ["user2", "user3"]})
        while not done.is_set():
            try:
                connection.request("POST", PREDICT, body)
                response = connection.getresponse()
                answer = json.loads(response.read())
                assert response.status == 200, answer
                assert len(answer["predictions"]) == 2
            except (OSError, http.client.HTTPException, AssertionError) as error:
                failures.append(error)
                return
            answered.append(time.monotonic())

    clients = [threading.Thread(target=load) for _ in range(6)]
    for client in clients:
        client.start()
    try:
        promote(server.registry, add_version(server.registry, server.index, "swapped").version)
        server.await_number(number + 1)
        swapped = time.monotonic()
        time.sleep(1.0)
    finally:
        done.set()
        for client in clients:
            client.join()
    assert failures == []
    assert min(answered) < swapped < max(answered)


def test_a_broken_champion_leaves_the_present_one_in_its_place(server) -> None:
    number = server.ask("GET", "/healthz")[1]["number"]
    broken = add_version(server.registry, server.index, "broken").version
    server.registry.storage.write_bytes(f"versions/{broken}/index/saved_model.pb", b"flipped")
    promote(server.registry, broken)
    for _ in range(300):
        _, status = server.ask("GET", "/v1/models/twotower")
        states = {version["version"]: version for version in status["model_version_status"]}
        if states.get(str(number + 1), {}).get("state") == "END":
            break
        time.sleep(0.1)
    assert "saved_model.pb is corrupt" in states[str(number + 1)]["status"]["error_message"]
    assert states[str(number)]["state"] == "AVAILABLE"
    assert server.predict(instances=["user2"])[0] == 200

    promote(server.registry, add_version(server.registry, server.index, "mended").version)
    server.await_number(number + 2)
    _, status = server.ask("GET", "/v1/models/twotower")
    assert len(status["model_version_status"]) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--registry", "absent"], "absent has no champion to serve; publish one"),
        (["--index", "absent"], "there is no index at absent; export one"),
        (["--registry", "ftp://bucket"], "ftp:// is not supported"),
        (["--host", "203.0.113.1"], "cannot listen on 203.0.113.1 port 0: .*; name another --host or --port"),
    ],
)
def test_what_cannot_be_served_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(serve, ["--port", "0", *words])
    assert isinstance(result.exception, UserError)
    assert re.search(message, str(result.exception))


def test_a_port_that_is_taken_is_a_line(server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(serve, ["--registry", server.registry.root, "--port", str(port)])
    assert isinstance(result.exception, UserError)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in str(result.exception)


def test_a_name_that_would_not_be_one_is_refused() -> None:
    assert CliRunner().invoke(serve, ["--name", "a/b"]).exit_code == 2

"""Google Cloud Storage when it fails: by a server that plays one fault at a time."""

import base64
import itertools
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from components.errors import UserError
from components.storage import AlreadyExistsError, StoredFile, gcs, open_storage

DOWNLOAD = "/download/storage/v1/b/bucket/o/root/key"
UPLOAD = "/upload/storage/v1/b/bucket/o"
OBJECT = "/storage/v1/b/bucket/o/root/key"
REWRITE = f"{OBJECT}/rewriteTo/b/bucket/o/root/copy"


@pytest.fixture(autouse=True)
def service(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """The server, which is taken for Google Cloud Storage; pauses between attempts are short."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", httpserver.url_for("").rstrip("/"))
    monkeypatch.setattr(gcs, "_FIRST_PAUSE_SECONDS", 0.01)
    # The library asks after the bucket on its own account, and would go on asking into the next test.
    httpserver.expect_request("/storage/v1/b/bucket", method="GET").respond_with_json({"name": "bucket"})
    return httpserver


def answers(*responses: Response) -> Callable[[Request], Response]:
    """A handler that gives one response after another, and the last one from then on."""
    left = itertools.chain(responses, itertools.repeat(responses[-1]))
    return lambda _: next(left)


def checksum_of(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def content(data: bytes, announced: bytes | None = None) -> Response:
    checksum = checksum_of(data if announced is None else announced)
    return Response(data, headers={"X-Goog-Hash": f"crc32c={checksum}"})


def described(data: bytes) -> Response:
    resource = {"name": "root/key", "size": str(len(data)), "crc32c": checksum_of(data), "generation": "1"}
    return Response(json.dumps(resource), content_type="application/json")


def requests_to(service: HTTPServer, path: str) -> int:
    """How often `path` was asked for."""
    return sum(request.path == path for request, _ in service.log)


def refusal(status: int, reason: str = "other", message: str = "no") -> Response:
    errors = [{"reason": reason, "message": message}]
    body = {"error": {"code": status, "message": message, "errors": errors}}
    return Response(json.dumps(body), status=status, content_type="application/json")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again(service: HTTPServer, status: int, tmp_path: Path) -> None:
    storage = open_storage("gs://bucket/root")
    service.expect_request(DOWNLOAD).respond_with_handler(
        answers(refusal(status), refusal(status), content(b"data"))
    )
    service.expect_request(UPLOAD, method="POST").respond_with_handler(
        answers(refusal(status), described(b"data"))
    )
    assert storage.read_bytes("key") == b"data"
    storage.write_bytes("key", b"data")
    (tmp_path / "source").write_bytes(b"data")
    assert storage.upload_file(tmp_path / "source", "key") == StoredFile(4, checksum_of(b"data"))


def test_attempts_end_at_the_deadline(service: HTTPServer) -> None:
    service.expect_request(DOWNLOAD).respond_with_handler(answers(refusal(503)))
    with pytest.raises(UserError, match=r"did not serve gs://bucket/root/key within 0\.3 s"):
        gcs.GcsStorage("gs://bucket/root", deadline_seconds=0.3).read_bytes("key")
    assert requests_to(service, DOWNLOAD) > 1


def test_a_server_that_does_not_answer_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    with pytest.raises(UserError, match=r"did not serve gs://bucket/root/key .*; check the network"):
        gcs.GcsStorage("gs://bucket/root", deadline_seconds=0.3).read_bytes("key")


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (401, "run `gcloud auth"),
        (403, r"permission .* \(no\); grant this account roles/storage\.objectAdmin on the bucket bucket"),
    ],
)
def test_a_missing_permission_is_not_tried_again(service: HTTPServer, status: int, cure: str) -> None:
    service.expect_request(UPLOAD).respond_with_handler(answers(refusal(status)))
    with pytest.raises(UserError, match=cure):
        open_storage("gs://bucket/root").check_writable()
    assert requests_to(service, UPLOAD) == 1


@pytest.mark.parametrize("reason", ["quotaExceeded", "rateLimitExceeded"])
def test_a_quota_is_no_matter_of_permission(service: HTTPServer, reason: str) -> None:
    service.expect_request(UPLOAD).respond_with_handler(answers(refusal(403, reason, "5 TB are used")))
    with pytest.raises(
        UserError, match=r"the quota for gs://bucket/root/key is used up \(5 TB are used\); have it raised"
    ):
        open_storage("gs://bucket/root").write_bytes("key", b"")
    assert requests_to(service, UPLOAD) == 1


def test_too_many_requests_until_the_deadline_are_a_quota_too(service: HTTPServer, tmp_path: Path) -> None:
    service.expect_request(UPLOAD).respond_with_handler(
        answers(refusal(429, "rateLimitExceeded", "slow down"))
    )
    service.expect_request(OBJECT).respond_with_handler(
        answers(refusal(429, "rateLimitExceeded", "slow down"))
    )
    storage = gcs.GcsStorage("gs://bucket/root", deadline_seconds=0.3)
    (tmp_path / "source").write_bytes(b"data")
    for action in (
        lambda: storage.write_bytes("key", b""),
        lambda: storage.upload_file(tmp_path / "source", "key"),
        lambda: storage.stat("key"),
    ):
        with pytest.raises(UserError, match=r"the quota for gs://bucket/root/key is used up \(.*slow down"):
            action()
    assert requests_to(service, UPLOAD) > 2


def test_a_missing_bucket_is_named(service: HTTPServer) -> None:
    service.expect_request(UPLOAD).respond_with_handler(answers(refusal(404)))
    service.expect_request("/storage/v1/b/bucket/o").respond_with_handler(answers(refusal(404)))
    for action in (
        lambda: open_storage("gs://bucket").write_bytes("key", b""),
        open_storage("gs://bucket").list,
    ):
        with pytest.raises(
            UserError, match=r"there is no bucket bucket for .*; check the name, or create it"
        ):
            action()


def test_another_refusal_is_repeated(service: HTTPServer) -> None:
    service.expect_request(DOWNLOAD).respond_with_handler(answers(refusal(400)))
    with pytest.raises(UserError, match="refuses gs://bucket/root/key: 400"):
        open_storage("gs://bucket/root").read_bytes("key")


def test_no_credentials_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(UserError, match="no credentials for gs://bucket/root: run `gcloud auth"):
        open_storage("gs://bucket/root")


def test_bytes_lost_on_the_way_are_fetched_again(service: HTTPServer, tmp_path: Path) -> None:
    service.expect_request(DOWNLOAD).respond_with_handler(
        answers(content(b"dat", announced=b"data"), content(b"dada", announced=b"data"), content(b"data"))
    )
    open_storage("gs://bucket/root").download_file("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"data"


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(service: HTTPServer, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    asked: list[str] = []

    def half_the_rest(request: Request) -> Response:
        asked.append(request.headers.get("Range", ""))
        start = int(asked[-1].removeprefix("bytes=").rstrip("-") or 0)
        rest = data[start:]
        headers = {"X-Goog-Hash": f"crc32c={checksum_of(data)}", "X-Goog-Generation": "7"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        # The server promises all of it and sends half, twice.
        sent = rest[: len(rest) // 2] if len(asked) < 3 else rest
        response = Response(iter([sent]), status=206 if start else 200, headers=headers)
        response.headers["Content-Length"] = str(len(rest))
        return response

    service.expect_request(DOWNLOAD).respond_with_handler(half_the_rest)
    open_storage("gs://bucket/root").download_file("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert len(asked) == 3
    assert all(range_.startswith("bytes=") for range_ in asked[1:])
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_bytes_stored_corrupt_are_refused(service: HTTPServer, tmp_path: Path) -> None:
    service.expect_request(DOWNLOAD).respond_with_handler(answers(content(b"dada", announced=b"data")))
    storage = open_storage("gs://bucket/root")
    with pytest.raises(UserError, match="gs://bucket/root/key is corrupt"):
        storage.download_file("key", tmp_path / "target")
    with pytest.raises(UserError, match="gs://bucket/root/key is corrupt"):
        storage.read_bytes("key")
    assert list(tmp_path.iterdir()) == []


def test_a_creator_whose_answer_was_lost_knows_its_own_file(service: HTTPServer) -> None:
    service.expect_request(UPLOAD).respond_with_handler(answers(refusal(503), refusal(412)))
    service.expect_request(DOWNLOAD).respond_with_handler(answers(content(b"mine")))
    storage = open_storage("gs://bucket/root")
    storage.create_exclusive("key", b"mine")
    conditions = [request.args["ifGenerationMatch"] for request, _ in service.log if request.path == UPLOAD]
    assert conditions == ["0", "0"]
    with pytest.raises(AlreadyExistsError):
        storage.create_exclusive("key", b"another's")


def test_a_large_object_is_copied_piece_by_piece(service: HTTPServer) -> None:
    resource = {"name": "root/copy", "size": "9", "crc32c": "AAAAAA=="}
    piece = {"done": False, "rewriteToken": "next", "totalBytesRewritten": "4", "objectSize": "9"}
    whole = {"done": True, "totalBytesRewritten": "9", "objectSize": "9", "resource": resource}

    def rewrite(request: Request) -> Response:
        body: dict[str, Any] = whole if request.args.get("rewriteToken") == "next" else piece
        return Response(json.dumps(body), content_type="application/json")

    service.expect_request(REWRITE, method="POST").respond_with_handler(rewrite)
    assert open_storage("gs://bucket/root").copy_file("key", "copy") == StoredFile(9, "AAAAAA==")
    assert requests_to(service, REWRITE) == 2


def test_deleting_what_somebody_else_deletes_is_no_error(service: HTTPServer) -> None:
    service.expect_request(OBJECT, method="DELETE").respond_with_handler(answers(refusal(404)))
    open_storage("gs://bucket/root").delete("key")
    assert requests_to(service, OBJECT) == 1

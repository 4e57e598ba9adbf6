"""S3 when it fails: by a server that plays one fault at a time."""

import base64
import hashlib
import itertools
import re
import socket
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from components.errors import UserError
from components.storage import AlreadyExistsError, CorruptError, StoredFile, open_storage, s3

KEY = "/bucket/root/key"


@pytest.fixture(autouse=True)
def service(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    """The server, which is taken for S3; there are no pauses between attempts."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", httpserver.url_for("").rstrip("/"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)
    return httpserver


def asked(service: HTTPServer) -> list[Request]:
    """The requests for objects of the bucket.

    The tests of Google Cloud Storage have the same server, and its library's threads may ask it still.
    """
    return [request for request, _ in service.log if request.path.startswith("/bucket/")]


def answers(*responses: Response) -> Callable[[Request], Response]:
    """A handler that gives one response after another, and the last one from then on."""
    left = itertools.chain(responses, itertools.repeat(responses[-1]))
    return lambda _: next(left)


def checksum_of(data: bytes) -> str:
    return base64.b64encode(google_crc32c.Checksum(data).digest()).decode()


def content(data: bytes, announced: bytes | None = None) -> Response:
    checksum = checksum_of(data if announced is None else announced)
    return Response(data, headers={"ETag": '"1"', "x-amz-meta-crc32c": checksum})


def refusal(status: int, code: str = "Other", message: str = "no") -> Response:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(body, status=status, content_type="application/xml")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_passes_by_itself_is_tried_again(service: HTTPServer, status: int) -> None:
    code = "SlowDown" if status == 429 else "Other"
    service.expect_request(KEY, method="GET").respond_with_handler(
        answers(refusal(status, code), refusal(status, code), content(b"data"))
    )
    service.expect_request(KEY, method="PUT").respond_with_handler(
        answers(refusal(status, code), Response(headers={"ETag": '"1"'}))
    )
    storage = open_storage("s3://bucket/root")
    assert storage.read_bytes("key") == b"data"
    storage.write_bytes("key", b"data")
    assert [request.method for request in asked(service)] == ["GET"] * 3 + ["PUT"] * 2


def test_attempts_come_to_an_end(service: HTTPServer) -> None:
    service.expect_request(KEY).respond_with_handler(answers(refusal(503, "SlowDown", "slow down")))
    with pytest.raises(
        UserError, match=r"did not serve s3://bucket/root/key, .*SlowDown.*; check the network"
    ):
        s3.S3Storage("s3://bucket/root", attempts=3).read_bytes("key")
    assert len(asked(service)) == 3


def test_a_server_that_does_not_answer_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(
        UserError, match=r"did not serve s3://bucket/root/key, .*; check the network and AWS_END"
    ):
        s3.S3Storage("s3://bucket/root", attempts=2).read_bytes("key")


def test_an_endpoint_that_is_no_url_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "seaweedfs:9000")
    with pytest.raises(UserError, match=r"seaweedfs:9000.*set AWS_ENDPOINT_URL to http"):
        open_storage("s3://bucket/root")


@pytest.mark.parametrize(
    ("status", "code", "cure"),
    [
        (
            403,
            "AccessDenied",
            r"no permission for s3://bucket/root/key \(no\); allow this account s3:GetObject",
        ),
        (403, "InvalidAccessKeyId", "wrong credentials .*set AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "wrong credentials .*on Kubeflow, give --s3-secret"),
        (400, "ExpiredToken", "wrong credentials"),
        (400, "AuthorizationHeaderMalformed", "in another region .*; set AWS_DEFAULT_REGION"),
        (404, "NoSuchBucket", "there is no bucket bucket for .*AWS_ENDPOINT_URL.*aws s3 mb s3://bucket"),
        (403, "QuotaExceeded", r"the quota for s3://bucket/root/key is used up \(no\); have it raised"),
        (409, "OperationAborted", r"did not serve s3://bucket/root/key.*no\); check the network"),
        (400, "EntityTooLarge", "the store refuses s3://bucket/root/key: no"),
    ],
)
def test_a_refusal_comes_with_its_cure_and_is_not_tried_again(
    service: HTTPServer, status: int, code: str, cure: str
) -> None:
    service.expect_request(KEY).respond_with_handler(answers(refusal(status, code)))
    storage = open_storage("s3://bucket/root")
    with pytest.raises(UserError, match=cure):
        storage.write_bytes("key", b"")
    with pytest.raises(UserError, match=cure):
        storage.read_bytes("key")
    assert [request.method for request in asked(service)] == ["PUT", "GET"]


def test_no_credentials_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(UserError, match="no credentials for s3://bucket/root/key: set AWS_ACCESS_KEY_ID"):
        open_storage("s3://bucket/root").read_bytes("key")


def test_what_is_sent_has_its_checksums(service: HTTPServer) -> None:
    service.expect_request(KEY, method="PUT").respond_with_data("")
    open_storage("s3://bucket/root").write_bytes("key", b"data")
    request = asked(service)[0]
    assert request.headers["Content-MD5"] == base64.b64encode(hashlib.md5(b"data").digest()).decode()
    assert request.headers["x-amz-meta-crc32c"] == checksum_of(b"data")
    # Not every store knows what S3 has had since 2024.
    assert "x-amz-trailer" not in request.headers
    assert request.data == b"data"


def test_bytes_lost_on_the_way_are_fetched_again(service: HTTPServer, tmp_path: Path) -> None:
    service.expect_request(KEY).respond_with_handler(
        answers(content(b"dat", announced=b"data"), content(b"dada", announced=b"data"), content(b"data"))
    )
    open_storage("s3://bucket/root").download_file("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"data"


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(service: HTTPServer, tmp_path: Path) -> None:
    data = bytes(range(256)) * 4096
    asked: list[str] = []

    def half_the_rest(request: Request) -> Response:
        asked.append(request.headers.get("Range", ""))
        start = int(asked[-1].removeprefix("bytes=").rstrip("-") or 0)
        rest = data[start:]
        headers = {"x-amz-meta-crc32c": checksum_of(data), "ETag": '"7"'}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            assert request.headers["If-Match"] == '"7"'
        # The server promises all of it and sends half, twice.
        sent = rest[: len(rest) // 2] if len(asked) < 3 else rest
        response = Response(iter([sent]), status=206 if start else 200, headers=headers)
        response.headers["Content-Length"] = str(len(rest))
        return response

    service.expect_request(KEY).respond_with_handler(half_the_rest)
    open_storage("s3://bucket/root").download_file("key", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == data
    assert asked == ["", f"bytes={len(data) // 2}-", f"bytes={len(data) * 3 // 4}-"]
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def test_an_object_that_is_replaced_while_it_is_read_is_read_anew(service: HTTPServer) -> None:
    def cut(data: bytes) -> Response:
        response = content(data)
        response.headers["Content-Length"] = "9"
        response.response = iter([data])
        return response

    service.expect_request(KEY).respond_with_handler(
        answers(cut(b"old"), refusal(412, "PreconditionFailed"), content(b"new"))
    )
    assert open_storage("s3://bucket/root").read_bytes("key") == b"new"


def test_bytes_stored_corrupt_are_refused(service: HTTPServer, tmp_path: Path) -> None:
    service.expect_request(KEY).respond_with_handler(answers(content(b"dada", announced=b"data")))
    storage = open_storage("s3://bucket/root")
    for action in (
        lambda: storage.download_file("key", tmp_path / "target"),
        lambda: storage.read_bytes("key"),
    ):
        with pytest.raises(UserError, match="s3://bucket/root/key is corrupt"):
            action()
    assert list(tmp_path.iterdir()) == []


def test_an_object_of_somebody_else_is_read_without_our_checksum(service: HTTPServer) -> None:
    foreign = Response(b"data", headers={"ETag": '"1"'})
    service.expect_request(KEY).respond_with_handler(answers(foreign))
    storage = open_storage("s3://bucket/root")
    assert storage.read_bytes("key") == b"data"
    assert storage.stat("key") == StoredFile(4, checksum_of(b"data"))


def test_the_checksum_of_the_store_is_looked_at_too(service: HTTPServer) -> None:
    checksum = base64.b64encode(zlib.crc32(b"data").to_bytes(4, "big")).decode()
    foreign = Response(b"dada", headers={"ETag": '"1"', "x-amz-checksum-crc32": checksum})
    service.expect_request(KEY).respond_with_handler(answers(foreign))
    with pytest.raises(CorruptError, match="s3://bucket/root/key is corrupt"):
        open_storage("s3://bucket/root").read_bytes("key")
    assert len(asked(service)) == 3


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch, service: HTTPServer) -> None:
    """The store is known to create exclusively."""
    monkeypatch.setattr(s3, "_PROVEN", {(service.url_for("").rstrip("/"), "bucket")})


@pytest.mark.usefixtures("proven")
def test_a_creator_whose_answer_was_lost_knows_its_own_file(service: HTTPServer) -> None:
    put = answers(
        refusal(503), refusal(409, "ConditionalRequestConflict"), refusal(412, "PreconditionFailed")
    )
    service.expect_request(KEY, method="PUT").respond_with_handler(put)
    service.expect_request(KEY, method="GET").respond_with_handler(answers(content(b"mine")))
    storage = open_storage("s3://bucket/root")
    storage.create_exclusive("key", b"mine")
    conditions = [request.headers["If-None-Match"] for request in asked(service) if request.method == "PUT"]
    assert conditions == ["*"] * 3
    with pytest.raises(AlreadyExistsError):
        storage.create_exclusive("key", b"another's")


def store(service: HTTPServer, winners: int) -> list[str]:
    """A store where so many requests create the same object; returns what is deleted."""
    lock, created, deleted = threading.Lock(), dict[str, list[bytes]](), list[str]()

    def handle(request: Request) -> Response:
        with lock:
            mine = created.setdefault(request.path, [])
            if request.method == "DELETE":
                deleted.append(request.path)
                return Response(status=204)
            if request.method == "GET":
                return content(mine[0])
            mine.append(request.data)
            return Response() if len(mine) <= winners else refusal(412, "PreconditionFailed")

    service.expect_request(re.compile("/bucket/root/.*")).respond_with_handler(handle)
    service.expect_request("/bucket").respond_with_data("<ListBucketResult/>")
    return deleted


@pytest.mark.parametrize(
    ("winners", "reason"),
    [
        (99, "its store ignores If-None-Match"),
        (2, "its store let 2 of 8 requests at once create one object"),
    ],
)
def test_a_store_that_does_not_create_exclusively_is_refused_for_a_registry(
    service: HTTPServer, winners: int, reason: str
) -> None:
    deleted = store(service, winners)
    storage = open_storage("s3://bucket/root")
    for action in (storage.check_writable, lambda: storage.create_exclusive("champion/1", b"")):
        with pytest.raises(
            UserError, match=rf"no registry can lie in s3://bucket/root: {reason}.*SeaweedFS since"
        ):
            action()
    storage.check_writable(exclusively=False)
    assert "/bucket/root/champion/1" not in [request.path for request in asked(service)]
    assert len(deleted) == 3


def test_the_store_is_tried_once(service: HTTPServer) -> None:
    store(service, 1)
    for _ in range(2):
        open_storage("s3://bucket/root").create_exclusive("champion/1", b"1")
    tried = {request.path for request in asked(service) if "twotower" in request.path}
    assert len(tried) == 3


def test_an_upload_in_parts_that_fails_leaves_none(
    service: HTTPServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(s3, "_PART_BYTES", 4)
    (tmp_path / "source").write_bytes(b"twotower!")
    started = "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
    service.expect_request(KEY, method="POST").respond_with_data(started, content_type="application/xml")
    service.expect_request(KEY, method="PUT").respond_with_handler(
        answers(Response(headers={"ETag": '"1"'}), refusal(503), refusal(403, "AccessDenied"))
    )
    service.expect_request(KEY, method="DELETE").respond_with_data("", status=204)
    with pytest.raises(UserError, match="no permission for s3://bucket/root/key"):
        open_storage("s3://bucket/root").upload_file(tmp_path / "source", "key")
    sent = [
        (request.args["partNumber"], request.data) for request in asked(service) if request.method == "PUT"
    ]
    assert sent == [("1", b"twot"), ("2", b"ower"), ("2", b"ower")]
    (ended,) = [request for request in asked(service) if request.method == "DELETE"]
    assert ended.args["uploadId"] == "u"


def test_deleting_what_somebody_else_deletes_is_no_error(service: HTTPServer) -> None:
    service.expect_request(KEY, method="DELETE").respond_with_data("", status=204)
    open_storage("s3://bucket/root").delete("key")

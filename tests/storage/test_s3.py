"""Uploads in parts, their remains, and checksums as metadata: S3 alone has them."""

from pathlib import Path

import pytest
from boto3.session import Session

from components.storage import CorruptError, open_storage, s3, stored_file
from components.storage.storage import STAGING_PREFIX

# S3 takes no smaller parts, but for the last one.
LEAST_PART = 5 << 20


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "_PART_BYTES", LEAST_PART)


@pytest.mark.usefixtures("small_parts")
def test_a_large_file_goes_up_in_parts(s3_bucket: str, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(bytes(range(256)) * (2 * LEAST_PART // 256) + b"last")
    file = stored_file(tmp_path / "source")
    storage = open_storage(f"{s3_bucket}/place")
    assert storage.upload_file(tmp_path / "source", "large") == file
    assert storage.identity("large").endswith("-3")
    assert storage.stat("large") == storage.read_back("large") == file
    assert storage.copy_file("large", "copy") == storage.stat("copy") == storage.read_back("copy") == file


def test_what_killed_writers_left_is_removed(s3_bucket: str) -> None:
    client, name = Session().client("s3"), s3_bucket.removeprefix("s3://")
    for key in ("place/large", "other/large"):
        upload = client.create_multipart_upload(Bucket=name, Key=key)["UploadId"]
        client.upload_part(Bucket=name, Key=key, UploadId=upload, PartNumber=1, Body=b"part")
    storage = open_storage(f"{s3_bucket}/place")
    storage.write_bytes(f"{STAGING_PREFIX}probe", b"")
    storage.write_bytes("file", b"")
    # moto says that every upload began in 2010.
    storage.remove_unfinished(100 * 365 * 86400)
    assert len(client.list_multipart_uploads(Bucket=name)["Uploads"]) == 2
    storage.remove_unfinished(-60)
    assert [one["Key"] for one in client.list_multipart_uploads(Bucket=name)["Uploads"]] == ["other/large"]
    assert storage.list() == ["file"]


def test_an_object_that_was_changed_by_hand_is_read_for_its_checksum(s3_bucket: str) -> None:
    storage = open_storage(s3_bucket)
    storage.write_bytes("file", b"data")
    before = storage.stat("file")
    Session().client("s3").put_object(Bucket=s3_bucket.removeprefix("s3://"), Key="file", Body=b"dada")
    assert storage.stat("file") == storage.read_back("file") != before


def test_bytes_that_are_not_those_of_the_checksum_are_refused(s3_bucket: str) -> None:
    client, name = Session().client("s3"), s3_bucket.removeprefix("s3://")
    client.put_object(Bucket=name, Key="file", Body=b"dada", Metadata={"crc32c": "AAAAAA=="})
    with pytest.raises(CorruptError, match="is corrupt"):
        open_storage(s3_bucket).read_bytes("file")

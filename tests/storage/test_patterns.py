"""Patterns of paths and gs:// URIs."""

from pathlib import Path

import pytest
from boto3.session import Session
from google.cloud import storage as storage_client

from components.errors import UserError
from components.storage import is_pattern, matches, open_storage

FILES = [
    "a/part-1.csv",
    "a/part-2.csv",
    "a/part-10.csv",
    "a/b/part-3.csv",
    "a/b/c/part-4.csv",
    "other/part-5.csv",
]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a/part-*.csv", ["a/part-1.csv", "a/part-10.csv", "a/part-2.csv"]),
        ("a/part-?.csv", ["a/part-1.csv", "a/part-2.csv"]),
        ("a/part-[2-9].csv", ["a/part-2.csv"]),
        ("*/part-*.csv", ["a/part-1.csv", "a/part-10.csv", "a/part-2.csv", "other/part-5.csv"]),
        ("a/**/part-[34].csv", ["a/b/c/part-4.csv", "a/b/part-3.csv"]),
        ("a/*", ["a/part-1.csv", "a/part-10.csv", "a/part-2.csv"]),
        ("a/part-*.tsv", []),
    ],
)
def test_a_pattern_stands_for_the_files_that_match(place: str, pattern: str, expected: list[str]) -> None:
    storage = open_storage(place)
    for name in FILES:
        storage.write_bytes(name, b"")
    assert matches(f"{place}/{pattern}") == [f"{place}/{name}" for name in expected]


def test_a_directory_of_a_bucket_is_no_file(bucket: str) -> None:
    storage = open_storage(bucket)
    # No key of ours; a console makes such objects.
    scheme, _, name = bucket.partition("://")
    if scheme == "gs":
        storage_client.Client(project=None).bucket(name).blob("in/").upload_from_string("")
    else:
        Session().client("s3").put_object(Bucket=name, Key="in/")
    storage.write_bytes("in/a", b"")
    assert matches(f"{bucket}/in/*") == [f"{bucket}/in/a"]


def test_a_bucket_is_named_in_full(bucket: str) -> None:
    scheme = bucket.partition("://")[0]
    for pattern in (f"{scheme}://*/in", f"{scheme}://b*"):
        with pytest.raises(UserError, match="names no bucket"):
            matches(pattern)
    with pytest.raises(UserError, match="there is no bucket absent"):
        matches(f"{scheme}://absent/*.csv")


def test_a_file_of_that_very_name_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a[1].csv").touch()
    assert not is_pattern("a[1].csv")
    assert is_pattern("a[2].csv")
    assert is_pattern("gs://bucket/a[1].csv")
    assert not is_pattern("gs://bucket/a.csv")

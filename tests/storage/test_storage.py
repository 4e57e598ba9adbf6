"""The contract of every storage: a directory, Google Cloud Storage and S3, or a store like it."""

import base64
import threading
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.errors import UserError
from components.storage import (
    AlreadyExistsError,
    NotFoundError,
    StoredFile,
    fetch,
    identity,
    open_storage,
    stored_file,
)


def test_what_was_written_is_read(place: str) -> None:
    storage = open_storage(place)
    storage.write_bytes("a/b.json", b"{}")
    storage.write_bytes("a/b.json", b'{"new": true}')
    assert storage.read_bytes("a/b.json") == b'{"new": true}'
    assert storage.exists("a/b.json")
    assert not storage.exists("a")
    assert not storage.exists("a/c.json")


def test_the_list_is_sorted_and_by_prefix(place: str) -> None:
    storage = open_storage(place)
    for key in ["b/2", "b/10", "b/1/x", "bc", "a"]:
        storage.write_bytes(key, b"")
    assert storage.list() == ["a", "b/1/x", "b/10", "b/2", "bc"]
    assert storage.list("b/") == ["b/1/x", "b/10", "b/2"]
    assert storage.list("b") == ["b/1/x", "b/10", "b/2", "bc"]
    assert storage.list("none/") == []


def test_directories_and_sizes_are_those_of_the_files(place: str) -> None:
    storage = open_storage(place)
    for key in ["a/2/x", "a/10/x", "a/1/y/z", "a/file", "ab/3/x"]:
        storage.write_bytes(key, key.encode())
    assert storage.directories("a") == ["1", "10", "2"]
    assert storage.directories("none") == []
    assert storage.sizes("a") == {"a/1/y/z": 7, "a/10/x": 6, "a/2/x": 5, "a/file": 6}
    assert storage.sizes("none") == {}


def test_a_file_is_created_once(place: str) -> None:
    storage = open_storage(place)
    storage.create_exclusive("log/1", b"first")
    with pytest.raises(AlreadyExistsError):
        storage.create_exclusive("log/1", b"second")
    assert storage.read_bytes("log/1") == b"first"
    assert storage.list() == ["log/1"]


@pytest.mark.parametrize("rounds", [5, pytest.param(50, marks=pytest.mark.slow)])
def test_of_eight_creators_at_once_one_wins(place: str, rounds: int) -> None:
    start = threading.Barrier(8)
    winners: list[int] = []

    def race(number: int, key: str) -> None:
        storage = open_storage(place)
        start.wait()
        try:
            storage.create_exclusive(key, str(number).encode())
        except AlreadyExistsError:
            return
        winners.append(number)

    for turn in range(rounds):
        winners.clear()
        racers = [threading.Thread(target=race, args=(number, f"log/{turn}")) for number in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert len(winners) == 1
        assert open_storage(place).read_bytes(f"log/{turn}") == str(winners[0]).encode()


def test_files_and_directories_come_back_as_they_went(place: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "variables").mkdir(parents=True)
    contents = {"saved_model.pb": b"graph", "variables/data": bytes(range(256)) * 50_000, "empty": b""}
    for name, content in contents.items():
        (source / name).write_bytes(content)
    storage = open_storage(place)
    uploaded = storage.upload_directory(source, "v/1", last=["saved_model.pb"])
    assert list(uploaded) == ["empty", "variables/data", "saved_model.pb"]
    assert uploaded == {name: stored_file(source / name) for name in contents}
    assert all(storage.stat(f"v/1/{name}") == file for name, file in uploaded.items())
    assert all(storage.read_back(f"v/1/{name}") == file for name, file in uploaded.items())
    for name, content in contents.items():
        assert storage.download_file(f"v/1/{name}", tmp_path / "target" / name) == uploaded[name]
        assert (tmp_path / "target" / name).read_bytes() == content
    assert storage.copy_file("v/1/variables/data", "w/data") == uploaded["variables/data"]
    assert storage.read_bytes("w/data") == contents["variables/data"]


def test_only_what_lies_in_the_directory_is_deleted(place: str) -> None:
    storage = open_storage(place)
    for key in ["v/1/a", "v/1/b/c", "v/10/a", "w"]:
        storage.write_bytes(key, b"")
    storage.delete_prefix("v/1")
    storage.delete_prefix("v/none")
    storage.delete("w")
    storage.delete("w")
    assert storage.list() == ["v/10/a"]


@pytest.mark.parametrize("verb", ["read_bytes", "stat", "download_file", "copy_file"])
def test_an_absent_file_is_named(place: str, verb: str, tmp_path: Path) -> None:
    storage = open_storage(place)
    storage.write_bytes("present", b"")
    further: dict[str, list[Any]] = {"download_file": [tmp_path / "x"], "copy_file": ["copy"]}
    arguments = further.get(verb, [])
    with pytest.raises(NotFoundError, match="place/absent does not exist"):
        getattr(storage, verb)("absent", *arguments)
    assert not (tmp_path / "x").exists()
    assert storage.list() == ["present"]


def test_the_probe_of_writing_leaves_nothing(place: str) -> None:
    storage = open_storage(place)
    storage.check_writable()
    assert storage.list() == []


def test_the_identity_changes_with_the_content(place: str, tmp_path: Path) -> None:
    storage = open_storage(place)
    storage.write_bytes("ratings.csv", b"one")
    first = identity(f"{place}/ratings.csv")
    assert identity(f"{place}/ratings.csv") == first
    storage.write_bytes("ratings.csv", b"two")
    assert identity(f"{place}/ratings.csv") != first
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        identity(f"{place}/absent.csv")


def test_a_fetched_file_is_local(place: str, tmp_path: Path) -> None:
    storage = open_storage(place)
    storage.write_bytes("one/ratings.csv", b"one")
    storage.write_bytes("two/ratings.csv", b"two")
    files = [fetch(f"{place}/{folder}/ratings.csv", tmp_path / "inputs") for folder in ("one", "two")]
    assert [file.read_bytes() for file in files] == [b"one", b"two"]
    assert all(file.name == "ratings.csv" for file in files)
    if "://" not in place:
        assert files[0] == Path(place, "one/ratings.csv")
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        fetch(f"{place}/absent.csv", tmp_path / "inputs")


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("", "an empty path names no file"),
        ("ftp://bucket/key", "ftp://bucket/key: ftp:// is not supported"),
        ("s3://", "s3:// names no bucket; write s3://BUCKET/PREFIX"),
        ("gs://", "gs:// names no bucket; write gs://BUCKET/PREFIX"),
        ("gs://Bucket/prefix", "names no bucket"),
    ],
)
def test_what_is_no_place_is_refused(uri: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_storage(uri)


# RFC 3720, appendix B.4: 32 bytes of zeroes, of ones, and ascending.
@pytest.mark.parametrize(
    ("content", "checksum"),
    [(bytes(32), "ipE2qg=="), (b"\xff" * 32, "YqirQw=="), (bytes(range(32)), "Rt15Tg==")],
)
def test_the_checksum_is_the_one_of_the_standard(tmp_path: Path, content: bytes, checksum: str) -> None:
    (tmp_path / "file").write_bytes(content)
    assert stored_file(tmp_path / "file") == StoredFile(32, checksum)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=3000))
def test_a_file_has_the_checksum_of_its_bytes(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    checksum = base64.b64encode(google_crc32c.Checksum(content).digest()).decode()
    assert stored_file(tmp_path / "file") == StoredFile(len(content), checksum)

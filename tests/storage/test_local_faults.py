"""A directory when the file system fails."""

import errno
import os
import shutil
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from components.errors import UserError
from components.storage import AlreadyExistsError, fetch, identity, open_storage
from components.storage.storage import STAGING_PREFIX


@pytest.fixture
def under_a_file(tmp_path: Path) -> str:
    """A root that nobody can write, not even the superuser."""
    (tmp_path / "file").write_text("no directory")
    return str(tmp_path / "file" / "registry")


def test_a_place_that_cannot_be_written_is_a_line(under_a_file: str, tmp_path: Path) -> None:
    storage = open_storage(under_a_file)
    (tmp_path / "source").write_bytes(b"data")
    for action in (
        storage.check_writable,
        lambda: storage.write_bytes("key", b""),
        lambda: storage.upload_file(tmp_path / "source", "key"),
        lambda: storage.delete("key"),
        lambda: storage.delete_prefix("directory"),
    ):
        with pytest.raises(
            UserError, match=r"cannot (write|delete) .*file/registry.*: Not a directory; .*name a"
        ):
            action()


def test_the_probe_of_a_place_that_is_a_file_names_the_place_and_not_itself(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    for root in (tmp_path / "file", tmp_path / "file" / "registry"):
        with pytest.raises(UserError, match=rf"^cannot write {root}: .*; it is a file, or lies below one"):
            open_storage(str(root)).check_writable()


def test_a_directory_that_cannot_be_read_is_not_taken_for_an_empty_one(under_a_file: str) -> None:
    for action in (open_storage(under_a_file).list, lambda: open_storage(under_a_file).read_bytes("key")):
        with pytest.raises(UserError, match=r"cannot read .*: Not a directory"):
            action()


def test_a_file_system_without_links_is_found_out_by_the_probe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UserError, match="has no hard links"):
        open_storage(str(tmp_path)).check_writable()
    assert list(tmp_path.iterdir()) == []


def test_another_failure_of_the_link_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UserError, match="No space left on device"):
        open_storage(str(tmp_path)).create_exclusive("key", b"data")


def test_a_creator_knows_its_own_link_after_a_lost_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def answer_twice(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)

    monkeypatch.setattr(os, "link", answer_twice)
    storage = open_storage(str(tmp_path))
    storage.create_exclusive("key", b"mine")
    with pytest.raises(AlreadyExistsError):
        storage.create_exclusive("key", b"mine too")
    assert storage.read_bytes("key") == b"mine"


def test_a_copy_that_differs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_a_byte(source: Path, target: Path) -> None:
        Path(target).write_bytes(Path(source).read_bytes()[:-1])

    (tmp_path / "source").write_bytes(b"data")
    monkeypatch.setattr(shutil, "copyfile", lose_a_byte)
    with pytest.raises(UserError, match="differs from it"):
        open_storage(str(tmp_path / "root")).upload_file(tmp_path / "source", "key")
    assert list((tmp_path / "root").iterdir()) == []


def test_only_old_unfinished_files_are_removed(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write_bytes("champion/1", b"")
    old, new = (tmp_path / "champion" / f"{STAGING_PREFIX}{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half")
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    os.utime(tmp_path / "champion" / "1", (an_hour_ago, an_hour_ago))
    assert storage.list() == ["champion/1"]
    storage.remove_unfinished(older_than_seconds=60)
    assert sorted(path.name for path in (tmp_path / "champion").iterdir()) == [new.name, "1"]


def test_readers_see_a_file_whole_while_it_is_replaced(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    contents = [bytes([value]) * 200_000 for value in range(2)]
    storage.write_bytes("key", contents[0])
    done = threading.Event()

    def replace() -> None:
        for turn in range(100):
            storage.write_bytes("key", contents[turn % 2])
        done.set()

    writer = threading.Thread(target=replace)
    writer.start()
    while not done.is_set():
        assert storage.read_bytes("key") in contents
    writer.join()


@pytest.mark.parametrize("action", [identity, lambda path: fetch(path, "inputs")])
def test_a_directory_is_no_file(tmp_path: Path, action) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UserError, match="is a directory; name a file"):
        action(str(tmp_path))


def test_a_copy_shares_the_blocks_of_its_source_where_the_file_system_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = []

    def share(target: int, request: int, source: int) -> int:
        assert request == 0x40049409  # FICLONE of linux/fs.h
        shared.append(os.write(target, os.pread(source, 100, 0)))
        return 0

    def refuse(*_: object) -> None:
        raise AssertionError("it was copied")

    storage = open_storage(str(tmp_path / "registry"))
    (tmp_path / "source").write_bytes(b"data")
    with monkeypatch.context() as patched:
        patched.setattr("components.storage.local.fcntl.ioctl", share)
        patched.setattr(shutil, "copyfile", refuse)
        storage.upload_file(tmp_path / "source", "one")
        storage.copy_file("one", "two")
    assert shared == [4, 4]
    assert storage.read_bytes("two") == b"data"
    monkeypatch.setattr(
        "components.storage.local.fcntl.ioctl", Mock(side_effect=OSError(errno.EXDEV, "another disk"))
    )
    storage.copy_file("two", "three")
    assert storage.read_bytes("three") == b"data"

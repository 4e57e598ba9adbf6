"""A full disk and a used-up quota: one line, and nothing half-written."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.errors import UserError
from components.storage import open_storage

FULL = "No space left on device; free some space .*twotower prune"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; the test is skipped where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_what_does_not_fit_leaves_nothing(small_disk: Path, tmp_path: Path) -> None:
    storage = open_storage(str(small_disk / "registry"))
    storage.write_bytes("small", b"fits")
    (tmp_path / "large").write_bytes(bytes(2_000_000))
    for action in (
        lambda: storage.write_bytes("large", bytes(2_000_000)),
        lambda: storage.create_exclusive("large", bytes(2_000_000)),
        lambda: storage.upload_file(tmp_path / "large", "large"),
        lambda: open_storage(str(tmp_path)).download_file("large", small_disk / "copy" / "large"),
    ):
        with pytest.raises(UserError, match=FULL):
            action()
    assert storage.list() == ["small"]
    assert [path for path in small_disk.rglob("*") if path.is_file()] == [small_disk / "registry" / "small"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_flushing_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    (tmp_path / "source").write_bytes(b"data")
    storage = open_storage(str(tmp_path / "registry"))
    for action in (
        lambda: storage.write_bytes("key", b""),
        lambda: storage.upload_file(tmp_path / "source", "key"),
    ):
        with pytest.raises(UserError, match=f"{os.strerror(code)}; free some space"):
            action()
    assert storage.list() == []

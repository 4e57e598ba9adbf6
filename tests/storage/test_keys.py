"""Keys that would lead out of the root, refused by every backend."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.errors import UserError
from components.storage import Storage, open_storage

BAD = ["", "/etc/passwd", "..", "../x", "v/../../x", "v/..", "a//b", "a/", "./a", "a/./b", "a\0b", "a\nb"]


def operations(storage: Storage, key: str, local: Path) -> list[Callable[[], object]]:
    return [
        lambda: storage.read_bytes(key),
        lambda: storage.write_bytes(key, b"x"),
        lambda: storage.create_exclusive(key, b"x"),
        lambda: storage.exists(key),
        lambda: storage.stat(key),
        lambda: storage.read_back(key),
        lambda: storage.upload_file(local, key),
        lambda: storage.upload_directory(local.parent, key),
        lambda: storage.download_file(key, local.with_name("copy")),
        lambda: storage.copy_file(key, "copy"),
        lambda: storage.copy_file("there", new_key=key),
        lambda: storage.delete(key),
        lambda: storage.delete_prefix(key),
    ]


@pytest.mark.parametrize("key", BAD)
def test_a_key_never_leaves_the_root(place: str, tmp_path: Path, key: str) -> None:
    storage = open_storage(place)
    storage.write_bytes("there", b"")
    local = tmp_path / "local" / "file"
    local.parent.mkdir()
    local.write_bytes(b"")
    for operation in operations(storage, key, local):
        with pytest.raises(UserError, match=f"names no file below {place}: it (is|leads|holds)"):
            operation()
    assert storage.list() == ["there"]
    assert [path.name for path in local.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("prefix", ["..", "../", "/", "versions/../../", "a//"])
def test_a_list_never_leaves_the_root(place: str, prefix: str) -> None:
    with pytest.raises(UserError, match="names no file below"):
        open_storage(place).list(prefix)


def test_a_link_does_not_lead_out_of_a_directory(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (outside / "v").mkdir(parents=True)
    (outside / "file").write_text("x")
    root.mkdir()
    (root / "directory").symlink_to(outside)
    (root / "link").symlink_to(outside / "file")
    (root / "loop").symlink_to("loop")
    local = tmp_path / "local" / "file"
    local.parent.mkdir()
    local.write_bytes(b"")
    storage = open_storage(str(root))
    storage.write_bytes("there", b"")
    for key in ("directory/new", "directory/file", "link", "directory"):
        for operation in operations(storage, key, local):
            with pytest.raises(UserError, match=r"leads out of .*root by a link"):
                operation()
    with pytest.raises(UserError, match=r"leads out of .*root by a link"):
        storage.list("directory/")
    with pytest.raises(UserError, match=r"cannot read .*loop"):
        storage.read_bytes("loop")
    assert sorted(path.name for path in outside.iterdir()) == ["file", "v"]


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    storage = open_storage(str(tmp_path / "root"))
    storage.write_bytes("a/b", b"x")
    assert storage.list() == ["a/b"]
    assert (tmp_path / "disk" / "a" / "b").read_bytes() == b"x"


def test_a_long_name_is_a_line(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    for operation in (storage.exists, storage.read_bytes, storage.delete):
        with pytest.raises(UserError, match=r"cannot (read|delete) .*: File name too long"):
            operation("a" * 300)

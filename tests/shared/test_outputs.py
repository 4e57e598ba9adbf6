"""Outputs are whole or absent."""

import errno
import json
import math
import os
import tempfile

import pytest

from components import outputs
from components.errors import UserError
from components.outputs import output_directory, write_json, write_text


def test_a_directory_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "deep" / "output"
    with output_directory(target) as staging:
        (staging / "a.txt").write_text("a")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "a"
    assert [p.name for p in target.parent.iterdir()] == ["output"]


@pytest.fixture
def _bucket(monkeypatch, tmp_path):
    """The behaviour of a bucket that gcsfuse has mounted: no hard links, no directories to rename."""

    def refuse_directories(real):
        def call(source, target, **options):
            if os.path.isdir(source):  # noqa: PTH112
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return real(source, target, **options)

        return call

    def link(*_, **__):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "rename", refuse_directories(os.rename))
    monkeypatch.setattr(os, "replace", refuse_directories(os.replace))
    monkeypatch.setattr(os, "link", link)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"overlay / overlay rw 0 0\nfilms {tmp_path / 'gcs'} fuse.gcsfuse rw 0 0\n")
    monkeypatch.setattr(outputs, "_MOUNTS", mounts)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


@pytest.mark.usefixtures("_bucket")
def test_outputs_go_to_a_mounted_bucket_that_renames_no_directories(tmp_path):
    target = tmp_path / "gcs" / "films" / "dataset"
    (target / "old").mkdir(parents=True)
    with output_directory(target) as staging:
        assert staging.parent == tmp_path / "temporary"
        (staging / "deep").mkdir()
        (staging / "deep" / "a.txt").write_text("a")
    write_json(target / "b.json", {"b": 1})
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*")) == [
        "b.json",
        "deep",
        "deep/a.txt",
    ]
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.usefixtures("_bucket")
def test_an_output_that_cannot_be_copied_is_absent(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.txt")

    monkeypatch.setattr("shutil.copyfile", full)
    target = tmp_path / "gcs" / "dataset"
    with pytest.raises(OSError, match=r"a\.txt"), output_directory(target) as staging:
        (staging / "a.txt").write_text("a")
    assert not target.exists()


def test_an_exception_leaves_the_earlier_output_and_nothing_else(tmp_path):
    target = tmp_path / "output"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), output_directory(target) as staging:
        (staging / "new.txt").write_text(str(1 / 0))
    assert [p.name for p in tmp_path.rglob("*")] == ["output", "old.txt"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_is_a_line_and_leaves_nothing(tmp_path, code):
    def fill_up():
        with output_directory(tmp_path / "output") as staging:
            (staging / "half").write_text("")
            raise OSError(code, os.strerror(code), str(staging / "half"))

    with pytest.raises(UserError, match=rf"cannot write .*/half: {os.strerror(code)}; free some space"):
        fill_up()
    assert list(tmp_path.iterdir()) == []


def test_another_failure_of_the_disk_is_no_mistake(tmp_path):
    with pytest.raises(OSError, match="Input/output error"), output_directory(tmp_path / "output"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_an_earlier_output_is_replaced_whole(tmp_path):
    target = tmp_path / "output"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with output_directory(target) as staging:
        (staging / "new.txt").write_text("new")
    assert [p.name for p in target.iterdir()] == ["new.txt"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "output").write_text("")
    with pytest.raises(UserError, match="is a file, not a directory"), output_directory(tmp_path / "output"):
        raise AssertionError("the block must not begin")


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), output_directory(tmp_path / "file" / "output"):
        raise AssertionError("the block must not begin")


def test_a_place_that_cannot_even_be_looked_at_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot write"), output_directory(tmp_path / ("long" * 100)):
        raise AssertionError("the block must not begin")


def test_other_users_can_read_an_output(tmp_path):
    with output_directory(tmp_path / "output"):
        assert (tmp_path).exists()
    assert (tmp_path / "output").stat().st_mode & 0o777 == 0o755


def test_json_is_written_as_it_is_read(tmp_path):
    value = {"a": [1, 2.5, None, "é"], "b": {"c": True}}
    write_json(tmp_path / "x" / "value.json", value)
    assert json.loads((tmp_path / "x" / "value.json").read_text("utf-8")) == value


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_json_does_not_know_is_refused_and_the_old_file_kept(tmp_path, number):
    write_text(tmp_path / "value.json", "old")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", {"rmse": number})
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]

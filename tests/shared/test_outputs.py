"""Outputs are whole or absent."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
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


KILLED = """
import os, signal, sys
from pathlib import Path
from components.ingest.database import scratch_directory
from components.outputs import output_directory
with scratch_directory(sys.argv[1]) as scratch, output_directory(sys.argv[1]) as staging:
    for directory in (scratch, staging):
        (directory / "large.bin").write_bytes(bytes(100_000))
    os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_writer(target):
    ended = subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL


@pytest.mark.process
def test_the_disk_of_a_killed_process_is_given_back(tmp_path):
    target = tmp_path / "dataset"
    kill_a_writer(target)
    assert len(list(tmp_path.iterdir())) == 2
    with output_directory(target) as staging:
        (staging / "a.txt").write_text("a")
        assert list(tmp_path.iterdir()) == [staging]
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.process
def test_what_others_write_is_left_alone(tmp_path):
    target, other = tmp_path / "dataset", tmp_path / "other"
    kill_a_writer(other)
    (tmp_path / ".dataset.hidden").mkdir()
    left = set(tmp_path.iterdir())
    with output_directory(target) as first, output_directory(target) as second:
        assert {first, second} < set(tmp_path.iterdir())
        outputs.delete_abandoned(tmp_path.iterdir())
        assert set(tmp_path.iterdir()) == {first, second, tmp_path / ".dataset.hidden"}
    assert len(left) == 3


def test_a_directory_that_is_deleted_before_it_is_locked_is_made_anew(tmp_path, monkeypatch):
    lock, locked = outputs._lock, []

    def slow(directory):
        locked.append(directory)
        if len(locked) == 1:
            directory.rmdir()
        return lock(directory)

    monkeypatch.setattr(outputs, "_lock", slow)
    with output_directory(tmp_path / "dataset") as staging:
        assert staging == locked[1]
        assert staging.is_dir()

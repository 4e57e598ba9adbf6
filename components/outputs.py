"""Outputs that are whole or absent: written beside their place and renamed into it."""

import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from components.errors import UserError

# The file systems of this machine: device, directory, type.
_MOUNTS = Path("/proc/self/mounts")

# Errors of a write to a full disk, or beyond a user's quota.
FULL_DISK = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def output_directory(path: str | Path) -> Iterator[Path]:
    """Yields an empty directory that becomes `path` when the block ends without an exception.

    An earlier output at `path` is replaced; after an exception it is left as it was. Raises `UserError` if
    nothing can be written there, or the disk fills up.
    """
    target = Path(path)
    with staging_directory(target) as staging, _replacing(target, staging):
        yield staging


_REQUEST = "request.json"


@contextmanager
def resumable_directory(path: str | Path, request: dict[str, Any]) -> Iterator[Path]:
    """Does `output_directory`, but after an exception or a kill the next call finds what was written.

    It is found if it was written for the same `request`, which can be JSON, and else deleted.
    """
    target = Path(path)
    staging = target.with_name(f".{target.name}.partial")
    note, text = staging / _REQUEST, json.dumps(request, sort_keys=True)
    if not note.is_file() or note.read_text("utf-8") != text:
        with _writable(target):
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            write_text(note, text)
    with _replacing(target, staging):
        yield staging
        note.unlink()


@contextmanager
def _replacing(target: Path, staging: Path) -> Iterator[None]:
    """Puts `staging` into the place of `target` when the block ends without an exception."""
    try:
        if target.exists() and not target.is_dir():
            raise UserError(f"{target} is a file, not a directory; name another output")
        yield
        if target.is_dir():
            shutil.rmtree(target)
        _move(staging, target)
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        place = error.filename or target
        raise UserError(
            f"cannot write {place}: {error.strerror}; free some space, or name another output"
        ) from error


def _move(staging: Path, target: Path) -> None:
    """Renames a directory, or copies its files where a file system renames no directories."""
    try:
        staging.replace(target)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise
        # Cloud Storage as a file system (gcsfuse, on Vertex AI) has no directories to rename.
        try:
            shutil.copytree(staging, target, copy_function=shutil.copyfile)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise


@contextmanager
def staging_directory(target: Path, kind: str = "") -> Iterator[Path]:
    """Yields an empty hidden directory beside `target`, which is deleted when the block ends.

    What killed processes left there for the same target is deleted first. Where a bucket is mounted there it
    is in the directory for temporary files: databases and logs are written in the middle, which an object
    store does not know. Raises `UserError` if nothing can be written there.
    """
    with _writable(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.gettempdir()) if _is_bucket(target.parent) else target.parent
        delete_abandoned(place.glob(f".{glob.escape(target.name)}.*"))
        while True:
            # Not by mkdtemp, whose 0700 would hide the output from other users.
            directory = place / f".{target.name}.{kind}{_HOST}{uuid.uuid4().hex[:8]}"
            directory.mkdir()
            lock = _lock(directory)
            if directory.exists():
                break
            # Before it was locked, another process took it for abandoned.
            if lock is not None:
                os.close(lock)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if lock is not None:
            os.close(lock)


# Stands for this machine in the names of such directories: locks may be known to one machine alone.
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:4]
_STAGING = re.compile(rf"\..+\.{_HOST}[0-9a-f]{{8}}")


def delete_abandoned(paths: Iterable[Path]) -> None:
    """Deletes those of `paths` that `staging_directory` made here in processes that are gone."""
    for path in paths:
        if _STAGING.fullmatch(path.name) and path.is_dir():
            lock = _lock(path, wait=False)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _lock(directory: Path, wait: bool = True) -> int | None:
    """Locks a directory until the returned descriptor is closed; None if it is locked or cannot be."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:  # not every network file system locks directories
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def _writable(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {target}: {error.strerror}; name another output") from error


@contextmanager
def scratch_file(directory: Path | None, size: int) -> Iterator[IO[bytes]]:
    """Yields a file of `size` bytes without a name in `directory`, for reading and writing.

    Its disk is given back however the process ends; what is mapped of it remains after the block. Where the
    directory cannot be written to, as an input of others, or is None, the file is with temporary files.
    Raises `UserError` if the disk is full.
    """
    usable = directory is not None and os.access(directory, os.W_OK) and not _is_bucket(directory)
    place = str(directory) if usable else tempfile.gettempdir()
    with tempfile.TemporaryFile(dir=place) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)  # to write to a mapped file on a full disk kills
        except OSError as error:
            raise UserError(
                f"cannot write {size / 1e9:.1f} GB of scratch into {place}: {error.strerror}; free some space"
            ) from error
        yield file


def _is_bucket(directory: Path) -> bool:
    """Tests if a directory lies on Cloud Storage that gcsfuse has mounted."""
    try:
        mounts = [line.split() for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return False  # not Linux
    path = directory.resolve()
    above = [(mount[1], mount[2]) for mount in mounts if path.is_relative_to(mount[1])]
    return bool(above) and max(above, key=lambda one: len(one[0]))[1] == "fuse.gcsfuse"


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON, whole or not at all. NaN and infinity are refused (ValueError)."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_text(path, text)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` as UTF-8, whole or not at all."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    staging = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        staging.write_text(text, encoding="utf-8")
        staging.replace(target)
    finally:
        staging.unlink(missing_ok=True)

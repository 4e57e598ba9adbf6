"""Files below a local directory, also one on a network file system."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from components.errors import UserError
from components.storage.storage import AlreadyExists, NotFound, Storage, StoredFile, stored_file

# Names of files that are being written begin with this. No reader sees them.
_STAGING_PREFIX = ".twotower-"


class LocalStorage(Storage):
    """A directory. A file is written beside its place, flushed to the disk and renamed into it."""

    def _path(self, key: str) -> Path:
        return Path(self.root, key)

    def read_bytes(self, key: str) -> bytes:
        with _reading(self._path(key)) as path:
            return path.read_bytes()

    def write_bytes(self, key: str, data: bytes) -> None:
        with _staged(self._path(key)) as (staging, path):
            _write(staging, data)
            staging.replace(path)

    def create_exclusive(self, key: str, data: bytes) -> None:
        with _staged(self._path(key)) as (staging, path):
            _write(staging, data)
            try:
                os.link(staging, path)
            except FileExistsError as error:
                # NFS repeats a request whose answer was lost, and is then told of its own link.
                if staging.stat().st_nlink != 2:
                    raise AlreadyExists(str(path)) from error

    def list(self, prefix: str = "") -> Sequence[str]:
        base = Path(self.root)
        start = base / prefix.rpartition("/")[0]
        keys = (path.relative_to(base).as_posix() for path in _files(start))
        return sorted(key for key in keys if key.startswith(prefix))

    def children(self, directory: str) -> Sequence[str]:
        path = self._path(directory)
        if not path.is_dir():
            return []
        with _reading(path):
            return sorted(child.name for child in path.iterdir() if not _is_staging(child))

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def upload_file(self, source: Path, key: str) -> StoredFile:
        return _copy(source, self._path(key))

    def download_file(self, key: str, target: Path) -> StoredFile:
        return _copy(self._path(key), target)

    def copy_file(self, key: str, new_key: str) -> StoredFile:
        return _copy(self._path(key), self._path(new_key))

    def delete_prefix(self, directory: str) -> None:
        path = self._path(directory)
        try:
            shutil.rmtree(path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"cannot delete {path}: {error.strerror}; {_CURE}") from error

    def remove_litter(self, older_than_seconds: float) -> None:
        oldest = time.time() - older_than_seconds
        for path in Path(self.root).rglob(f"{_STAGING_PREFIX}*"):
            if path.stat().st_mtime < oldest:
                path.unlink(missing_ok=True)


_CURE = "give yourself the permission, or name another directory"


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in directory.rglob("*") if path.is_file() and not _is_staging(path))


def _is_staging(path: Path) -> bool:
    return path.name.startswith(_STAGING_PREFIX)


@contextmanager
def _reading(path: Path) -> Iterator[Path]:
    try:
        yield path
    except FileNotFoundError as error:
        raise NotFound(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; {_CURE}") from error


@contextmanager
def _staged(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yields (a name beside `path` to write to, `path`), and removes the former in the end."""
    staging = path.with_name(f"{_STAGING_PREFIX}{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield staging, path
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; {_CURE}") from error
    finally:
        if path.parent.is_dir():
            staging.unlink(missing_ok=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> StoredFile:
    """Copies a file and reads the copy back."""
    with _reading(source):
        original = stored_file(source)
    with _staged(target) as (staging, path):
        shutil.copyfile(source, staging)
        with staging.open("rb") as file:
            os.fsync(file.fileno())
        if stored_file(staging) != original:
            raise UserError(f"{source} changed while it was copied; run this step again")
        staging.replace(path)
    return original

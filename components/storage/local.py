"""Files below a local directory, also one on a network file system."""

import errno
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from components.errors import UserError
from components.storage.storage import (
    CURE,
    AlreadyExistsError,
    NotFoundError,
    Storage,
    StoredFile,
    is_staging,
    staged,
    stored_file,
)

# Errors of link(2) on file systems without hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


class LocalStorage(Storage):
    """Files below a directory. A file is written beside its place, flushed to disk and renamed into it."""

    def _path(self, key: str) -> Path:
        return Path(self.root, key)

    def read_bytes(self, key: str) -> bytes:
        with _one_line("read", self._path(key)) as path:
            return path.read_bytes()

    def write_bytes(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with staged(path) as staging:
            _write(staging, data)
            staging.replace(path)

    def create_exclusive(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with staged(path) as staging:
            _write(staging, data)
            try:
                os.link(staging, path)
            except FileExistsError as error:
                # NFS repeats a request whose answer was lost, and then finds its own link.
                if staging.stat().st_nlink != 2:
                    raise AlreadyExistsError(str(path)) from error
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                raise UserError(
                    f"cannot write {path}: this file system has no hard links, by which one of several "
                    "publishers wins; name a directory on another, or a gs:// prefix"
                ) from error

    def list(self, prefix: str = "") -> Sequence[str]:
        base = Path(self.root)
        start = base / prefix.rpartition("/")[0]
        keys = (path.relative_to(base).as_posix() for path in _files(start) if not is_staging(path))
        return sorted(key for key in keys if key.startswith(prefix))

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def stat(self, key: str) -> StoredFile:
        with _one_line("read", self._path(key)) as path:
            return stored_file(path)

    def read_back(self, key: str) -> StoredFile:
        return self.stat(key)

    def upload_file(self, source: Path, key: str) -> StoredFile:
        return _copy(source, self._path(key))

    def download_file(self, key: str, target: Path) -> StoredFile:
        return _copy(self._path(key), target)

    def copy_file(self, key: str, new_key: str) -> StoredFile:
        return _copy(self._path(key), self._path(new_key))

    def delete(self, key: str) -> None:
        with _one_line("delete", self._path(key)) as path:
            path.unlink(missing_ok=True)

    def delete_prefix(self, directory: str) -> None:
        with suppress(NotFoundError), _one_line("delete", self._path(directory)) as path:
            shutil.rmtree(path)

    def remove_unfinished(self, older_than_seconds: float) -> None:
        oldest = time.time() - older_than_seconds
        for path in filter(is_staging, _files(Path(self.root))):
            with suppress(FileNotFoundError):  # its writer has just moved it into place
                if path.stat().st_mtime < oldest:
                    self.delete(path.relative_to(self.root).as_posix())


def _files(directory: Path) -> Iterator[Path]:
    """Yields all files below `directory`, also while others add and delete some."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            # A directory that cannot be read must not pass for an empty one.
            raise UserError(f"cannot read {error.filename}: {error.strerror}; {CURE}") from error

    for parent, _, names in os.walk(directory, onerror=refuse):
        yield from (Path(parent, name) for name in names)


@contextmanager
def _one_line(verb: str, path: Path) -> Iterator[Path]:
    """Yields `path`, and turns the errors of reading or deleting it (`verb`) into a `UserError`."""
    try:
        yield path
    except FileNotFoundError as error:
        raise NotFoundError(f"{path} does not exist") from error
    except OSError as error:
        raise UserError(f"cannot {verb} {path}: {error.strerror}; {CURE}") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy(source: Path, target: Path) -> StoredFile:
    """Copies a file and reads the copy back."""
    with _one_line("read", source):
        original = stored_file(source)
    with staged(target) as staging:
        shutil.copyfile(source, staging)
        with staging.open("rb") as file:
            os.fsync(file.fileno())
        if stored_file(staging) != original:
            raise UserError(f"the copy of {source} in {target.parent} differs from it; run this step again")
        staging.replace(target)
    return original

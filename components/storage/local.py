"""Files below a local directory, also one on a network file system."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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


# Errors of fsync(2) on directories where a file system, such as a mounted bucket, does not know it.
_NO_DIRECTORY_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)


class LocalStorage(Storage):
    """Files below a directory. A file is written beside its place, flushed to disk and renamed into it.

    Its name, and a deletion, are flushed before the next write: a power loss keeps the order of writes.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._on_disk = set[Path]()  # directories whose own names are flushed

    def _path(self, key: str) -> Path:
        path, root = Path(self.root, key), os.path.realpath(self.root)
        # The root may be a link; what lies below it is not followed to other places.
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise UserError(f"{path} leads out of {self.root} by a link; replace the link by what it names")
        return path

    def read_bytes(self, key: str) -> bytes:
        with _one_line("read", self._path(key)) as path:
            return path.read_bytes()

    def write_bytes(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with staged(path) as staging:
            _write(staging, data)
            staging.replace(path)
            self._flush_name(path)

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
                    "publishers wins; name a directory on another, a gs:// or an s3:// prefix"
                ) from error
            self._flush_name(path)

    def list(self, prefix: str = "") -> Sequence[str]:
        base = Path(self.root)
        start = self._path(prefix.rpartition("/")[0])
        keys = (path.relative_to(base).as_posix() for path in _files(start) if not is_staging(path))
        return sorted(key for key in keys if key.startswith(prefix))

    def directories(self, directory: str) -> Sequence[str]:
        """Lists empty directories too: others see them, if the storage's own readers do not."""
        try:
            with _one_line("read", self._path(directory)) as path:
                return sorted(entry.name for entry in path.iterdir() if entry.is_dir())
        except NotFoundError:
            return []

    def sizes(self, directory: str) -> Mapping[str, int]:
        sizes = dict[str, int]()
        for key in self.list(f"{directory}/"):
            with suppress(NotFoundError), _one_line("read", self._path(key)) as path:
                sizes[key] = path.stat().st_size
        return sizes

    def exists(self, key: str) -> bool:
        with _one_line("read", self._path(key)) as path:
            return path.is_file()

    def stat(self, key: str) -> StoredFile:
        with _one_line("read", self._path(key)) as path:
            return stored_file(path)

    def read_back(self, key: str) -> StoredFile:
        return self.stat(key)

    def upload_file(self, source: Path, key: str) -> StoredFile:
        return _copy(source, self._path(key), self._flush_name)

    def download_file(self, key: str, target: Path) -> StoredFile:
        return _copy(self._path(key), target)

    def copy_file(self, key: str, new_key: str) -> StoredFile:
        return _copy(self._path(key), self._path(new_key), self._flush_name)

    def delete(self, key: str) -> None:
        with _one_line("delete", self._path(key)) as path:
            path.unlink(missing_ok=True)
            with suppress(FileNotFoundError):
                _flush(path.parent)

    def delete_prefix(self, directory: str) -> None:
        with suppress(NotFoundError), _one_line("delete", self._path(directory)) as path:
            self._on_disk.clear()
            shutil.rmtree(path)
            _flush(path.parent)

    def remove_unfinished(self, older_than_seconds: float) -> None:
        oldest = time.time() - older_than_seconds
        for path in filter(is_staging, _files(Path(self.root))):
            with suppress(FileNotFoundError):  # its writer has just moved it into place
                if path.stat().st_mtime < oldest:
                    self.delete(path.relative_to(self.root).as_posix())

    def _flush_name(self, path: Path) -> None:
        """Flushes the name of a file to disk, and those of new directories above it."""
        _flush(path.parent)
        for directory in path.absolute().parents:
            if directory in self._on_disk:
                return
            self._on_disk.add(directory)
            with suppress(PermissionError):  # nobody who may not read the directory above has made this one
                _flush(directory.parent)


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
        if verb == "read" and path.exists() and not (path.is_file() or path.is_dir()):
            raise UserError(f"{path} is neither a file nor a directory; delete it")  # a pipe would block
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


def _flush(directory: Path) -> None:
    """Waits until the names in a directory are on disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)


# The request of Linux to share the blocks of a file until one of both is written to: FICLONE.
_SHARE_BLOCKS = 0x40049409


def _clone(source: Path, target: Path) -> bool:
    """Makes a copy that takes no disk of its own, where the file system can (XFS, Btrfs); tells if it did."""
    with source.open("rb") as original, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _SHARE_BLOCKS, original.fileno())
        except OSError:
            return False
    return True


def _copy(source: Path, target: Path, flush_name: Callable[[Path], None] | None = None) -> StoredFile:
    """Copies a file and reads the copy back; `flush_name` is called with the path of the copy."""
    with _one_line("read", source):
        original = stored_file(source)
    with staged(target) as staging:
        if not _clone(source, staging):
            shutil.copyfile(source, staging)
        with staging.open("rb") as file:
            os.fsync(file.fileno())
        if stored_file(staging) != original:
            raise UserError(f"the copy of {source} in {target.parent} differs from it; run this step again")
        staging.replace(target)
        if flush_name:
            flush_name(target)
    return original

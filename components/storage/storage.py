"""Storage interface, checksums, and local files that are written whole or not at all."""

import base64
import errno
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import isfunction
from pathlib import Path
from typing import Any

from google_crc32c import Checksum

from components.documents import Document
from components.errors import UserError
from components.outputs import FULL_DISK
from components.storage.keys import checking_keys

_CHUNK_BYTES = 1 << 20

# Prefix of the names of files that are being written. No reader sees them.
STAGING_PREFIX = ".twotower-"

CURE = "give yourself the permission, or name another directory"
_CURE_IF_FULL = "free some space (`twotower prune` deletes old versions), or name another directory"
_CURE_IF_FILE = "it is a file, or lies below one; name a directory"
_CURES = {
    **dict.fromkeys(FULL_DISK, _CURE_IF_FULL),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), _CURE_IF_FILE),
}


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yields a name beside `path` to write to and to move into place, and removes it at the end.

    Raises `UserError` if the file system refuses.
    """
    staging = path.with_name(staging_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield staging
    except OSError as error:
        # Messages name no staging file.
        named = path.parent if is_staging(path) else path
        cure = _CURES.get(error.errno or 0, CURE)
        raise UserError(f"cannot write {named}: {error.strerror}; {cure}") from error
    finally:
        if path.parent.is_dir():
            staging.unlink(missing_ok=True)


def staging_name() -> str:
    """Makes a unique name of a file that is being written."""
    return f"{STAGING_PREFIX}{uuid.uuid4().hex}"


def is_staging(path: Path) -> bool:
    """Tests if `path` is the name of a file that is being written."""
    return path.name.startswith(STAGING_PREFIX)


class AlreadyExistsError(Exception):
    """The file exists already."""


class NotFoundError(UserError):
    """No such file."""


class CorruptError(UserError):
    """A file's bytes are not those that were stored."""


class StoredFile(Document, kw_only=False):
    """Size and checksum of a file, which identify its content."""

    size: int  # bytes
    crc32c: str  # four big-endian bytes in base64, as `gcloud storage hash` shows them


class RunningChecksum:
    """Writable file that keeps only the size and the CRC32C of the data."""

    def __init__(self) -> None:
        self._size, self._checksum = 0, Checksum()

    def write(self, data: bytes) -> int:
        """Adds `data`; returns its size."""
        self._size += len(data)
        self._checksum.update(data)
        return len(data)

    @property
    def stored(self) -> StoredFile:
        """Size and checksum so far."""
        return StoredFile(self._size, base64.b64encode(self._checksum.digest()).decode("ascii"))


def stored_file(path: Path) -> StoredFile:
    """Returns size and checksum of a local file."""
    checksum = RunningChecksum()
    with path.open("rb") as file:
        shutil.copyfileobj(file, checksum, _CHUNK_BYTES)
    return checksum.stored


class Storage(ABC):
    """Files below one root, each named by a key: its path from the root, with slashes.

    A file is whole or absent: of several writers of one key, the content of one remains. Every transfer is
    checked against its CRC32C. An error that the user can cure (no permission, no bucket, no network) is a
    `UserError`, and so is a key that leads out of the root, whatever the subclass does with it.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, operation in list(vars(cls).items()):
            if isfunction(operation) and not name.startswith("_"):
                setattr(cls, name, checking_keys(operation))

    def __init__(self, root: str) -> None:
        self.root = root.rstrip("/") or "/"

    def uri(self, key: str) -> str:
        """Returns the location of the file, for people."""
        return f"{self.root.rstrip('/')}/{key}"

    @abstractmethod
    def read_bytes(self, key: str) -> bytes:
        """Reads the file. Raises `NotFoundError`."""

    @abstractmethod
    def write_bytes(self, key: str, data: bytes) -> None:
        """Creates or replaces the file."""

    @abstractmethod
    def create_exclusive(self, key: str, data: bytes) -> None:
        """Creates the file; of any number of callers at once, one succeeds.

        `data` must be unique to the caller (contain a run id, say): by it, a caller whose answer was lost on
        the network recognises its own file. Raises `AlreadyExistsError` if the file is there already.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> Sequence[str]:
        """Lists the keys that begin with `prefix`, sorted."""

    def directories(self, directory: str) -> Sequence[str]:
        """Lists the names of the directories that are directly in `directory`, sorted."""
        names = (key.removeprefix(f"{directory}/").split("/") for key in self.list(f"{directory}/"))
        return sorted({name for name, *below in names if below})

    def sizes(self, directory: str) -> Mapping[str, int]:
        """Returns the sizes in bytes of all files in `directory` and below, by key."""
        return {key: self.stat(key).size for key in self.list(f"{directory}/")}

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Tests if the file exists."""

    @abstractmethod
    def stat(self, key: str) -> StoredFile:
        """Returns size and checksum as the storage has them. Raises `NotFoundError`."""

    def identity(self, key: str) -> str:
        """Returns a string that changes when the file does. Raises `NotFoundError`."""
        file = self.stat(key)
        return f"{file.size}-{file.crc32c}"

    @abstractmethod
    def read_back(self, key: str) -> StoredFile:
        """Returns size and checksum, from reading the whole file.

        Raises `NotFoundError` if there is no such file, `CorruptError` if its bytes do not have the checksum
        that the storage has.
        """

    @abstractmethod
    def upload_file(self, source: Path, key: str) -> StoredFile:
        """Copies the local file `source` in."""

    @abstractmethod
    def download_file(self, key: str, target: Path) -> StoredFile:
        """Copies a file out to the local path `target`. Raises `NotFoundError`."""

    @abstractmethod
    def copy_file(self, key: str, new_key: str) -> StoredFile:
        """Copies a file within the storage. Raises `NotFoundError`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Deletes the file, if it exists."""

    @abstractmethod
    def delete_prefix(self, directory: str) -> None:
        """Deletes all files in `directory` and below, if there are any."""

    @abstractmethod
    def remove_unfinished(self, older_than_seconds: float) -> None:
        """Deletes unfinished files that killed writers left; no reader sees them."""

    def upload_directory(
        self, source: Path, directory: str, last: Sequence[str] = ()
    ) -> dict[str, StoredFile]:
        """Copies all files below the local directory `source` in, those named in `last` after the others.

        Returns the files, by their path from `source`.
        """
        names = [path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()]
        return {
            name: self.upload_file(source / name, f"{directory}/{name}") for name in in_order(names, last)
        }

    def check_writable(self, exclusively: bool = True) -> None:
        """Raises `UserError` unless files can be created and deleted here, and `exclusively` if asked."""
        probe = staging_name()
        create = self.create_exclusive if exclusively else self.write_bytes
        create(probe, probe.encode())
        self.delete(probe)


def in_order(names: Iterable[str], last: Sequence[str]) -> list[str]:
    """Sorts `names`, with those in `last` moved to the end, in the order of `last`."""
    rank = {name: place + 1 for place, name in enumerate(last)}
    return sorted(names, key=lambda name: (rank.get(name, 0), name))

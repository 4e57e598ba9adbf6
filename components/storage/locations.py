"""Paths, gs:// and s3:// URIs as users write them, and patterns of them."""

import hashlib
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from components.errors import UserError
from components.progress import log
from components.storage.local import LocalStorage
from components.storage.storage import RunningChecksum, Storage, stored_file

_GCS, _S3 = "gs", "s3"


def open_storage(root: str) -> Storage:
    """Opens the storage whose keys are paths below `root`: a directory, `gs://…` or `s3://bucket/prefix`.

    Raises `UserError` if `root` is none of them, or there are no credentials for it.
    """
    scheme = _scheme(root)
    # The client libraries take most of a second to load.
    if scheme == _GCS:
        from components.storage.gcs import GcsStorage

        return GcsStorage(root)
    if scheme == _S3:
        from components.storage.s3 import S3Storage

        return S3Storage(root)
    return LocalStorage(root)


def version_key(version: str, name: str) -> str:
    """Returns the key of a file or directory of a version, below the root of its registry."""
    return f"versions/{version}/{name}"


def is_remote(uri: str) -> bool:
    """Tests if `uri` is in a bucket, not a local path. Raises `UserError` if it is neither."""
    return bool(_scheme(uri))


def _scheme(uri: str) -> str:
    if not uri:
        raise UserError("an empty path names no file; give a local path, a gs:// or an s3:// URI")
    scheme, separator, _ = uri.partition("://")
    if separator and scheme not in (_GCS, _S3):
        raise UserError(f"{uri}: {scheme}:// is not supported; give a local path, a gs:// or an s3:// URI")
    return scheme if separator else ""


def identity(uri: str) -> str:
    """Returns a string that changes when the content of the file at `uri` does.

    It has the file's size in bytes and its checksum: CRC32C, or in S3 the ETag. A local file above 20 GB is
    not read whole: the checksum is of blocks spread over it, and the time of its last change is added. Raises
    `UserError` if there is no file at `uri`, or it cannot be read.
    """
    if is_remote(uri):
        directory, _, name = uri.rpartition("/")
        return open_storage(directory).identity(name)
    path = _local_file(uri)
    try:
        status = path.stat()
        if status.st_size > _READ_WHOLE:
            return f"{status.st_size}-{status.st_mtime_ns}-{_sampled(path, status.st_size)}"
        return f"{status.st_size}-{stored_file(path).crc32c}"
    except OSError as error:
        raise UserError(f"{uri} cannot be read: {error.strerror}; check its permissions") from error


# The size of the greatest file, in bytes, of which the checksum is of the whole.
_READ_WHOLE = 20_000_000_000
_BLOCKS, _BLOCK_BYTES = 512, 1 << 20


def _sampled(path: Path, size: int) -> str:
    """Returns the CRC32C of blocks that are spread evenly over a file, its first and last ones included."""
    checksum = RunningChecksum()
    with path.open("rb") as file:
        for block in range(_BLOCKS):
            file.seek((size - _BLOCK_BYTES) * block // (_BLOCKS - 1))
            checksum.write(file.read(_BLOCK_BYTES))
    return checksum.stored.crc32c


def file_exists(name: str) -> bool:
    """Tests if there is a file of this name; one that several URIs make up is none."""
    if "://" in name.partition("://")[2]:
        return False
    if not is_remote(name):
        return Path(name).is_file()
    directory, _, key = name.rpartition("/")
    return open_storage(directory).exists(key)


def fetch(uri: str, directory: str | Path) -> Path:
    """Makes the content of `uri` a local file: a copy below `directory`, or the local path itself.

    Raises `UserError` if there is no file at `uri`, or it cannot be read.
    """
    if not is_remote(uri):
        return _local_file(uri)
    root, _, name = uri.rpartition("/")
    # Files of one name from two buckets must not overwrite each other.
    target = Path(directory) / hashlib.sha256(uri.encode()).hexdigest()[:8] / name
    log(f"fetching {uri}")
    open_storage(root).download_file(name, target)
    return target


def _local_file(path: str) -> Path:
    file = Path(path)
    if file.is_dir():
        raise UserError(f"{path} is a directory; name a file")
    if not file.is_file():
        raise UserError(f"{path} does not exist; check the path")
    return file


_MARKS = "*?["


def is_pattern(name: str) -> bool:
    """Tests if `name` is a pattern of several files; an existing local file of that name is none."""
    return any(mark in name for mark in _MARKS) and (is_remote(name) or not Path(name).exists())


def matches(pattern: str) -> list[str]:
    """Lists the files that match, sorted by name: `*`, `?` and `[…]` within a directory, `**` across them.

    Raises `UserError` if the bucket cannot be listed.
    """
    if is_remote(pattern):
        return _remote_matches(pattern)
    path = Path(pattern)
    start = Path(path.anchor or ".")
    return sorted(str(match) for match in start.glob(str(path.relative_to(path.anchor))) if match.is_file())


def _remote_matches(pattern: str) -> list[str]:
    scheme, _, rest = pattern.partition("://")
    bucket, _, key = rest.partition("/")
    storage = open_storage(f"{scheme}://{bucket}")
    # The service lists by prefix: the pattern up to its first mark.
    prefix = re.split(f"[{re.escape(_MARKS)}]", key)[0]
    # A key that ends with a slash is a directory that a console made visible.
    keys = [found for found in storage.list(prefix) if not found.endswith("/")]
    return [storage.uri(found) for found in keys if _fits(found.split("/"), key.split("/"))]


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return _fits(names, pattern[1:]) or (bool(names) and _fits(names[1:], pattern))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])

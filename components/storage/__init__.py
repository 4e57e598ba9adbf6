"""Files under a local directory, a gs:// or an s3:// prefix, behind one small interface."""

from components.storage.keys import key_fault
from components.storage.locations import (
    fetch,
    file_exists,
    identity,
    is_pattern,
    is_remote,
    matches,
    open_storage,
    version_key,
)
from components.storage.storage import (
    AlreadyExistsError,
    CorruptError,
    NotFoundError,
    Storage,
    StoredFile,
    stored_file,
)

__all__ = [
    "AlreadyExistsError",
    "CorruptError",
    "NotFoundError",
    "Storage",
    "StoredFile",
    "fetch",
    "file_exists",
    "identity",
    "is_pattern",
    "is_remote",
    "key_fault",
    "matches",
    "open_storage",
    "stored_file",
    "version_key",
]

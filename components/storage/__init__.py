"""Files under a local directory or a gs:// prefix, behind one small interface."""

from components.storage.locations import fetch, identity, open_storage
from components.storage.storage import AlreadyExists, NotFound, Storage, StoredFile

__all__ = ["AlreadyExists", "NotFound", "Storage", "StoredFile", "fetch", "identity", "open_storage"]

"""The local copies of indexes: the ones used last are kept."""

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

# A few versions of a few registries; each may take gigabytes.
_KEPT = 4

# What was asked for a moment ago is perhaps being loaded.
_UNTOUCHED_SECONDS = 15 * 60


def touch(home: Path) -> None:
    """Notes that the copy in the directory `home` is in use."""
    with suppress(OSError):  # it may be another user's, or on a disk that cannot be written
        os.utime(home)


def keep_recent(cache: Path) -> None:
    """Deletes all copies in `cache`, which lie two levels below it, but the last few that were used."""
    oldest_first = sorted((_used(home), home) for home in cache.glob("*/*"))
    for used, home in oldest_first[:-_KEPT]:
        if used < time.time() - _UNTOUCHED_SECONDS:
            shutil.rmtree(home, ignore_errors=True)


def _used(home: Path) -> float:
    try:
        return home.stat().st_mtime
    except FileNotFoundError:
        return 0.0  # somebody else has just deleted it

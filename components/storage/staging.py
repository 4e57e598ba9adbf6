"""Local files that are whole or absent: written beside their place first."""

import errno
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import UserError

# Names of files that are not there yet, or only for a moment, begin with this. No reader sees them.
STAGING_PREFIX = ".twotower-"

CURE = "give yourself the permission, or name another directory"
_CURE_IF_FULL = "free some space (`twotower prune` deletes old versions), or name another directory"

_CURE_IF_FILE = "it is a file, or lies below one; name a directory"

# What a file in the place of a directory answers.
_FILE = (errno.EEXIST, errno.ENOTDIR)
# What a full disk, or a user's full share of it, answers to a write.
_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yields a name beside `path` to write to and to move into place; what is left there is removed.

    Raises:
      UserError: if the file system refuses.
    """
    staging = path.with_name(staging_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield staging
    except OSError as error:
        # A staging name is nobody's but ours.
        named = path.parent if is_staging(path) else path
        raise UserError(f"cannot write {named}: {error.strerror}; {_cure(error)}") from error
    finally:
        if path.parent.is_dir():
            staging.unlink(missing_ok=True)


def _cure(error: OSError) -> str:
    if error.errno in _FULL:
        return _CURE_IF_FULL
    return _CURE_IF_FILE if error.errno in _FILE else CURE


def staging_name() -> str:
    """A name that nobody else uses."""
    return f"{STAGING_PREFIX}{uuid.uuid4().hex}"


def is_staging(path: Path) -> bool:
    """Whether `path` is the name of a file that is not there yet."""
    return path.name.startswith(STAGING_PREFIX)

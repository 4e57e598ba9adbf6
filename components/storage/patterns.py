"""Patterns of paths and gs:// URIs, such as `gs://bucket/ratings/part-*.csv`."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from components.storage.locations import is_remote, open_storage

_MARKS = "*?["


def is_pattern(name: str) -> bool:
    """Whether `name` stands for several files; a local file of that very name is one file."""
    return any(mark in name for mark in _MARKS) and (is_remote(name) or not Path(name).exists())


def matches(pattern: str) -> list[str]:
    """The files that match, sorted by name: `*`, `?` and `[…]` within a directory, `**` across them.

    Raises:
      UserError: if the bucket cannot be listed.
    """
    return _remote_matches(pattern) if is_remote(pattern) else _local_matches(pattern)


def _local_matches(pattern: str) -> list[str]:
    path = Path(pattern)
    start = Path(path.anchor or ".")
    return sorted(str(match) for match in start.glob(str(path.relative_to(path.anchor))) if match.is_file())


def _remote_matches(pattern: str) -> list[str]:
    scheme, _, rest = pattern.partition("://")
    bucket, _, key = rest.partition("/")
    storage = open_storage(f"{scheme}://{bucket}")
    # The service lists by the beginning of a name: all up to the first mark.
    beginning = re.split(f"[{re.escape(_MARKS)}]", key)[0]
    # A key that ends with a slash is a directory that a console made visible.
    keys = [found for found in storage.list(beginning) if not found.endswith("/")]
    return [storage.uri(found) for found in keys if _fits(found.split("/"), key.split("/"))]


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not names
    if pattern[0] == "**":
        return _fits(names, pattern[1:]) or (bool(names) and _fits(names[1:], pattern))
    return bool(names) and fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])

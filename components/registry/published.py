"""The published index as a local directory."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import UserError
from components.progress import log
from components.registry.cache import keep_recent, touch
from components.registry.registry import Registry
from components.registry.versions import INDEX
from components.storage import StoredFile, is_remote, stored_file


def published_index(registry_root: str, version: str = "") -> Path:
    """A local directory with the index of a version, every file of it checked against its checksum.

    An index in Google Cloud Storage is downloaded once, to ~/.cache/twotower or, if that is set, to the
    directory TWOTOWER_CACHE, where a few are kept.

    Args:
      registry_root: a directory or gs:// prefix.
      version: the version's id; "" for the champion.

    Raises:
      UserError: if there is no such version, or a file of it is missing or corrupt.
    """
    registry = Registry(registry_root)
    version = version or _champion(registry)
    if not is_remote(registry_root):
        registry.versions.check(version, INDEX)
        return Path(registry.versions.uri(version, INDEX))
    return _cached(registry, version)


def _champion(registry: Registry) -> str:
    champion = registry.champion_log.latest()
    if champion is None:
        raise UserError(
            f"{registry.root} has no champion; name another registry, or publish a version by `twotower run`"
        )
    return champion.version


def _cached(registry: Registry, version: str) -> Path:
    cache = _cache()
    home = cache / hashlib.sha256(registry.root.encode()).hexdigest()[:16] / version
    target = home / INDEX
    published = registry.versions.manifest(version).part(INDEX)
    if _is_whole(target, published):
        touch(home)
        return target
    log(f"fetching version {version} from {registry.root} to {target}")
    with _scratch(home) as scratch:
        registry.versions.download(version, INDEX, scratch / INDEX)
        # Whoever fetched it at the same time may be reading it by now: leave theirs in place.
        if not _is_whole(target, published):
            shutil.rmtree(target, ignore_errors=True)
            (scratch / INDEX).rename(target)
    touch(home)
    keep_recent(cache)
    return target


def _cache() -> Path:
    return Path(os.environ.get("TWOTOWER_CACHE") or Path.home() / ".cache" / "twotower")


def _is_whole(directory: Path, published: dict[str, StoredFile]) -> bool:
    return all(
        (directory / name).is_file() and stored_file(directory / name) == file
        for name, file in published.items()
    )


@contextmanager
def _scratch(home: Path) -> Iterator[Path]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home, prefix=".") as scratch:
            yield Path(scratch)
    except OSError as error:
        raise UserError(
            f"cannot write {home}: {error.strerror}; set TWOTOWER_CACHE to a directory that can be written"
        ) from error

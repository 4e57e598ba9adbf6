"""The versions: directories that are whole once their manifest lies in them, and never change after."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from components.errors import UserError
from components.registry.documents import from_bytes, now, timestamp, to_bytes
from components.registry.manifest import Manifest, Provenance
from components.storage import NotFoundError, Storage, StoredFile, stored_file

INDEX = "index"
MODEL = "model"

_DIRECTORY = "versions"
_KEY = re.compile(rf"{_DIRECTORY}/(\d{{8}}-\d{{6}}-[0-9a-f]{{8}})/(.+)")
_MANIFEST = "manifest.json"
_TIME = "%Y%m%d-%H%M%S"

# A version without a manifest is being uploaded, or its publisher was killed. After so long, the latter.
_PARTIAL_FOR = timedelta(days=1)


class Versions:
    """The directories `versions/<id>/` of a registry.

    An id is the time in UTC and eight digits that stand for the run and the files:
    `20261124-105900-3f9a1c02`. Ids sort by time.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def ids(self) -> list[str]:
        """The whole versions, oldest first."""
        return sorted(version for version, names in self._files().items() if _MANIFEST in names)

    def uri(self, version: str, name: str = "") -> str:
        """Where a version, or a file or directory of it, lies."""
        return self._storage.uri(_key(version, name).rstrip("/"))

    def add(self, provenance: Provenance, sources: Mapping[str, Path]) -> Manifest:
        """Makes a version of local files and directories; `sources` are their paths by name in the version.

        The manifest is written last: readers see the version whole or not at all. If the run has made a
        version of these very files already, it is that one.
        """
        files = _describe(sources)
        digits = _digits(provenance.run_id, files)
        earlier = next((version for version in self.ids() if version.endswith(digits)), None)
        return self.manifest(earlier) if earlier else self._make(digits, provenance, sources, files)

    def manifest(self, version: str) -> Manifest:
        """The manifest of a version. Raises `UserError` if there is no such version, or it is corrupt."""
        key = _key(version, _MANIFEST)
        if not _KEY.fullmatch(key) or not self._storage.exists(key):
            raise UserError(
                f"{self._storage.root} has no version {version}; "
                f"`twotower versions --registry {self._storage.root}` lists those it has"
            )
        return from_bytes(Manifest, self._storage.read_bytes(key), self._storage.uri(key), self._cure())

    def check(self, version: str, part: str = "") -> None:
        """Raises `UserError`, naming the file, unless all files in the directory `part` are as published."""
        self._each_file(version, part, lambda key, _: self._storage.stat(key))

    def download(self, version: str, part: str, target: Path) -> None:
        """Copies the directory `part` of a version to the local directory `target`.

        Raises:
          UserError: if a file of it is missing or not as published.
        """
        self._each_file(version, part, lambda key, name: self._storage.download_file(key, target / name))

    def copy(self, version: str, part: str, directory: str, last: Sequence[str]) -> None:
        """Copies the directory `part` of a version to `directory` of the registry, files of `last` last.

        Raises:
          UserError: if a file of it is missing or not as published.
        """
        copy = self._storage.copy_file
        self._each_file(version, part, lambda key, name: copy(key, f"{directory}/{name}"), last)

    def remove_partial(self) -> None:
        """Deletes what was left by publishers killed more than a day ago."""
        oldest = (now() - _PARTIAL_FOR).strftime(_TIME)
        for version, names in self._files().items():
            if _MANIFEST not in names and version < oldest:
                self._storage.delete_prefix(f"{_DIRECTORY}/{version}")

    def _make(
        self, digits: str, provenance: Provenance, sources: Mapping[str, Path], files: dict[str, StoredFile]
    ) -> Manifest:
        created = now()
        version = f"{created.strftime(_TIME)}-{digits}"
        if self._upload(version, sources) != files:
            raise UserError(f"a file of {version} changed while it was copied; publish it again")
        manifest = Manifest(
            version=version,
            created=timestamp(created),
            files={name: file._asdict() for name, file in sorted(files.items())},
            **vars(provenance),
        )
        self._storage.write_bytes(_key(version, _MANIFEST), to_bytes(manifest))
        return manifest

    def _upload(self, version: str, sources: Mapping[str, Path]) -> dict[str, StoredFile]:
        files: dict[str, StoredFile] = {}
        for name, source in sources.items():
            key = _key(version, name)
            if source.is_dir():
                uploaded = self._storage.upload_directory(source, key)
                files |= {f"{name}/{path}": file for path, file in uploaded.items()}
            else:
                files[name] = self._storage.upload_file(source, key)
        return files

    def _each_file(
        self,
        version: str,
        part: str,
        visit: Callable[[str, str], StoredFile],
        last: Sequence[str] = (),
    ) -> None:
        """Calls `visit` with each file's key and path within `part`; it returns what it has found there."""
        for name, published in self.manifest(version).part(part, last).items():
            key = _key(version, f"{part}/{name}" if part else name)
            try:
                found = visit(key, name)
            except NotFoundError as error:
                raise UserError(f"{self._storage.uri(key)} is missing; {self._cure()}") from error
            if found != published:
                raise UserError(
                    f"{self._storage.uri(key)} is corrupt: it has {found.size} bytes with checksum "
                    f"{found.crc32c}, published were {published.size} with {published.crc32c}; {self._cure()}"
                )

    def _files(self) -> dict[str, set[str]]:
        """The names of the files of each version, whole or partial."""
        versions: dict[str, set[str]] = {}
        for key in self._storage.list(f"{_DIRECTORY}/"):
            if match := _KEY.fullmatch(key):
                versions.setdefault(match[1], set()).add(match[2])
        return versions

    def _cure(self) -> str:
        return (
            "restore it from a backup, or serve an earlier version by "
            f"`twotower rollback --registry {self._storage.root}`"
        )


def _key(version: str, name: str) -> str:
    return f"{_DIRECTORY}/{version}/{name}"


def _describe(sources: Mapping[str, Path]) -> dict[str, StoredFile]:
    """The files that `sources` make in a version, by their path in it."""
    files: dict[str, StoredFile] = {}
    for name, source in sources.items():
        below = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        files |= {Path(name, path.relative_to(source)).as_posix(): stored_file(path) for path in below}
    return files


def _digits(run_id: str, files: Mapping[str, StoredFile]) -> str:
    """Eight digits that stand for these files as made by this run: KFP's local run ids can come up again."""
    return hashlib.sha256(json.dumps([run_id, sorted(files.items())]).encode()).hexdigest()[:8]

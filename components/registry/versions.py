"""Versions: immutable directories that are complete once their manifest is written."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from components.documents import Document, Timestamp, decode, encode, now
from components.errors import UserError
from components.storage import (
    CorruptError,
    NotFoundError,
    Storage,
    StoredFile,
    key_fault,
    stored_file,
    version_key,
)
from components.storage.storage import in_order
from components.train.settings import current_names


class GateDecision(Document):
    """The gate's decision on a version."""

    blessed: bool = False  # whether all rules passed
    gate: str = ""  # "enforce" or "report", which publishes whatever could be measured
    reason: str = ""  # one sentence


class Provenance(Document):
    """The origin of a version: the part of its manifest that the run knows."""

    format: Literal[1] = 1
    run_id: str
    fingerprint: str  # identifies the input files
    settings: dict[str, Any]  # of the training
    metrics: dict[str, float | None]  # on the test rows, by name; None where the figure is not finite
    verdict: GateDecision

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "settings", current_names(self.settings))


class Manifest(Provenance):
    """A version's `manifest.json`."""

    _checksummed: ClassVar[bool] = True

    version: str
    created: Timestamp
    files: dict[str, StoredFile]  # by their path within the version

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.files:
            raise ValueError("files is empty")
        for name in self.files:
            if fault := key_fault(name):
                raise ValueError(f"files has the name {name!r}: {fault}")

    def part(self, directory: str, last: Sequence[str] = ()) -> dict[str, StoredFile]:
        """Returns the files in `directory` ("" for all) by their path in it, those named in `last` last."""
        prefix = f"{directory}/" if directory else ""
        names = (name.removeprefix(prefix) for name in self.files if name.startswith(prefix))
        return {name: self.files[f"{prefix}{name}"] for name in in_order(names, last)}


INDEX = "index"
MODEL = "model"

_DIRECTORY = "versions"
_KEY = re.compile(rf"{_DIRECTORY}/(\d{{8}}-\d{{6}}-[0-9a-f]{{8}})/(.+)")
_MANIFEST = "manifest.json"
_TIME = "%Y%m%d-%H%M%S"

# A version without a manifest is being uploaded, or its publisher was killed. After so long, the latter.
_PARTIAL_FOR = timedelta(days=1)

# Returns size and checksum of the file at a key.
Look = Callable[[str], StoredFile]


@dataclass(frozen=True)
class FileFault:
    """A file that is not as published."""

    name: str  # its path within the part of the version
    present: bool  # false if it is missing
    text: str  # one line, without a cure


class Versions:
    """The directories `versions/<id>/` of a registry.

    An id is the time in UTC and eight digits that stand for the run and the files:
    `20261124-105900-3f9a1c02`. Ids sort by time.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def ids(self) -> list[str]:
        """Returns the complete versions, oldest first."""
        return sorted(version for version, names in self._files().items() if _MANIFEST in names)

    def uri(self, version: str, name: str = "") -> str:
        """Returns the path or URI of a version, or of a file or directory of it."""
        return self._storage.uri(version_key(version, name).rstrip("/"))

    def add(self, provenance: Provenance, sources: Mapping[str, Path]) -> Manifest:
        """Creates a version of local files and directories; `sources` are their paths by name in the version.

        The manifest is written last: readers see the version whole or not at all. If the run has already
        made a version of these files, that one is returned.
        """
        files = _describe(sources)
        digits = _digits(provenance.run_id, files)
        earlier = next((version for version in self.ids() if version.endswith(digits)), None)
        return self.manifest(earlier) if earlier else self._make(digits, provenance, sources, files)

    def manifest(self, version: str) -> Manifest:
        """Reads the manifest of a version. Raises `UserError` if there is none, or it is corrupt."""
        key = version_key(version, _MANIFEST)
        if not _KEY.fullmatch(key) or not self._storage.exists(key):
            raise UserError(
                f"{self._storage.root} has no version {version}; "
                f"`twotower versions --registry {self._storage.root}` lists those it has"
            )
        uri = self._storage.uri(key)
        manifest = decode(self._storage.read_bytes(key), Manifest, uri, self._cure())
        if manifest.version != version:
            raise UserError(f"{uri} is that of another version, {manifest.version}; {self._cure()}")
        if not version.endswith(_digits(manifest.run_id, manifest.files)):
            raise UserError(
                f"{uri} is damaged: {version} is not named after the run and the files in it; {self._cure()}"
            )
        return manifest

    def files(self, version: str, part: str, last: Sequence[str] = ()) -> dict[str, StoredFile]:
        """Returns the files in the directory `part` ("" for all) by their path in it, as `Manifest.part`.

        Raises `UserError` if there is no such version, or its manifest is corrupt or lists no such files.
        """
        if files := self.manifest(version).part(part, last):
            return files
        raise UserError(f"{self.uri(version, _MANIFEST)} lists no file of {part}; {self._cure()}")

    def check(self, version: str, part: str = "", files: Mapping[str, StoredFile] | None = None) -> None:
        """Raises `UserError`, naming the file, unless all files in the directory `part` are as published.

        `files` are some of those that the method of that name returns; None for all.
        """
        self._each_file(version, part, self._storage.stat, files)

    def download(
        self, version: str, part: str, target: Path, files: Mapping[str, StoredFile] | None = None
    ) -> None:
        """Copies `part` of a version, or `files` of it, to the local `target`; raises as `check` does."""
        start, fetch = len(version_key(version, f"{part}/")), self._storage.download_file
        self._each_file(version, part, lambda key: fetch(key, target / key[start:]), files)

    def copy(self, version: str, part: str, directory: str, last: Sequence[str]) -> None:
        """Copies `part` of a version to another directory, files of `last` last; raises as `check` does."""
        start, copy = len(version_key(version, f"{part}/")), self._storage.copy_file
        files = self.files(version, part, last)
        self._each_file(version, part, lambda key: copy(key, f"{directory}/{key[start:]}"), files)

    def faults(
        self,
        version: str,
        part: str,
        look: Look,
        directory: str = "",
        files: Mapping[str, StoredFile] | None = None,
    ) -> Iterator[FileFault]:
        """Finds the files that are missing or differ from the published ones.

        Raises `UserError` as `files` does.

        Args:
          part: the directory of the version whose files are compared; "" for all.
          look: called with the key of each file.
          directory: where to look for the files of `part`; "" for their place in the version.
          files: those of `part` to look at, in this order; None for all.
        """
        directory = directory or version_key(version, part).rstrip("/")
        for name, published in (self.files(version, part) if files is None else files).items():
            key = f"{directory}/{name}"
            uri = self._storage.uri(key)
            try:
                found = look(key)
            except NotFoundError:
                yield FileFault(name, False, f"{uri} is missing")
                continue
            except CorruptError:
                yield FileFault(name, True, f"{uri} is corrupt: its bytes do not have its own checksum")
                continue
            if found != published:
                yield FileFault(
                    name,
                    True,
                    f"{uri} is corrupt: it has {found.size} bytes with checksum {found.crc32c}, "
                    f"published were {published.size} with {published.crc32c}",
                )

    def unknown_files(self, version: str) -> list[str]:
        """Returns the keys of files in a version that its manifest does not list."""
        known = {version_key(version, name) for name in [*self.manifest(version).files, _MANIFEST]}
        return [key for key in self._storage.list(version_key(version, "")) if key not in known]

    def may_be_under_way(self, version: str) -> bool:
        """Tells whether the publisher of a version may still be at work."""
        return version >= (now() - _PARTIAL_FOR).strftime(_TIME)

    def remove(self, version: str) -> None:
        """Deletes a version. Whatever stops this, no reader sees the rest; `remove_partial` deletes it."""
        self._storage.delete(version_key(version, _MANIFEST))
        self._storage.delete_prefix(version_key(version, "").rstrip("/"))

    def remove_partial(self) -> None:
        """Deletes the partial versions of publishers that were killed more than a day ago."""
        for version, names in self._files().items():
            if _MANIFEST not in names and not self.may_be_under_way(version):
                self.remove(version)

    def _make(
        self, digits: str, provenance: Provenance, sources: Mapping[str, Path], files: dict[str, StoredFile]
    ) -> Manifest:
        created = now()
        version = f"{created.strftime(_TIME)}-{digits}"
        try:
            if self._upload(version, sources) != files:
                raise UserError(f"a file of {version} changed while it was copied; publish it again")
        except UserError:
            with suppress(UserError):
                self.remove(version)  # what is there of it may fill the disk
            raise
        manifest = Manifest(
            version=version,
            created=created,
            files=dict(sorted(files.items())),
            **msgspec.structs.asdict(provenance),
        )
        self._storage.write_bytes(version_key(version, _MANIFEST), encode(manifest))
        return manifest

    def _upload(self, version: str, sources: Mapping[str, Path]) -> dict[str, StoredFile]:
        files: dict[str, StoredFile] = {}
        for name, source in sources.items():
            key = version_key(version, name)
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
        visit: Look,
        files: Mapping[str, StoredFile] | None,
    ) -> None:
        """Calls `visit` with each file's key; stops at the first that is not as published."""
        for fault in self.faults(version, part, visit, files=files):
            raise UserError(f"{fault.text}; {self._cure()}")

    def _files(self) -> dict[str, set[str]]:
        """Returns the names of the files of each version, complete or partial."""
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


def _describe(sources: Mapping[str, Path]) -> dict[str, StoredFile]:
    """Returns the files that `sources` become in a version, by their path in it."""
    files: dict[str, StoredFile] = {}
    for name, source in sources.items():
        below = [path for path in source.rglob("*") if path.is_file()] if source.is_dir() else [source]
        files |= {Path(name, path.relative_to(source)).as_posix(): stored_file(path) for path in below}
    return files


def _digits(run_id: str, files: Mapping[str, StoredFile]) -> str:
    """Returns eight digits that stand for the run and its files: KFP's local run ids can come up again."""
    described = [[name, [file.size, file.crc32c]] for name, file in sorted(files.items())]
    return hashlib.sha256(json.dumps([run_id, described]).encode()).hexdigest()[:8]

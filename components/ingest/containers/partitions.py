"""Directories of Parquet parts, as Spark, BigQuery and Iceberg write them, read one part after the other."""

import re
import urllib.parse
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from components.errors import UserError
from components.ingest.containers import iceberg
from components.storage import StoredFile, is_pattern, is_remote, matches, open_storage

_SUFFIX = ".parquet"
# Parts that are fetched while one is read.
_AHEAD = 2
# Parts whose checksums are asked for at a time.
_ASKED = 8
# How Hive writes that the value of a partition is not known.
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Parts:
    """The Parquet files of one table."""

    root: str  # the directory, a path or a URI
    keys: Sequence[str]  # the files, by their paths from the root
    columns: Mapping[int, str] = field(default_factory=dict)  # of an Iceberg table: field id -> name

    @property
    def label(self) -> str:
        """Name for people."""
        return f"{self.root} ({len(self.keys):,} parts)"

    def name(self, key: str) -> str:
        """Returns the path or URI of a part."""
        return f"{self.root}/{key}"

    def stat(self) -> list[StoredFile]:
        """Returns size and checksum of each part, asking for several at a time."""
        with ThreadPoolExecutor(_ASKED) as pool:
            return [*pool.map(open_storage(self.root).stat, self.keys)]

    def fetch(self, scratch: Path) -> Iterator[tuple[str, Path]]:
        """Yields each part and a local file of it, which is deleted afterwards if it is a copy.

        At most four copies lie in `scratch`. Raises `UserError` if a part cannot be fetched.
        """
        if not is_remote(self.root):
            yield from ((key, Path(self.root, key)) for key in self.keys)
            return
        storage = open_storage(self.root)
        targets = [scratch / f"part-{place}" for place in range(len(self.keys))]
        coming: deque[Future[object]] = deque()
        with ThreadPoolExecutor(1) as pool:
            for place, key in enumerate(self.keys):
                while len(coming) <= _AHEAD and (last := place + len(coming)) < len(self.keys):
                    coming.append(pool.submit(storage.download_file, self.keys[last], targets[last]))
                coming.popleft().result()
                try:
                    yield key, targets[place]
                finally:
                    targets[place].unlink()


def hive_columns(key: str) -> dict[str, str | None]:
    """Returns the columns in the path of a part: `country=NL/day=1/part-0.parquet` has country and day."""
    pairs = [name.partition("=") for name in PurePosixPath(key).parts[:-1] if "=" in name]
    return {name: None if text == _NULL else urllib.parse.unquote(text) for name, _, text in pairs}


def find_parts(name: str) -> Parts | None:
    """Finds the Parquet files in a directory, or those of a pattern; None if `name` is neither.

    Files and directories whose names begin with _ or . are passed over, as Spark does. Raises `UserError` if
    the directory is a Delta table, or an Iceberg table whose rows are not all in its data files.
    """
    root = name.rstrip("/")
    if is_pattern(name):
        root = re.split(r"[*?\[]", name)[0].rpartition("/")[0]
        found = matches(name)
        parts = [file.removeprefix(f"{root}/") for file in found if root and file.endswith(_SUFFIX)]
        return Parts(root, parts) if 1 < len(parts) == len(found) else None
    if not _is_directory(name):
        return None
    storage = open_storage(root)
    keys = storage.list()
    if any(key.startswith("_delta_log/") for key in keys):
        raise UserError(f"{name} is a Delta table, in whose files deleted rows remain; export it as Parquet")
    if metadata := iceberg.newest_metadata(keys):
        table = iceberg.read(storage, metadata)
        return Parts(root, table.files, table.columns)
    parts = [key for key in keys if key.endswith(_SUFFIX) and not any(map(_is_hidden, key.split("/")))]
    return Parts(root, parts) if parts else None


def _is_directory(name: str) -> bool:
    if not is_remote(name):
        return Path(name).is_dir()
    # Whoever may read an object may perhaps not list its bucket.
    directory, _, key = name.rpartition("/")
    return not key or not open_storage(directory).exists(key)


def _is_hidden(name: str) -> bool:
    return name.startswith(("_", ".")) and "=" not in name

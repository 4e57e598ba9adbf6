"""Iceberg tables: the Parquet files of the current snapshot, by the table's own metadata."""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from components.errors import UserError
from components.storage import Storage

_METADATA = re.compile(r"metadata/v?(\d+)[^/]*\.metadata\.json")
# The state of an entry of a manifest: the file is no longer a part of the table.
_DELETED = 2


class IcebergTable(NamedTuple):
    """The files and columns of the current snapshot."""

    files: Sequence[str]  # by their paths from the table's root
    columns: Mapping[int, str]  # field id -> name


def newest_metadata(keys: Sequence[str]) -> str | None:
    """Finds the newest metadata file among the files of a table; None if it is no Iceberg table."""
    found = [(int(match[1]), key) for key in keys if (match := _METADATA.fullmatch(key))]
    return max(found)[1] if found else None


def read(storage: Storage, metadata: str) -> IcebergTable:
    """Reads which files are the table's. Raises `UserError` if it has delete files, or is not Parquet."""
    table = json.loads(storage.read_bytes(metadata))
    snapshots = {one["snapshot-id"]: one for one in table.get("snapshots", ())}
    if table.get("current-snapshot-id") not in snapshots:
        raise UserError(f"{storage.root} is an Iceberg table without a snapshot; name a table with rows")
    manifests = snapshots[table["current-snapshot-id"]]["manifest-list"]
    files = []
    for manifest in _records(storage, _key(table, manifests)):
        deletes = manifest.get("content") == 1
        for entry in _records(storage, _key(table, manifest["manifest_path"])):
            if entry["status"] == _DELETED:
                continue
            file = entry["data_file"]
            if deletes:
                raise UserError(
                    f"{storage.root} is an Iceberg table with delete files: rows of its data files do not "
                    "count; compact it (rewrite_data_files), or export it as plain Parquet"
                )
            if file["file_format"].upper() != "PARQUET":
                raise UserError(
                    f"{storage.root} is an Iceberg table of {file['file_format']} files; export it as Parquet"
                )
            files.append(_key(table, file["file_path"]))
    return IcebergTable(sorted(files), _columns(table))


def _columns(table: Mapping[str, Any]) -> dict[int, str]:
    schemas = {one["schema-id"]: one for one in table.get("schemas", ())}
    schema = schemas.get(table.get("current-schema-id")) or table["schema"]
    return {one["id"]: one["name"] for one in schema["fields"]}


def _key(table: Mapping[str, Any], uri: str) -> str:
    """Returns the path of a file from the table's root, wherever the table has been copied to."""
    return uri.removeprefix(table["location"].rstrip("/")).lstrip("/")


def _records(storage: Storage, key: str) -> Iterator[Mapping[str, Any]]:
    import fastavro

    yield from fastavro.reader(io.BytesIO(storage.read_bytes(key)))

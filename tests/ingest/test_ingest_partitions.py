"""Directories of Parquet parts: Spark's and BigQuery's, with columns in their paths, and Iceberg tables."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ratings_files import MOVIES, Dataset, Row, full, parquet, write

from components.errors import UserError
from components.ingest import rows as rows_module
from components.ingest.inputs import fingerprint_of
from components.ingest.step import ingest
from components.storage import Storage, open_storage

EXPECTED = {(user, movie): rating for user, rating, movie in full()}


def part(rows: Iterable[Row], **others: Any) -> bytes:
    """A Parquet file of rows (user, rating, movie)."""
    users, ratings, movies = zip(*rows, strict=True)
    return parquet({"user_id": users, "movie_id": movies, "rating": [*map(float, ratings)], **others})


def store(root: str, files: dict[str, bytes]) -> Storage:
    storage = open_storage(root)
    for key, content in files.items():
        storage.write_bytes(key, content)
    return storage


def read(tmp_path: Path, root: str, **flags: Any) -> Dataset:
    ingest(ratings=root, output=str(tmp_path / "dataset"), **flags)
    return Dataset(tmp_path / "dataset")


def by_rating() -> dict[str, bytes]:
    """Parts with the rating in their path, the users last, and files that are no parts."""
    found = {"_SUCCESS": b"", ".part-0.parquet.crc": b"x", "_temporary/0/part.parquet": b"x"}
    for rating in range(1, 6):
        users, movies = zip(*((u, m) for u, r, m in full() if r == rating), strict=True)
        path = f"day=2024-01-0{rating}/stars={rating}/part-00000.snappy.parquet"
        columns = {"movie": movies, "user": users}
        found[path] = parquet(columns if rating % 2 else dict(reversed(columns.items())))
    return found


def test_columns_in_the_paths(tmp_path: Path) -> None:
    store(str(tmp_path / "in"), by_rating())
    dataset = read(tmp_path, f"{tmp_path}/in/")
    assert dataset.ratings() == EXPECTED
    assert dataset.statistics["time_span"] is None


def test_named_columns_in_the_paths(tmp_path: Path) -> None:
    store(str(tmp_path / "in"), by_rating())
    named = read(tmp_path, f"{tmp_path}/in", columns="user=user,movie=movie,rating=stars,time=day")
    assert named.ratings() == EXPECTED
    assert len({row["time"] for row in named.split("train")}) == 5


def test_parts_in_a_bucket_are_fetched_and_deleted_one_by_one(
    tmp_path: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = [full()[start : start + 20] for start in range(0, 400, 20)]
    pieces[7] = [("u1", float("nan"), "m1"), *pieces[7]]
    files = {f"part-{place:05d}.parquet": part(rows) for place, rows in enumerate(pieces)}
    nothing = pa.array([], pa.string())
    files["part-00006-empty.parquet"] = parquet({"user_id": nothing, "movie_id": nothing, "rating": nothing})
    storage = store(f"{bucket}/table", {"_SUCCESS": b"", **files})
    append, most = rows_module.append, 0

    def watched(connection: Any, file: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal most
        read = append(connection, file, *arguments, **named)
        most = max(most, len(list(tmp_path.glob(".dataset.scratch.*/part-*"))))
        return read

    monkeypatch.setattr(rows_module, "append", watched)
    dataset = read(tmp_path, f"{bucket}/table")
    assert dataset.ratings() == EXPECTED
    assert 1 <= most <= 4
    assert [(row["file"], row["line"]) for row in dataset.rejects] == [
        (f"{bucket}/table/part-00007.parquet", "1")
    ]
    before = fingerprint_of(f"{bucket}/table", "", "")
    storage.write_bytes("part-00003.parquet", part(full()[:10]))
    assert fingerprint_of(f"{bucket}/table", "", "") != before


def test_a_pattern_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    store(
        str(tmp_path / "in"),
        {"a-1.parquet": part(full()[:9]), "a-2.parquet": part(full()[9:]), "b.parquet": b""},
    )
    assert read(tmp_path, f"{tmp_path}/in/a-*.parquet").ratings() == EXPECTED


def test_a_movie_table_in_parts(tmp_path: Path) -> None:
    tables = {
        f"of=x%20{half}/part.parquet": parquet(
            {"title": [f"Film {m}" for m in range(half * 10, half * 10 + 10)],
             "id": [f"m{m}" for m in range(half * 10, half * 10 + 10)]}
        )
        for half in range(2)
    }  # fmt: skip
    store(str(tmp_path / "movies"), tables)
    store(str(tmp_path / "in"), {"part.parquet": part(full())})
    movies = read(tmp_path, f"{tmp_path}/in", movies=f"{tmp_path}/movies").movies
    assert movies[12] == {
        "movie_id": "m12", "title": "Film 12", "year": None, "genres": "", "attributes": {"of": "x 1"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"p2.parquet": parquet({"user_id": ["u"], "movie_id": ["m"]})},
            r"p2\.parquet has no column for the rating",
        ),
        ({"p2.parquet": part(full())[:-100] + b"PAR1"}, r"p2\.parquet is a damaged parquet file"),
        ({"p2.parquet": b"user,movie,rating\n"}, r"p2\.parquet is no Parquet file"),
        ({"_delta_log/00000.json": b"{}"}, "is a Delta table"),
    ],
    ids=["column", "damaged", "text", "delta"],
)
def test_tables_that_are_refused(tmp_path: Path, files: dict[str, bytes], message: str) -> None:
    store(str(tmp_path / "in"), {"p1.parquet": part(full()), **files})
    with pytest.raises(UserError, match=f"^--ratings .*{message}"):
        read(tmp_path, f"{tmp_path}/in")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_directory_without_parquet_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "movies.csv", MOVIES)
    with pytest.raises(UserError, match="is a directory without Parquet files; name a file in it"):
        read(tmp_path, str(tmp_path))


def _avro(schema: dict[str, Any], records: list[dict[str, Any]]) -> bytes:
    stream = io.BytesIO()
    fastavro.writer(stream, schema, records, codec="deflate")
    return stream.getvalue()


def _record(name: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "record",
        "name": name,
        "fields": [{"name": key, "type": of} for key, of in fields.items()],
    }


_LIST = _record("manifest_file", manifest_path="string", content="int")
_ENTRY = _record(
    "manifest_entry", status="int", data_file=_record("r2", file_path="string", file_format="string")
)
_ROOT = "s3://somewhere/else"


def _manifest(**files: int) -> bytes:
    """A manifest of files, by their states: 1 added, 2 deleted."""
    return _avro(
        _ENTRY,
        [
            {
                "status": state,
                "data_file": {"file_path": f"{_ROOT}/data/{name}.parquet", "file_format": "PARQUET"},
            }
            for name, state in files.items()
        ],
    )


def iceberg(deletes: bool = False) -> dict[str, bytes]:
    """An Iceberg table whose first column was renamed after its first part was written."""

    def ids(first: str, rows: list[Row]) -> bytes:
        users, ratings, movies = zip(*rows, strict=True)
        schema = pa.schema(
            [
                pa.field(name, of, metadata={"PARQUET:field_id": str(place)})
                for place, (name, of) in enumerate(
                    [(first, pa.string()), ("movie_id", pa.string()), ("rating", pa.float64())], start=1
                )
            ]
        )
        stream = io.BytesIO()
        pq.write_table(pa.table([users, movies, [*map(float, ratings)]], schema=schema), stream)
        return stream.getvalue()

    columns = [{"id": 1, "name": "user_id"}, {"id": 2, "name": "movie_id"}, {"id": 3, "name": "rating"}]
    metadata = {
        "location": _ROOT,
        "current-schema-id": 1,
        "schemas": [{"schema-id": 0, "fields": []}, {"schema-id": 1, "fields": columns}],
        "current-snapshot-id": 7,
        "snapshots": [
            {"snapshot-id": 6, "manifest-list": f"{_ROOT}/metadata/old.avro"},
            {"snapshot-id": 7, "manifest-list": f"{_ROOT}/metadata/snap.avro"},
        ],
    }
    manifests = [{"manifest_path": f"{_ROOT}/metadata/m.avro", "content": 0}]
    manifests += [{"manifest_path": f"{_ROOT}/metadata/d.avro", "content": 1}] * deletes
    return {
        "metadata/00009-a.metadata.json": b"{}",
        "metadata/00010-b.metadata.json": json.dumps(metadata).encode(),
        "metadata/snap.avro": _avro(_LIST, manifests),
        "metadata/m.avro": _manifest(one=1, two=1, gone=2),
        "metadata/d.avro": _manifest(deletes=1),
        "data/one.parquet": ids("who", full()[:100]),
        "data/two.parquet": ids("user_id", full()[100:]),
        "data/gone.parquet": ids("user_id", [("u1", 1, "m99")]),
        "data/orphan.parquet": ids("user_id", [("u1", 1, "m98")]),
    }


def test_an_iceberg_table_is_read_by_its_current_snapshot(tmp_path: Path) -> None:
    store(str(tmp_path / "in"), iceberg())
    assert read(tmp_path, f"{tmp_path}/in").ratings() == EXPECTED


def test_an_iceberg_table_with_delete_files_is_refused(tmp_path: Path) -> None:
    store(str(tmp_path / "in"), iceberg(deletes=True))
    with pytest.raises(
        UserError, match=r"^--ratings .*/in is an Iceberg table with delete files: .*compact it"
    ):
        read(tmp_path, f"{tmp_path}/in")

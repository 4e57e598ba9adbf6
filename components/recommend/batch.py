"""Recommendations for many users, written to one file."""

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from components.documents import Document, encode, write_document
from components.errors import UserError
from components.export.manifest import IndexManifest
from components.machine import available_cpus
from components.progress import Progress, log
from components.recommend.index import POOL, Known, Order, PublishedIndex
from components.registry.registry import cache_directory
from components.storage import is_remote, open_storage
from components.vocabulary.conditions import NO_RULES, Rules
from components.vocabulary.interactions import chunks

SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("rank", pa.int32()),  # 1 = best
        ("movie_id", pa.string()),
        ("score", pa.float32()),
        ("rating", pa.float32()),  # predicted, in stars
        ("known_user", pa.bool_()),
    ]
)


def _schema(index: PublishedIndex) -> pa.Schema:
    """Returns the columns of the output; of feedback without stars there is no rating."""
    return SCHEMA if index.rates else SCHEMA.remove(SCHEMA.get_field_index("rating"))


# The columns with few distinct values. A dictionary of the others takes time and makes the file larger.
_REPEATING = ["user_id", "rank", "movie_id", "known_user"]

# Users to a request, and to a part of the output: a killed run loses at most one part.
_BATCH = 256
_PART = 64 * _BATCH

# Makes the rows of the output for some users.
Ask = Callable[[Sequence[str]], pa.Table]


class BatchPlan(Document):
    """Inputs of a batch, stored beside its finished parts; `users` is a digest of the list of users."""

    manifest: IndexManifest
    k: int
    known: Known
    users: str
    order: Order = "score"
    rules: Rules = NO_RULES


@dataclass(frozen=True)
class BatchSummary:
    """Counts of the output: recommendations, users, and users that the index does not know."""

    users: int
    rows: int
    unknown_users: int


def write_recommendations(
    index: PublishedIndex,
    users: Sequence[str],
    k: int,
    output: str | Path,
    known: Known = "all",
    order: Order = "score",
    rules: Rules = NO_RULES,
) -> BatchSummary:
    """Writes the k best movies for each of `users`, in their order, to the file `output`.

    `output` is a path, gs:// or s3:// URI. By .csv or .jsonl at its end it is CSV or JSON lines, with title
    and year, else Parquet. Finished parts are kept beside it, or in the local cache if it is in a bucket,
    until it is complete: the same call, repeated after a kill, resumes after the last part.
    Memory use does not depend on the number of users. Raises `UserError` if `output` cannot be written, the
    order is by rating and the index predicts none, or the index cannot follow the `rules`.
    """
    plan = plan_of(index, users, k, known, order, rules)
    if rules.any:
        log(f"the rules leave {index.count_left(rules):,} of {len(index.movie_ids):,} movies")
    parts, deliver = _destination(str(output))
    movies = pa.array(index.movie_ids, pa.string())

    def ask(some: Sequence[str]) -> pa.Table:
        if rules.any:
            return _table(some, movies, index.ranking(some, k, known, rules, order))
        if order == "score":
            return _table(some, movies, index.ranking(some, k, known))
        return _table(some, movies, _by_rating(index.ranking(some, max(k, POOL), known), k, len(movies)))

    try:
        _open_parts(parts, plan)
        with _writer(parts / "whole", PurePosixPath(str(output)).suffix, index) as write:
            rows = _join(_write_parts(parts, users, ask, _schema(index)), write)
        deliver(parts / "whole")
    except OSError as error:
        remote = is_remote(str(output))
        place, cure = (parts, "set TWOTOWER_CACHE to") if remote else (output, "name as --output")
        raise UserError(f"cannot write {place}: {error.strerror}; {cure} another place") from error
    shutil.rmtree(parts)
    known_users = set(index.user_ids)
    return BatchSummary(len(users), rows, sum(user not in known_users for user in users))


def plan_of(
    index: PublishedIndex, users: Sequence[str], k: int, known: Known, order: Order, rules: Rules
) -> BatchPlan:
    """Returns the plan of a batch. Raises `UserError` if it cannot be followed."""
    if order == "rating":
        index.require_ratings("--order rating")
    digest = hashlib.sha256("\n".join(users).encode()).hexdigest()
    return BatchPlan(manifest=index.manifest, k=k, known=known, users=digest, order=order, rules=rules)


def _destination(output: str) -> tuple[Path, Callable[[Path], object]]:
    """Returns the directory for the parts of `output`, and what puts the whole file into its place."""
    if not is_remote(output):
        target = Path(output)
        if target.is_dir():
            raise UserError(f"--output {target} is a directory; name a file")
        return target.with_name(f".{target.name}.parts"), lambda whole: whole.replace(target)
    directory, _, name = output.rpartition("/")
    if not name:
        raise UserError(f"--output {output} is a directory; name a file")
    storage = open_storage(directory)
    storage.check_writable(exclusively=False)
    parts = cache_directory() / "batch" / hashlib.sha256(output.encode()).hexdigest()[:16]
    return parts, lambda whole: storage.upload_file(whole, name)


def read_users(source: str, index: PublishedIndex) -> list[str]:
    """Reads the users of the file `source`, one id a line; returns all users of `index` for "all".

    "-" is the standard input. Raises `UserError` if there is no such file, or no user in it.
    """
    if source == "all":
        return index.user_ids
    try:
        content = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        lines = content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{source} cannot be read; name a text file with one user id a line, - or all"
        ) from error
    users = [line.strip() for line in lines if line.strip()]
    if not users:
        raise UserError(f"{source} names no user; put one user id on each line")
    return users


def _open_parts(parts: Path, plan: BatchPlan) -> None:
    """Keeps the parts of an earlier call with the same plan, and deletes those of another plan."""
    record = parts / "plan.json"
    if record.is_file() and record.read_bytes() != encode(plan):
        shutil.rmtree(parts)
    if not record.is_file():
        write_document(record, plan)


def _write_parts(parts: Path, users: Sequence[str], ask: Ask, schema: pa.Schema) -> Iterator[Path]:
    with Progress("recommend", total=len(users), unit="users") as progress:
        for part in chunks(max(len(users), 1), _PART):
            some, start = users[part], part.start
            file = parts / f"{start:012d}.parquet"
            if file.is_file():
                log(f"users {start + 1:,} to {start + len(some):,} were done before")
            else:
                _write_part(file, some, ask, schema, progress)
            yield file


def _write_part(file: Path, users: Sequence[str], ask: Ask, schema: pa.Schema, progress: Progress) -> None:
    batches = [users[part] for part in chunks(len(users), _BATCH)]
    tables = []
    # Much of the work on a request uses one thread: several requests at once use all processors.
    with ThreadPoolExecutor(available_cpus()) as pool:
        for table, some in zip(pool.map(ask, batches), batches, strict=True):
            tables.append(table)
            progress.advance(len(some))
    staging = file.with_suffix(".partial")
    # Not compressed: a part is read once and then deleted.
    with pq.ParquetWriter(staging, schema, compression="none", use_dictionary=_REPEATING) as writer:
        writer.write_table(pa.concat_tables(tables) if tables else schema.empty_table())
    staging.replace(file)


def _table(users: Sequence[str], movies: pa.Array, answer: dict[str, np.ndarray]) -> pa.Table:
    """Makes a row of each recommendation, without the padding."""
    rows = answer["row"]
    kept = rows < len(movies)
    owner, rank = np.nonzero(kept)
    columns: dict[str, Any] = {
        "user_id": pa.array(users, pa.string()).take(pa.array(owner)),
        "rank": rank.astype(np.int32) + 1,
        "movie_id": movies.take(pa.array(rows[kept])),
        **{name: answer[name][kept] for name in ("score", "rating") if name in answer},
        "known_user": answer["known_user"][owner],
    }
    return pa.table(columns, schema=pa.schema([SCHEMA.field(name) for name in columns]))


def _by_rating(answer: dict[str, np.ndarray], k: int, movies: int) -> dict[str, np.ndarray]:
    """Returns the k best by predicted rating; what is equal keeps its order."""
    ratings = np.where(answer["row"] < movies, answer["rating"], -np.inf)
    best = np.argsort(-ratings, axis=1, kind="stable")[:, :k]
    ranked = {name: np.take_along_axis(answer[name], best, axis=1) for name in ("row", "score", "rating")}
    return {**ranked, "known_user": answer["known_user"]}


Write = Callable[[pa.Table], object]


@contextmanager
def _writer(target: Path, suffix: str, index: PublishedIndex) -> Iterator[Write]:
    """Opens the whole file, and gives what appends rows to it."""
    schema = _schema(index)
    if suffix == ".csv":
        titled = schema.append(pa.field("title", pa.string())).append(pa.field("year", pa.int32()))
        with pa.csv.CSVWriter(target, titled) as whole:
            yield lambda table: whole.write_table(_titled(table, index))
    elif suffix == ".jsonl":
        with target.open("w", encoding="utf-8") as lines:
            yield lambda table: lines.write(_json_lines(_titled(table, index)))
    else:
        with pq.ParquetWriter(target, schema, compression="zstd", use_dictionary=_REPEATING) as writer:
            yield writer.write_table


def _titled(table: pa.Table, index: PublishedIndex) -> pa.Table:
    """Adds title and year, null where it is not known, since people read these files."""
    places = pc.index_in(table["movie_id"], pa.array(index.movie_ids, pa.string()))
    titles, years = (pa.array(index.catalogue[name]).take(places) for name in ("title", "year"))
    known = pc.if_else(pc.greater(years, 0), years, pa.scalar(None, years.type))
    return table.append_column("title", titles).append_column("year", known.cast(pa.int32()))


def _json_lines(table: pa.Table) -> str:
    rows = table.to_pylist()
    for row in rows:
        # 4.1, not 4.0999999
        row |= {name: float(str(np.float32(row[name]))) for name in ("score", "rating") if name in row}
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def _join(files: Iterable[Path], write: Write) -> int:
    """Appends the parts to the whole file and returns the number of rows."""
    with ThreadPoolExecutor(1) as background:
        # One part is added while the next is computed.
        added = [background.submit(_add, write, file) for file in files]
        return sum(rows.result() for rows in added)


def _add(write: Write, file: Path) -> int:
    table = pq.read_table(file)
    write(table)
    return len(table)

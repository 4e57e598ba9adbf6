"""Embedded database that works out of core, within a limit of memory."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated, Any

from components.declaration import Range
from components.errors import UserError
from components.outputs import staging_directory
from components.progress import SECONDS_BETWEEN_LINES, TRANSIENT, every, log

# What Python, numpy and Arrow hold beside the engine's own buffers, in bytes.
_OUTSIDE_THE_ENGINE = 500_000_000

# The engine needs 0.2 GB.
MemoryGb = Annotated[float, Range(0.7)]


def scratch_directory(output: str | Path) -> AbstractContextManager[Path]:
    """Yields an empty directory beside `output` that is removed at the end, or by the next one after a kill.

    The user chose that disk to be big enough; /tmp is often memory. Raises `UserError` if nothing can be
    written beside `output`.
    """
    return staging_directory(Path(output), "scratch.")


@contextmanager
def database(scratch: Path, memory_gb: float) -> Iterator[Any]:
    """Yields a DuckDB connection that spills into `scratch`.

    `scratch` is an empty directory; the whole process may hold `memory_gb` GB (10^9 bytes). Raises
    `UserError` if `memory_gb` is too small for the data, or the disk is full.
    """
    limit = int(memory_gb * 1e9) - _OUTSIDE_THE_ENGINE
    import duckdb

    try:
        # Tables in memory spill as those on disk do, but are not compressed first: that took half the time.
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET memory_limit = ?", [f"{limit}B"])
            connection.execute("SET temp_directory = ?", [str(scratch)])
            connection.execute("SET enable_progress_bar = true")  # else it does not know how far it is
            connection.execute("SET enable_progress_bar_print = false")
            connection.execute("SET TimeZone = 'UTC'")  # of times that name no zone

            def tell() -> None:
                if (percent := connection.query_progress()) >= 0:
                    log(f"{TRANSIENT}sort, join and count rows: {percent:.0f}% of the query at hand")

            with every(SECONDS_BETWEEN_LINES, tell):
                yield connection
    except duckdb.OutOfMemoryException as error:
        raise UserError(
            f"--memory-gb {memory_gb:g} is too little for these files: raise it, or make room on the disk of "
            f"{scratch.parent}, where the work spills to ({str(error).partition(chr(10))[0]})"
        ) from error


def has_column(connection: Any, table: str, column: str) -> bool:
    """Tests if the table has such a column."""
    query = "SELECT count(*) FROM duckdb_columns() WHERE table_name = ? AND column_name = ?"
    return bool(one_row(connection, query, [table, column])[0])


def one_row(connection: Any, query: str, parameters: Any = ()) -> tuple[Any, ...]:
    """Returns the only row of a query's result."""
    # Read to its end: the connection takes no other work before that.
    (row,) = connection.execute(query, parameters).fetchall()
    return tuple(row)

"""An embedded database that works out of core, within a limit of memory and beside its output."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from components.errors import UserError

# What Python, numpy and Arrow hold beside the engine's own buffers, in bytes.
_OUTSIDE_THE_ENGINE = 500_000_000
_LEAST_FOR_THE_ENGINE = 200_000_000


@contextmanager
def database(output: str | Path, memory_gb: float) -> Iterator[Any]:
    """Yields a DuckDB connection whose file and spill lie beside `output`; both are removed at the end.

    Args:
      output: The directory that the step writes. The scratch space lies in its parent, which the user
        chose to be big enough, and not in /tmp, which is often memory.
      memory_gb: What the whole process may hold, in GB (10^9 bytes).

    Raises:
      UserError: if `memory_gb` is too small, or nothing can be written beside `output`.
    """
    limit = int(memory_gb * 1e9) - _OUTSIDE_THE_ENGINE
    if limit < _LEAST_FOR_THE_ENGINE:
        least = (_OUTSIDE_THE_ENGINE + _LEAST_FOR_THE_ENGINE) / 1e9
        raise UserError(f"{memory_gb:g} GB of memory is too little; pass --memory-gb {least:g} or more")
    import duckdb

    scratch = _scratch_directory(Path(output))
    try:
        with duckdb.connect(str(scratch / "ratings.duckdb")) as connection:
            connection.execute("SET memory_limit = ?", [f"{limit}B"])
            connection.execute("SET temp_directory = ?", [str(scratch / "spill")])
            connection.execute("SET enable_progress_bar = false")
            yield connection
    except duckdb.OutOfMemoryException as error:
        raise UserError(
            f"{memory_gb:g} GB of memory is too little for these files; raise --memory-gb, "
            f"or make room on the disk of {scratch.parent} ({_first_line(error)})"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def one_row(connection: Any, query: str, parameters: Any = ()) -> tuple[Any, ...]:
    """The only row of a query's result."""
    # Read to its end: the connection takes no other work before that.
    (row,) = connection.execute(query, parameters).fetchall()
    return tuple(row)


def _scratch_directory(output: Path) -> Path:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{output.name}.scratch.", dir=output.parent))
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}; name another output") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]

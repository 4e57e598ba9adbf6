"""The sums of each user, kept so that any other evaluation on the same rows can be compared with this one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from components.evaluate.metrics import UserSums

USERS_FILE = "users.parquet"


def write_user_sums(directory: Path, user_ids: npt.NDArray[Any], sums: Mapping[str, UserSums]) -> None:
    """Writes users.parquet: user_id, rows, and a column `scorer.metric` (float64) for every sum."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, Any] = {"user_id": pa.array(user_ids, pa.string())}
    for scorer, of_scorer in sums.items():
        columns["rows"] = of_scorer.rows
        columns |= {f"{scorer}.{metric}": column for metric, column in of_scorer.columns.items()}
    pq.write_table(pa.table(columns), directory / USERS_FILE, compression="zstd")

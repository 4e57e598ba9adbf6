"""The file with the sums of each user."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.evaluate.bootstrap import UserSums
from components.evaluate.user_sums import write_user_sums


def test_the_file_has_a_row_for_each_user_and_a_column_for_each_sum(tmp_path):
    rows = np.array([4, 2])
    sums = {
        "challenger": UserSums(rows, {"mae": np.array([1.5, 0.5]), "mrr": np.array([0.25, 1.0])}),
        "bias": UserSums(rows, {"mae": np.array([2.0, 1.0])}),
    }
    write_user_sums(tmp_path, np.array(["anna", "7"], object), sums)
    table = pq.read_table(tmp_path / "users.parquet")
    assert table.to_pydict() == {
        "user_id": ["anna", "7"],
        "rows": [4, 2],
        "challenger.mae": [1.5, 0.5],
        "challenger.mrr": [0.25, 1.0],
        "bias.mae": [2.0, 1.0],
    }
    assert table.schema.types == [pa.string(), pa.int64(), pa.float64(), pa.float64(), pa.float64()]
    column = pq.ParquetFile(tmp_path / "users.parquet").metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"


@pytest.mark.parametrize("sums", [{}, {"bias": UserSums(np.zeros(0, np.int64), {"mae": np.zeros(0)})}])
def test_without_users_the_file_still_has_ids_of_text(tmp_path, sums):
    write_user_sums(tmp_path, np.array([], object), sums)
    assert pq.read_schema(tmp_path / "users.parquet").field("user_id").type == pa.string()

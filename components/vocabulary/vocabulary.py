"""Vocabulary: which user and which movie each index stands for."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError

FORMAT = 1
USERS_FILE = "users.parquet"
MOVIES_FILE = "movies.parquet"
SUMMARY_FILE = "vocabulary.json"


@dataclass(frozen=True)
class Vocabulary:
    """Users and movies by index.

    Attributes:
      user_ids: str objects [users]. First the `training_users` who have training rows, then those who
        occur in validation or test rows only.
      movie_ids: str objects [movies], the whole catalogue in the order of the movie table.
      titles: str objects [movies].
      years: int32 [movies]; 0 where unknown.
      training_users: how many of the users have training rows.
    """

    user_ids: npt.NDArray[np.object_]
    movie_ids: npt.NDArray[np.object_]
    titles: npt.NDArray[np.object_]
    years: npt.NDArray[np.int32]
    training_users: int

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads the vocabulary at `path`.

        Raises:
          UserError: if `path` is not a whole vocabulary that this version can read.
        """
        directory = Path(path)
        summary = _summary(directory)
        users = _columns(directory / USERS_FILE, ["user_id"])
        movies = _columns(directory / MOVIES_FILE, ["movie_id", "title", "year"])
        if (len(users["user_id"]), len(movies["movie_id"])) != (summary["users"], summary["movies"]):
            raise UserError(
                f"{directory} is not whole: its tables and {SUMMARY_FILE} differ in length; "
                "make it anew with `twotower vocabulary`"
            )
        return cls(
            user_ids=users["user_id"].to_numpy(zero_copy_only=False),
            movie_ids=movies["movie_id"].to_numpy(zero_copy_only=False),
            titles=movies["title"].to_numpy(zero_copy_only=False),
            years=movies["year"].fill_null(0).to_numpy().astype(np.int32),
            training_users=summary["training_users"],
        )


def _summary(directory: Path) -> dict[str, int]:
    try:
        summary = json.loads((directory / SUMMARY_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{directory} is not a vocabulary: it has no readable {SUMMARY_FILE}; "
            "make one with `twotower vocabulary`"
        ) from error
    if not isinstance(summary, dict) or summary.get("format") != FORMAT:
        raise UserError(
            f"{directory} was written by another version of `twotower vocabulary`; make it anew with this one"
        )
    return summary


def _columns(file: Path, names: list[str]) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file, columns=names, memory_map=True)
        return {name: table.column(name).combine_chunks() for name in names}
    except (OSError, pa.ArrowException, KeyError) as error:
        raise UserError(f"{file} cannot be read; make it anew with `twotower vocabulary`") from error

"""What the user may decide about `ingest`, checked."""

from dataclasses import dataclass
from typing import Any, Self

from components.errors import UserError
from components.ingest.layouts import WITH_COLUMNS


@dataclass(frozen=True)
class Settings:
    """How ratings are read, bounded and divided. The flags of `twotower ingest` of the same names set them.

    Attributes:
      format: the name of a layout; "" finds each file's own.
      columns: role (user, movie, rating, time) -> the name or the number, from 1, of its column; empty for
        the layouts that are known.
      rating_scale: least and greatest rating; None finds it from the data.
      split: random, leave-last-out or time.
      seed: another seed, another random division.
      test_fraction: share of all rows, from 0 up to 1.
      validation_fraction: share of the rows that are not for testing, from 0 up to 1.
      max_train_rows, max_test_rows: 0 sets no bound.
      min_user_ratings, min_movie_ratings: users and movies with fewer kept ratings are left out.
      max_reject_rate: share of the rows, 0 to 1.
    """

    format: str
    columns: dict[str, str]
    rating_scale: tuple[float, float] | None
    split: str
    seed: int
    test_fraction: float
    validation_fraction: float
    max_train_rows: int
    max_test_rows: int
    min_user_ratings: int
    min_movie_ratings: int
    max_reject_rate: float

    @classmethod
    def of(cls, *, columns: str, rating_scale: str, **others: Any) -> Self:
        """Settings from the flags as the user writes them.

        Raises:
          UserError: if one of them is not understood, or out of bounds.
        """
        return cls(columns=parse_columns(columns), rating_scale=parse_scale(rating_scale), **others)

    def __post_init__(self) -> None:
        if self.columns and self.format and self.format not in WITH_COLUMNS:
            raise UserError(
                f"--columns goes with --format {', '.join(WITH_COLUMNS)} only: those of {self.format} are "
                "known; leave one of the two out"
            )


def parse_columns(text: str) -> dict[str, str]:
    """Reads `--columns user=…,movie=…,rating=…[,time=…]`.

    Raises:
      UserError: if it is not of that form.
    """
    columns: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        role, separator, column = (part.strip() for part in word.partition("="))
        if role not in ("user", "movie", "rating", "time") or not separator or not column or role in columns:
            raise UserError(
                f"--columns {text} is not understood; write user=NAME,movie=NAME,rating=NAME[,time=NAME]"
            )
        columns[role] = column
    missing = [role for role in ("user", "movie", "rating") if columns and role not in columns]
    if missing:
        raise UserError(
            f"--columns {text} does not name the {' and the '.join(missing)}; add {missing[0]}=NAME"
        )
    return columns


def parse_scale(text: str) -> tuple[float, float] | None:
    """Reads `--rating-scale LEAST,GREATEST`; "" is None.

    Raises:
      UserError: if it is not of that form.
    """
    if not text:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not -1e6 <= low < high <= 1e6:
        raise UserError(
            f"--rating-scale {text} is not understood; write the least and the greatest, e.g. 1,5"
        )
    return low, high

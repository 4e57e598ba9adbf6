"""The attributes of movies by value, for conditions on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.vocabulary.conditions import GENRE, NUMBERS, SEPARATOR, TEXTS, YEAR
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

# Longer texts, such as plots, are no attributes that somebody compares.
_LONGEST_TEXT = 100


@dataclass(frozen=True)
class Attributes:
    """The attributes of M movies, by value: V values of all columns, and P pairs of a value and a movie.

    A movie whose value is not known is in no pair of that column.
    """

    movies: int  # M
    # By column: its different values, float64 ascending, or texts (str objects), which differ beyond case.
    values: dict[str, Array]
    row_splits: Array  # int64 [V + 1]; value i, in the order of `values`, has rows[row_splits[i]:…[i + 1]]
    rows: Array  # int32 [P], movies

    @property
    def columns(self) -> dict[str, str]:
        """Kind of each column by name."""
        return {name: TEXTS if of.dtype == object else NUMBERS for name, of in self.values.items()}

    @property
    def texts(self) -> dict[str, list[str]]:
        """The values of each column of texts."""
        return {name: self.values[name].tolist() for name, kind in self.columns.items() if kind == TEXTS}

    @classmethod
    def of(cls, names: Vocabulary, others: Mapping[str, Any]) -> Self:
        """Collects year, genre and `others`, the Arrow arrays of `load_attributes`.

        `names` may have more movies, at the end.
        """
        years = np.flatnonzero(names.years)
        pairs: dict[str, tuple[Array, Array]] = {name: _pairs(array) for name, array in others.items()}
        pairs[YEAR] = years, names.years[years].astype(np.float64)
        if names.genres is not None:
            pairs[GENRE] = _genres(names.genres)
        values, counts, rows = {}, [], []
        for name, (of_column, given) in pairs.items():
            values[name], numbers = _distinct(given)
            both = np.unique(numbers.astype(np.int64) * len(names.movie_ids) + of_column)
            counts.append(np.bincount(both // len(names.movie_ids), minlength=len(values[name])))
            rows.append(both % len(names.movie_ids))
        splits = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
        return cls(len(names.movie_ids), values, splits, np.concatenate(rows).astype(np.int32))


def _genres(genres: Array) -> tuple[Array, Array]:
    parts = [[part for part in text.split(SEPARATOR) if part] for text in genres.tolist()]
    rows = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return rows, np.array([genre for part in parts for genre in part], object)


def _pairs(array: Any) -> tuple[Array, Array]:
    """Returns movies, int [p], and a value of each, float64 or str objects, of an Arrow array [M]."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows = np.arange(len(array))
    if pa.types.is_list(array.type):
        rows, array = pc.list_parent_indices(array).to_numpy(), pc.list_flatten(array)
    kept = array.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_boolean(array.type) or pa.types.is_string(array.type):
        texts = array.cast(pa.string())
        kept &= pc.fill_null(pc.less_equal(pc.utf8_length(texts), _LONGEST_TEXT), False).to_numpy(
            zero_copy_only=False
        )
        return rows[kept], texts.to_numpy(zero_copy_only=False)[kept]
    numbers = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
    kept &= np.isfinite(numbers)
    return rows[kept], numbers[kept]


def _distinct(given: Array) -> tuple[Array, Array]:
    """Returns the different values, ascending, and the number of each of `given`, int [p]."""
    if given.dtype != object:
        values, numbers = np.unique(given, return_inverse=True)
        return values, numbers
    keys = np.array([text.lower() for text in given], object)
    _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
    return given[first], numbers

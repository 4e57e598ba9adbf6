"""Answers of an index as Python has them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def movies_of(answer: Mapping[str, npt.NDArray[Any]], row: int, *figures: str) -> list[dict[str, Any]]:
    """The movies in one row of an answer without the padding, each with its `figures`."""
    found = records({name: answer[name][row] for name in ("movie_id", "title", "year", *figures)})
    return [movie for movie in found if movie["movie_id"]]


def records(columns: dict[str, npt.NDArray[Any]]) -> list[dict[str, Any]]:
    """Columns of one length as a list of rows."""
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]


def batches(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """Parts of `size` values; one empty part if there are none, so that the answer has its columns."""
    for start in range(0, max(len(values), 1), size):
        yield values[start : start + size]


def joined(answers: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Answers with the same columns, one below the other."""
    return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}


def decoded(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, with TensorFlow's bytes as `str` objects."""
    if array.dtype != object:
        return array
    flat = [value.decode("utf-8") for value in array.ravel()]
    return np.array(flat, dtype=object).reshape(array.shape)

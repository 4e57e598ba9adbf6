"""The limits of a request: each is looked at before anything is computed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from components.export.manifest import MOST_EXPLAINED
from components.serve.rest import DEFAULT_K, LONG, Call, RequestError
from components.serve.served_index import ServedIndex

# The most values in one list.
_VALUES = 16_384

# The most rows of a request; each computes a score for every movie.
_ROWS = 1_000

# The most movies in one answer: rows times k, or the ratings of a history.
_MOVIES = 100_000

# The most ratings of users that are read for one answer: some 200 MB.
_RATINGS_READ = 4_000_000


def answer(call: Call, index: ServedIndex) -> Mapping[str, npt.NDArray[Any]]:
    """Returns the outputs of a call.

    Raises `RequestError` if it exceeds a limit, and `UserError` as `ServedIndex.predict` does.
    """
    check_limits(call)
    if "rating" in call.inputs:
        _check_scale(call.inputs["rating"], index)
    if call.signature in LONG:
        return _answer_in_parts(call, index)
    if call.signature == "attributes" and (pairs := index.count_attributes()) > _MOVIES:
        raise RequestError(
            f"attributes: {pairs:,} movies by value are more than {_MOVIES:,}; read them from the index", 413
        )
    if "user_id" in call.inputs and "recommended" not in call.inputs:  # reasons are bounded by the index
        users = call.inputs["user_id"]
        # `rate` reads a user's once.
        read = int(
            index.count_ratings(list(dict.fromkeys(users)) if call.signature == "rate" else users).sum()
        )
        if read > _RATINGS_READ:
            message = (
                f"user_id: these users have {read:,} ratings, more than {_RATINGS_READ:,}; ask for fewer"
            )
            raise RequestError(f"{message} at once", 413)
    return index.predict(call.signature, call.inputs)


def _answer_in_parts(call: Call, index: ServedIndex) -> Mapping[str, npt.NDArray[Any]]:
    """Returns the rows of a long answer that are asked for, of a history with row_splits that fit them."""
    if call.signature == "history":
        counts = index.count_ratings(call.inputs["user_id"])
        rows = int(counts.sum())
    else:
        rows = index.manifest.movies if call.signature == "catalogue" else index.manifest.users
    start = min(call.offset, rows)
    end = rows if call.limit is None else min(rows, start + call.limit)
    if end - start > _MOVIES:
        raise RequestError(
            f'{call.signature}: {end - start:,} rows are more than {_MOVIES:,}; give "limit" and "offset" '
            'beside "inputs", and ask for one part after the other',
            413,
        )
    if call.signature == "history":
        return _part_of_history(call.inputs["user_id"], counts, start, end, index)
    columns = {"user_id": index.user_ids} if call.signature == "users" else index.catalogue
    return {
        name: np.array(values[start:end], object if values and isinstance(values[0], str) else np.int32)
        for name, values in columns.items()
    }


def _part_of_history(
    users: list[str | bytes], counts: npt.NDArray[np.int64], start: int, end: int, index: ServedIndex
) -> Mapping[str, npt.NDArray[Any]]:
    """Reads the ratings `start` to `end` of all those of `users`, who have `counts`."""
    splits = np.concatenate([[0], counts.cumsum()])
    if not len(users) or (start, end) == (0, splits[-1]):
        return index.predict("history", {"user_id": users})
    first = min(int(np.searchsorted(splits, start, side="right")) - 1, len(users) - 1)
    last = max(int(np.searchsorted(splits, end, side="left")), first + 1)
    read = index.predict("history", {"user_id": users[first:last]})
    rows = slice(start - int(splits[first]), end - int(splits[first]))
    part = {
        name: values[rows] for name, values in read.items() if len(values) == splits[last] - splits[first]
    }
    known = index.positions(users) >= 0
    return {**part, "row_splits": np.clip(splits, start, end) - start, "known_user": known}


def check_limits(call: Call) -> None:
    """Raises `RequestError` if the call exceeds a limit, or its inputs are inconsistent."""
    inputs = call.inputs
    for name, values in inputs.items():
        if isinstance(values, list) and len(values) > _VALUES:
            raise RequestError(f"{name}: {len(values):,} values are too many; give {_VALUES:,} at most", 413)
    if call.signature == "rate":  # any number of pairs is cheap
        _check_pairs(inputs, "user_id", "movie_id")
        return
    if "recommended" in inputs:  # reasons, from one history
        if (movies := len(inputs["recommended"])) > MOST_EXPLAINED:
            raise RequestError(
                f"recommended: {movies:,} movies are too many; give {MOST_EXPLAINED} at most", 413
            )
        if "rating" in inputs:
            _check_pairs(inputs, "movie_id", "rating")
        return
    if "row_splits" in inputs:
        _check_pairs(inputs, "movie_id", "rating")
        _check_row_splits(inputs["row_splits"], len(inputs["movie_id"]))
        rows = len(inputs["row_splits"]) - 1
    else:
        rows = len(inputs.get("user_id", inputs.get("movie_id", ())))
    if rows > _ROWS:
        raise RequestError(f"{rows:,} rows are too many; give {_ROWS:,} at most", 413)
    k = max(inputs.get("k", DEFAULT_K), inputs.get("pool", 0))
    if rows * k > _MOVIES:
        raise RequestError(f"k: {rows:,} rows times {k:,} movies are more than {_MOVIES:,}; give fewer", 413)


def _check_scale(ratings: list[float], index: ServedIndex) -> None:
    for number, stars in enumerate(ratings):
        if not index.on_scale(stars):
            low, high = index.manifest.rating_scale
            scale = f"the scale of {low:g} to {high:g}" if index.rates else "the scale of weights, from 0"
            raise RequestError(f"rating[{number}]: {stars:g} is off {scale}")


def _check_pairs(inputs: dict[str, Any], one: str, other: str) -> None:
    first, second = len(inputs[one]), len(inputs[other])
    if first != second:
        raise RequestError(f"{one} and {other} make pairs, but there are {first} and {second} of them")


def _check_row_splits(row_splits: list[int], values: int) -> None:
    if row_splits[:1] != [0] or row_splits[-1] != values or row_splits != sorted(row_splits):
        raise RequestError(f"row_splits: must ascend from 0 to {values}, the number of values in movie_id")

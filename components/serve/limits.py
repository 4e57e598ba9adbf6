"""How much one request may ask for: a server answers everybody, so no one request may take its memory."""

from typing import Any

from components.serve.rest import Call, RequestError

# Bytes of a request's body.
BODY_BYTES = 1 << 20

# Values in one list.
_VALUES = 16_384

# Rows of a request, each of which is a score for every movie.
_ROWS = 1_000

# Movies in one answer: rows times k.
_MOVIES = 100_000
_DEFAULT_K = 100

# Which signatures take pairs, of which many are cheap.
_OF_PAIRS = ("rate",)


def check_limits(call: Call) -> None:
    """Raises `RequestError` if the call asks for too much, or its parts do not fit together."""
    for name, values in call.inputs.items():
        if isinstance(values, list) and len(values) > _VALUES:
            raise RequestError(f"{name}: {len(values):,} values are too many; give {_VALUES:,} at most", 413)
    if call.signature in _OF_PAIRS:
        _check_pairs(call.inputs)
        return
    if "row_splits" in call.inputs:
        _check_row_splits(**call.inputs)
    rows = _rows(call.inputs)
    if rows > _ROWS:
        raise RequestError(f"{rows:,} rows are too many; give {_ROWS:,} at most", 413)
    k = max(call.inputs.get("k", _DEFAULT_K), call.inputs.get("pool", 0))
    if rows * k > _MOVIES:
        raise RequestError(f"k: {rows:,} rows times {k:,} movies are more than {_MOVIES:,}; give fewer", 413)


def _rows(inputs: dict[str, Any]) -> int:
    if "row_splits" in inputs:
        return len(inputs["row_splits"]) - 1
    return len(inputs.get("user_id", inputs.get("movie_id", ())))


def _check_pairs(inputs: dict[str, Any]) -> None:
    users, movies = len(inputs["user_id"]), len(inputs["movie_id"])
    if users != movies:
        raise RequestError(f"user_id and movie_id make pairs, but there are {users} and {movies} of them")


def _check_row_splits(movie_id: list[str], rating: list[float], row_splits: list[int], k: int) -> None:
    if len(movie_id) != len(rating):
        raise RequestError(
            f"movie_id and rating make pairs, but there are {len(movie_id)} and {len(rating)} of them"
        )
    if row_splits[:1] != [0] or row_splits[-1] != len(movie_id) or row_splits != sorted(row_splits):
        raise RequestError(
            f"row_splits: must ascend from 0 to {len(movie_id)}, the number of values in movie_id"
        )

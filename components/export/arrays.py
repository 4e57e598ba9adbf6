"""Arrays of an index that NumPy maps: the catalogue with its vectors, the users and their ratings."""

import itertools
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.vocabulary.interactions import UserRatings, scratch_array

Array = npt.NDArray[Any]

# The directory in an index; an array NAME is the file NAME.npy in it.
ARRAYS = "arrays"

# Returns the local path of a file of an index, given its path in the index.
Fetch = Callable[[str], Path]


class Texts:
    """Texts by row, decoded as they are read."""

    def __init__(self, ends: Array, text: Array) -> None:
        """Args: `ends`: int64 [n + 1], where each text ends, from 0; `text`: uint8, all texts in UTF-8."""
        self._ends, self._text = ends, text

    @staticmethod
    def arrays(values: Iterable[str]) -> tuple[Array, Array]:
        """Returns `ends` and `text` of some texts."""
        encoded = [str(value).encode() for value in values]
        ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        return ends, np.frombuffer(b"".join(encoded), np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def encoded(self, row: int) -> bytes:
        """Returns the text of a row in UTF-8."""
        return self._text[self._ends[row] : self._ends[row + 1]].tobytes()

    def take(self, rows: Array) -> Array:
        """Returns the texts of `rows`, str objects of their shape; "" for row n, one after the last."""
        last, found = len(self), np.empty(rows.size, object)
        found[:] = [self.encoded(row).decode() if row < last else "" for row in rows.ravel().tolist()]
        return found.reshape(rows.shape)

    def tolist(self) -> list[str]:
        """Returns all texts."""
        whole, ends = self._text.tobytes(), self._ends.tolist()
        return [whole[start:end].decode() for start, end in itertools.pairwise(ends)]

    def order(self) -> Array:
        """Returns the rows in the order of their texts, int32 [n]."""
        return np.argsort(np.array(self.tolist(), object), kind="stable").astype(np.int32)

    def find(self, wanted: Sequence[str | bytes], order: Array) -> Array:
        """Returns the rows of the texts `wanted`, int64 [m], given `order()`; -1 where there is none."""
        rows = np.full(len(wanted), -1, np.int64)
        for place, text in enumerate(wanted):
            key = text.encode() if isinstance(text, str) else text
            at = bisect_left(order, key, key=self.encoded)
            if at < len(order) and self.encoded(order[at]) == key:
                rows[place] = order[at]
        return rows


class StoredHistory(NamedTuple):
    """Ratings of n users, ragged: user i's are row_splits[i]:row_splits[i + 1]."""

    movies: Array  # int32 [h], rows of the movie table
    ratings: Array  # float32 [h]
    row_splits: Array  # int64 [n + 1]
    held_out: Array  # bool [h], true for a rating of the test split

    @property
    def owners(self) -> Array:
        """The row of the batch that each rating belongs to, int64 [h]."""
        return np.repeat(np.arange(len(self.row_splits) - 1), np.diff(self.row_splits))

    def inputs(self) -> dict[str, Array]:
        """Returns the inputs by which a request brings the ratings of its users: see `GIVEN`."""
        return dict(zip(GIVEN, (self.movies, self.ratings, self.row_splits), strict=True))


# The inputs of a signature about users where the SavedModel holds no ratings: those of the distinct users of
# the request, in the order in which it first names each.
GIVEN = ("history_movie", "history_rating", "history_row_splits")


class PackedRatings(NamedTuple):
    """Ratings grouped by user, each user's known ones (training and validation) before the held-out ones."""

    offsets: Array  # int64 [users + 1]
    known_counts: Array  # int32 [users]
    movies: Array  # the smallest integer that holds a row of the movie table, [ratings]
    levels: Array  # float32, the distinct values that a rating takes
    level_of: Array  # the smallest integer that holds a position in `levels`, [ratings]

    def movies_of(self, user: int) -> Array:
        """Returns the movies that a user has rated."""
        return self.movies[self.offsets[user] : self.offsets[user + 1]]

    def read(self, users: Array, everything: bool) -> StoredHistory:
        """Reads the ratings of `users`, int64 [n]; an unknown user, -1, has none.

        All ratings, or without `everything` those of the training and validation splits.
        """
        user = np.maximum(users, 0)
        starts = self.offsets[user]
        known_ends = starts + self.known_counts[user]
        ends = self.offsets[user + 1] if everything else known_ends
        counts = np.where(users >= 0, ends - starts, 0)
        row_splits = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places = np.arange(row_splits[-1]) + np.repeat(starts - row_splits[:-1], counts)
        return StoredHistory(
            movies=self.movies[places].astype(np.int32),
            ratings=self.levels[self.level_of[places]],
            row_splits=row_splits,
            held_out=places >= np.repeat(known_ends, counts),
        )


def pack(
    known: UserRatings, held_out: UserRatings, movies: int, directory: Path | None = None
) -> PackedRatings:
    """Joins two sets of ratings of the same users; `movies` is the number of movies.

    A rating takes three bytes where there are at most 65,536 movies and 256 distinct ratings: the 17.3
    million ratings of the Netflix data set take 52 MB. What is too large for the memory is mapped to a file
    without a name in `directory`. Raises `UserError` if the disk is full.
    """
    levels = np.empty(0, np.float32)
    for part in (known, held_out):
        for _, piece in part.pieces():
            levels = np.union1d(levels, piece.ratings)
    offsets = np.asarray(known.offsets + held_out.offsets)
    rows, level_of = (
        scratch_array(directory, int(offsets[-1]), np.dtype(_smallest_integer(count)))
        for count in (movies, len(levels))
    )
    for part, starts in ((known, offsets[:-1]), (held_out, offsets[:-1] + known.counts)):
        for users, piece in part.pieces():
            places = piece.places(starts[users])
            rows[places] = piece.movies
            level_of[places] = np.searchsorted(levels, piece.ratings)
    return PackedRatings(offsets, known.counts.astype(np.int32), rows, levels, level_of)


def _smallest_integer(count: int) -> type[np.integer]:
    if count <= 1 << 8:
        return np.uint8
    return np.uint16 if count <= 1 << 16 else np.int32


class ArrayFiles(Mapping[str, Array]):
    """The arrays of an index by name, each mapped when it is first asked for."""

    def __init__(self, described: Mapping[str, str], fetch: Fetch) -> None:
        """Args: `described`: dtype and shape of each array, as the manifest of the index has them."""
        self._described, self._fetch = described, fetch
        self._mapped: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        """Maps an array. Raises `KeyError` if there is none, `UserError` if its file is damaged."""
        if name not in self._mapped:
            described = self._described[name]
            self._mapped[name] = _map(self._fetch(f"{ARRAYS}/{name}.npy"), described)
        return self._mapped[name]

    def __contains__(self, name: object) -> bool:
        return name in self._described

    def __iter__(self) -> Any:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def texts(self, name: str) -> Texts:
        """Returns the texts that `texts_by_name` stored."""
        return Texts(self[f"{name}.ends"], self[f"{name}.text"])

    def part(self, kind: type[Any], prefix: str) -> Any:
        """Returns the named tuple of the type `kind` that `fields_by_name` stored."""
        return kind(*(self[f"{prefix}.{name}"] for name in kind._fields))


def texts_by_name(name: str, values: Iterable[str]) -> dict[str, Array]:
    """Returns the arrays of some texts."""
    ends, text = Texts.arrays(values)
    return {f"{name}.ends": ends, f"{name}.text": text}


def fields_by_name(prefix: str, part: Any) -> dict[str, Array]:
    """Returns the arrays of a named tuple."""
    return {f"{prefix}.{name}": values for name, values in part._asdict().items()}


def write_arrays(index: Path, arrays: Mapping[str, Array]) -> dict[str, str]:
    """Writes arrays into the index at `index`; returns the dtype and shape of each."""
    directory = index / ARRAYS
    directory.mkdir()
    for name, array in arrays.items():
        np.save(directory / f"{name}.npy", array, allow_pickle=False)
    return {name: _described(array) for name, array in arrays.items()}


def size_of(directory: Path) -> int:
    """Returns the size of all files in a directory and below, in bytes."""
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _map(file: Path, described: str) -> Array:
    cure = "copy the index again, or export it anew with `twotower export`"
    try:
        # An empty array cannot be mapped.
        mapped: Literal["r"] | None = None if "[0]" in described else "r"
        array: Array = np.load(file, mmap_mode=mapped, allow_pickle=False).view(np.ndarray)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file} is damaged: it is absent or cut off; {cure}") from error
    if _described(array) != described:
        raise UserError(f"{file} is damaged: {_described(array)} instead of {described}; {cure}")
    return array


def _described(array: Array) -> str:
    return f"{array.dtype.name}[{', '.join(map(str, array.shape))}]"

"""Interactions: every rating as integers, grouped by user, memory-mapped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from components.documents import Document, read_document
from components.errors import UserError
from components.ingest.dataset import Scale, SplitCounts, SplitSettings
from components.ingest.settings import STARS, Feedback
from components.outputs import scratch_file

SUMMARY_FILE = "interactions.json"
# Ratings that are worked on at a time where there may be a billion: each takes some 50 bytes meanwhile.
PIECE = 1 << 22
# Part of a split -> its dtype on disk; `{split}.{part}.npy` holds it.
PARTS: dict[str, np.dtype[Any]] = {
    "offsets": np.dtype(np.int64),
    "movies": np.dtype(np.int32),
    "ratings": np.dtype(np.float32),
}


def part_file(split: str, part: str) -> str:
    """Names the file that holds one part of a split."""
    return f"{split}.{part}.npy"


def chunks(total: int, size: int) -> Iterator[slice]:
    """Yields consecutive slices of at most `size` that cover `range(total)`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def user_chunks(counts: npt.NDArray[np.int64], users: int, ratings: int) -> Iterator[slice]:
    """Yields consecutive slices of at most `users` users who have at most `ratings` ratings together.

    `counts` are the ratings of each user, int64 [n]. A user with more of them is alone.
    """
    before, start = _offsets(counts), 0
    while start < len(counts):
        last = int(np.searchsorted(before, before[start] + ratings, side="right")) - 1
        stop = min(max(last, start + 1), start + users, len(counts))
        yield slice(start, stop)
        start = stop


@dataclass(frozen=True, eq=False)
class UserRatings:
    """Ratings grouped by user: user u's are the rows `offsets[u]` to `offsets[u + 1]`.

    In a split, movies ascend within each user; `join` puts the rows of one part after those of the other.
    The arrays may be memory-mapped. None of the methods copies more than it returns.
    """

    movies: npt.NDArray[np.int32]  # int32 [ratings], movie indices
    ratings: npt.NDArray[np.float32]  # float32 [ratings], in stars unless the code says otherwise
    offsets: npt.NDArray[np.int64]  # int64 [users + 1], ascending from 0; row splits in a model's signatures

    @classmethod
    def group(cls, owners: npt.ArrayLike, movies: npt.ArrayLike, ratings: npt.ArrayLike, users: int) -> Self:
        """Groups single ratings, in any order, by user, then movie.

        `owners` (each rating's user, from 0 to `users` - 1) and `movies` are integers [ratings], `ratings`
        floats [ratings].
        """
        owners, movies = np.asarray(owners), np.asarray(movies, np.int32)
        order = np.lexsort((movies, owners))
        counts = np.bincount(owners, minlength=users)
        return cls(movies[order], np.asarray(ratings, np.float32)[order], _offsets(counts))

    @classmethod
    def join(cls, parts: Sequence["UserRatings"]) -> "UserRatings":
        """Joins ratings of the same users; each user's rows keep the order of the parts."""
        if len(parts) == 1:
            return parts[0]
        starts = np.sum([part.offsets[:-1] for part in parts], axis=0)
        total = sum(len(part.movies) for part in parts)
        movies, ratings = np.empty(total, np.int32), np.empty(total, np.float32)
        for part in parts:
            places = part.places(starts)
            movies[places], ratings[places] = part.movies, part.ratings
            starts = starts + part.counts
        return cls(movies, ratings, np.sum([part.offsets for part in parts], axis=0))

    @property
    def users(self) -> int:
        """Number of users, those without ratings included."""
        return len(self.offsets) - 1

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of ratings of each user, int64 [users]."""
        return np.diff(self.offsets)

    @property
    def owners(self) -> npt.NDArray[np.int32]:
        """User index of each rating, int32 [ratings]; computed at each call."""
        return np.repeat(np.arange(self.users, dtype=np.int32), self.counts)

    def places(self, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Returns the place of each rating, int64 [ratings], where those of user u begin at `starts[u]`."""
        return np.arange(len(self.movies)) + np.repeat(starts - self.offsets[:-1], self.counts)

    @property
    def arrays(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Movies, ratings and offsets, as a model's signatures and training steps take them."""
        return self.movies, self.ratings, self.offsets

    def __getitem__(self, users: slice) -> "UserRatings":
        """Views the ratings of consecutive users without copying them."""
        start, stop, _ = users.indices(self.users)
        first, last = self.offsets[start], self.offsets[stop]
        offsets = self.offsets[start : stop + 1] - first
        return UserRatings(self.movies[first:last], self.ratings[first:last], offsets)

    def pieces(self) -> Iterator[tuple[slice, "UserRatings"]]:
        """Yields consecutive users with about `PIECE` ratings, and a view of these."""
        for users in user_chunks(self.counts, self.users, PIECE):
            yield users, self[users]

    def movie_counts(self, movies: int) -> npt.NDArray[np.int64]:
        """Returns the number of ratings of each of `movies`, int64 [movies]."""
        counts = np.zeros(movies, np.int64)
        for piece in chunks(len(self.movies), PIECE):
            counts += np.bincount(self.movies[piece], minlength=movies)
        return counts

    def select(self, users: npt.ArrayLike) -> "UserRatings":
        """Gathers the ratings of `users`, one after the other.

        `users` is integers [n], in any order, repeated if need be; a negative one (unknown) has no ratings.
        Raises `IndexError` if one of `users` is beyond the last user.
        """
        wanted = np.asarray(users, dtype=np.int64)
        known = np.maximum(wanted, 0)
        starts = np.asarray(self.offsets[known])
        counts = np.where(wanted < 0, 0, self.offsets[known + 1] - starts)
        offsets = _offsets(counts)
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
        return UserRatings(self.movies[rows], self.ratings[rows], offsets)

    def only(self, chosen: npt.NDArray[np.bool_]) -> "UserRatings":
        """Copies the ratings of the users `chosen`, bool [users]; the others remain, without ratings."""
        return self.select(np.where(chosen, np.arange(self.users), -1))

    def csr(self, movies: int) -> Any:
        """Views the ratings as a `scipy.sparse.csr_array` [users, movies]; a rating of 0 stays an entry."""
        from scipy.sparse import csr_array

        # Of two types of numbers scipy takes the wider one for both, and copies the movies.
        narrow = np.int32 if len(self.movies) <= np.iinfo(np.int32).max else np.int64
        offsets = self.offsets.astype(narrow, copy=False)
        return csr_array((self.ratings, self.movies, offsets), shape=(self.users, movies))

    def seen(self, movies: int) -> Any:
        """Returns who rated what as a float32 `scipy.sparse.csr_array` [users, movies]: 1 for each rating."""
        matrix = self.csr(movies)
        matrix.data = np.ones_like(matrix.data)
        return matrix


def _offsets(counts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


class InteractionsSummary(Document):
    """Sizes and origin of interactions, interactions.json; `Interactions` explains the fields."""

    _written_by = "twotower vocabulary"

    format: Literal[1] = 1
    training_users: int
    users: int
    movies: int
    splits: SplitCounts
    rating_scale: Scale
    rating_mean: float
    feedback: Feedback = STARS
    split: SplitSettings
    fingerprint: str


@dataclass(frozen=True)
class Interactions:
    """The ratings of all splits, over one numbering of users and movies (see `Vocabulary`)."""

    training_users: int  # the first so many users have training rows, the others validation or test rows only
    users: int
    movies: int
    rating_scale: Scale  # the least and the greatest rating that the data allow, in stars
    rating_mean: float  # of the training ratings, in stars
    split_settings: SplitSettings  # how the ratings were divided
    fingerprint: str  # identifies the input files; "" if unknown
    feedback: Feedback  # with "implicit", ratings are weights, by the number of events, and no stars
    _splits: dict[str, UserRatings] = field(repr=False)
    directory: Path | None = None  # where they lie; None if only in memory

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Maps the arrays at `path`. Raises `UserError` if they are not whole, or not consistent."""
        directory = Path(path)
        summary = read_document(directory / SUMMARY_FILE, InteractionsSummary)
        return cls(
            training_users=summary.training_users,
            users=summary.users,
            movies=summary.movies,
            rating_scale=summary.rating_scale,
            rating_mean=summary.rating_mean,
            split_settings=summary.split,
            fingerprint=summary.fingerprint,
            feedback=summary.feedback,
            _splits={
                split: _load_split(directory, split, summary.users, summary.movies, rows)
                for split, rows in summary.splits.items()
            },
            directory=directory,
        )

    def split(self, name: str) -> UserRatings:
        """Returns the ratings of one split: train, validation or test."""
        return self._splits[name]

    def known(self) -> UserRatings:
        """Merges training and validation ratings: all that may be known of a user before the test.

        What is too large for the memory is mapped to a file beside the interactions, 8 bytes a rating. Raises
        `UserError` if the disk is full.
        """
        train, validation = self.split("train"), self.split("validation")
        offsets = np.asarray(train.offsets + validation.offsets)
        movies, ratings = (
            scratch_array(self.directory, int(offsets[-1]), PARTS[part]) for part in ("movies", "ratings")
        )
        for users in user_chunks(np.diff(offsets), self.users, PIECE):
            of_train, of_validation = train[users], validation[users]
            places = np.searchsorted(self._keys(of_train), self._keys(of_validation))
            piece = slice(offsets[users.start], offsets[users.stop])
            movies[piece] = np.insert(of_train.movies, places, of_validation.movies)
            ratings[piece] = np.insert(of_train.ratings, places, of_validation.ratings)
        return UserRatings(movies, ratings, offsets)

    def _keys(self, part: UserRatings) -> npt.NDArray[np.int64]:
        """Numbers the rows so that the numbers ascend."""
        return part.owners.astype(np.int64) * self.movies + part.movies


# A larger array is not held in memory, in bytes.
_LARGEST_IN_MEMORY = 1 << 28


def scratch_array(directory: Path | None, length: int, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Makes an array of zeros; a large one is mapped to a file, so that the system can take its memory."""
    size = length * dtype.itemsize
    if size <= _LARGEST_IN_MEMORY:
        return np.zeros(length, dtype)
    with scratch_file(directory, size) as file:
        return np.memmap(file, dtype, "r+", shape=(length,)).view(np.ndarray)


def _load_split(directory: Path, split: str, users: int, movies: int, rows: int) -> UserRatings:
    lengths = {"offsets": users + 1, "movies": rows, "ratings": rows}
    arrays = {part: _load_part(directory / part_file(split, part), part, lengths[part]) for part in PARTS}
    ratings = UserRatings(**arrays)
    offsets = ratings.offsets
    if offsets[0] != 0 or offsets[-1] != rows or np.any(offsets[1:] < offsets[:-1]):
        raise _damaged(directory / part_file(split, "offsets"), "its offsets do not count the rows")
    if rows and (ratings.movies.min() < 0 or ratings.movies.max() >= movies):
        raise _damaged(directory / part_file(split, "movies"), f"a movie lies outside 0 to {movies - 1}")
    return ratings


def _load_part(file: Path, part: str, length: int) -> npt.NDArray[Any]:
    try:
        # An empty file cannot be mapped.
        array: npt.NDArray[Any] = np.load(file, mmap_mode="r" if length else None).view(np.ndarray)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(file, "it is absent or cut off") from error
    if array.dtype != PARTS[part] or array.shape != (length,):
        raise _damaged(
            file, f"{PARTS[part]} [{length}] was expected, {array.dtype} {list(array.shape)} found"
        )
    return array


def _damaged(file: Path, why: str) -> UserError:
    return UserError(f"{file} is damaged: {why}; run `twotower vocabulary` again")

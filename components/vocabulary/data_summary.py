"""Summary of the ratings that a model was trained on: figures and samples, kept beside the model."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from components.documents import Document, read_document, write_document
from components.errors import UserError
from components.vocabulary.interactions import PIECE, UserRatings, chunks

SUMMARY_FILE = "data.json"
SAMPLES_FILE = "data.npz"
USERS_FILE = "users.npy"

Hashes = npt.NDArray[np.uint64]

# The sets that are sampled.
_SETS = ("users", "movies", "rows")
_SAMPLE = 1 << 18
_LEVELS = 200
_USERS_AT_ONCE = 1 << 14
_LARGEST = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class HashSample:
    """Bottom-k sample of a set: its least hashes (Cohen & Kaplan 2007). Small sets are held whole."""

    hashes: Hashes  # uint64, ascending, each once
    bound: np.uint64  # a hash up to this one is in the set only if it is among `hashes`

    @classmethod
    def of(cls, parts: Iterable[Hashes], size: int = _SAMPLE) -> Self:
        """Takes the least `size` of all hashes in `parts`."""
        least, bound = np.empty(0, np.uint64), _LARGEST
        for part in parts:
            least = np.unique(np.concatenate([least, part[part <= bound]]))[:size]
            if len(least) == size:
                bound = least[-1]
        return cls(least, bound)

    def union(self, other: Self) -> Self:
        """Returns the sample of the union of both sets."""
        bound = min(self.bound, other.bound)
        least = type(self).of([part.hashes[part.hashes <= bound] for part in (self, other)])
        return replace(least, bound=min(bound, least.bound))

    def covers(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Tests for each of `hashes` if the sample decides whether the set has it."""
        return hashes <= self.bound

    def holds(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """Tests for each of `hashes` if it is in the sample."""
        return np.isin(hashes, self.hashes)


class DataFigures(Document):
    """The part of a `DataSummary` for people and programs, data.json."""

    _written_by = "twotower train"

    format: Literal[1] = 1
    ratings: int
    rating_mean: float  # in stars
    rating_histogram: dict[str, int]  # level in stars, as text -> number of ratings


@dataclass(frozen=True)
class DataSummary:
    """Summary of the ratings that a model may have read: training and validation together."""

    figures: DataFigures
    users: HashSample  # hashes of the ids of those that have ratings
    movies: HashSample  # likewise
    rows: HashSample  # hashes of (user, movie)
    # Hashes of the ids of all users whose ratings the model has read, ascending; None in earlier releases.
    readers: Hashes | None = None

    @classmethod
    def of(
        cls,
        known: UserRatings,
        user_ids: npt.NDArray[Any],
        movie_ids: npt.NDArray[Any],
        rating_scale: tuple[float, float],
    ) -> Self:
        """Summarises `known`, whose users are `user_ids` and whose movies are `movie_ids`."""
        users, movies = id_hashes(user_ids), id_hashes(movie_ids)
        rated = known.movie_counts(len(movies)) > 0
        figures = DataFigures(
            ratings=len(known.movies),
            rating_mean=float(np.mean(known.ratings, dtype=np.float64)) if len(known.ratings) else 0.0,
            rating_histogram=_histogram(known.ratings, rating_scale),
        )
        rating = users[known.counts > 0]
        return cls(
            figures=figures,
            readers=np.unique(rating),
            users=HashSample.of([rating]),
            movies=HashSample.of([movies[rated]]),
            rows=HashSample.of(
                row_hashes(users[part][known[part].owners], movies[known[part].movies])
                for part in chunks(known.users, _USERS_AT_ONCE)
            ),
        )

    def with_rows_of(self, other: Self) -> Self:
        """Returns the summary of a model that has also read the rows of `other`: it began at its weights.

        Figures, and the samples of users and movies, stay those of its own ratings.
        """
        both = None
        if self.readers is not None and other.readers is not None:
            both = np.union1d(self.readers, other.readers)
        return replace(self, rows=self.rows.union(other.rows), readers=both)

    def save(self, directory: Path) -> None:
        """Writes data.json with the figures, data.npz with the samples, and users.npy with all users."""
        write_document(directory / SUMMARY_FILE, self.figures)
        arrays: dict[str, Any] = {}
        for name in _SETS:
            sample: HashSample = getattr(self, name)
            arrays |= {name: sample.hashes, f"{name}_bound": np.asarray(sample.bound)}
        np.savez(directory / SAMPLES_FILE, **arrays)
        if self.readers is not None:
            np.save(directory / USERS_FILE, self.readers)

    @classmethod
    def load(cls, directory: Path) -> Self | None:
        """Reads the summary in `directory`; None if it holds none that this version can read."""
        try:
            figures = read_document(directory / SUMMARY_FILE, DataFigures)
            with (directory / SAMPLES_FILE).open("rb") as source, np.load(source) as arrays:
                samples = [HashSample(arrays[name], np.uint64(arrays[f"{name}_bound"])) for name in _SETS]
            file = directory / USERS_FILE
            readers = load_readers(file) if file.is_file() else None
        except (UserError, OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None
        users, movies, rows = samples
        return cls(figures, users, movies, rows, readers)


def load_readers(file: Path) -> Hashes:
    """Maps users.npy of a model into memory. Raises `ValueError` or `EOFError` if it is damaged."""
    readers: Hashes = np.load(file, mmap_mode="r")
    return readers


def id_hashes(ids: Iterable[Any]) -> Hashes:
    """Hashes ids, in the same way on every machine and in every version."""
    digests = (hashlib.blake2b(str(name).encode(), digest_size=8).digest() for name in ids)
    return np.frombuffer(b"".join(digests), np.dtype("<u8")).astype(np.uint64)


def row_hashes(users: Hashes, movies: Hashes) -> Hashes:
    """Hashes (user, movie) from the hashes of both, by the finisher of SplitMix64 (Steele et al. 2014)."""
    mixed = users ^ (movies * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    finished: Hashes = mixed ^ (mixed >> np.uint64(31))
    return finished


def _histogram(ratings: npt.NDArray[np.float32], rating_scale: tuple[float, float]) -> dict[str, int]:
    """Counts ratings on 201 levels of the scale, so that the table is short whatever the ratings."""
    low, high = rating_scale
    step = (high - low) / _LEVELS or 1.0
    counts = np.zeros(_LEVELS + 1, np.int64)
    for piece in chunks(len(ratings), PIECE):
        places = np.clip(np.round((ratings[piece] - low) / step), 0, _LEVELS).astype(np.int64)
        counts += np.bincount(places, minlength=_LEVELS + 1)
    return {f"{low + place * step:g}": int(counts[place]) for place in np.flatnonzero(counts)}

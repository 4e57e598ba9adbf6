"""Data sets of the quality benchmarks, each divided into train, validation and test rows.

A data set is a function here that returns the inputs of `ingest`, with its entry in `DATA`. FOLDER holds
`movielens-1m` and `movielens-latest-small` (the project ships no research data). Everywhere a tenth of the
rows not for testing are for validation, drawn by ingest.

    python benchmarks/data_sets.py FOLDER WORK [data set …]

writes the Interactions and the Vocabulary of each into a directory of its name below WORK.
"""

import argparse
import gzip
import zlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from components.ingest.step import ingest
from components.sample.step import sample
from components.vocabulary.interactions import Interactions
from components.vocabulary.step import vocabulary

Array = npt.NDArray[Any]

# The generator of the drawn data sets starts from it.
_SEED = 7
_PARTS = {"ratings": "train.csv.gz", "test_ratings": "test.csv.gz"}


def movielens_1m(folder: Path, place: Path) -> dict[str, str]:
    """Names the files of the published split."""
    data = folder / "movielens-1m"
    return {argument: str(data / name) for argument, name in {**_PARTS, "movies": "movies.csv"}.items()}


def tenth(folder: Path, place: Path) -> dict[str, str]:
    """Writes the rows of the users whose id has a CRC in the lowest tenth."""
    header, rows = _whole_movielens_1m(folder)
    chosen = [row for row in rows if zlib.crc32(row.split(",")[0].encode()) % 10 == 0]
    return _written(folder, place, {"ratings": [header, *chosen]})


def thinned(folder: Path, place: Path, percent: int) -> dict[str, str]:
    """Writes so many percent of both parts of the published split, the train part drawn first."""
    random = np.random.default_rng(_SEED)
    parts = {}
    for argument, name in _PARTS.items():
        header, *rows = _lines(folder / "movielens-1m" / name)
        kept = random.random(len(rows)) < percent / 100
        parts[argument] = [header, *(rows[row] for row in np.flatnonzero(kept))]
    return _written(folder, place, parts)


def like_100k(folder: Path, place: Path) -> dict[str, str]:
    """Writes 100,000 rows of 943 users, as many as MovieLens 100K has."""
    header, rows = _whole_movielens_1m(folder)
    kept = draw_rows(np.array([int(row.split(",")[0]) for row in rows]), users=943, rows=100_000)
    return _written(folder, place, {"ratings": [header, *(rows[row] for row in kept)]})


def draw_rows(owners: Array, users: int, rows: int) -> Array:
    """Draws `users` of the users, then `rows` of their rows, int64 [rows] ascending; `owners` is int [n]."""
    random = np.random.default_rng(_SEED)
    chosen = random.choice(np.unique(owners), users, replace=False)
    return np.sort(random.choice(np.flatnonzero(np.isin(owners, chosen)), rows, replace=False))


def latest_small(folder: Path, place: Path) -> dict[str, str]:
    """Names the files."""
    data = folder / "movielens-latest-small"
    return {"ratings": str(data / "ratings.csv.gz"), "movies": str(data / "movies.csv")}


def generated(folder: Path, place: Path) -> dict[str, str]:
    """Writes a sample, which is the same on every machine."""
    sample(output=str(place / "sample"), users=500, movies=400, ratings=20_000)
    return {name: str(place / "sample" / f"{name}.csv") for name in ("ratings", "movies")}


class DataSet(NamedTuple):
    """A data set by its files."""

    files: Callable[[Path, Path], dict[str, str]]  # makes what it needs in the second folder from the first
    rows: str  # which they are, and how they are divided


_RANDOM = "split at random by ingest, 10% test, seed 42"
_PUBLISHED = "MovieLens 1M's published split"

DATA = {
    "movielens-1m": DataSet(movielens_1m, _PUBLISHED),
    "tenth": DataSet(tenth, f"the users of MovieLens 1M with a CRC in the lowest tenth, {_RANDOM}"),
    **{
        f"thinned-{percent}": DataSet(
            partial(thinned, percent=percent),
            f"{_PUBLISHED}, {percent}% of both parts drawn row by row, seed {_SEED}",
        )
        for percent in (3, 5, 10)
    },
    "100k-like": DataSet(
        like_100k, f"943 users of MovieLens 1M, then 100,000 of their rows, drawn by seed {_SEED}, {_RANDOM}"
    ),
    "latest-small": DataSet(latest_small, f"MovieLens latest-small, half stars, {_RANDOM}"),
    "sample": DataSet(generated, f"500 users, 400 movies, 20,000 ratings of `twotower sample`, {_RANDOM}"),
}


class Encoded(NamedTuple):
    """Directories of a data set that was ingested and numbered with the steps' defaults."""

    interactions: str
    vocabulary: str


def encode(name: str, folder: Path, place: Path) -> Encoded:
    """Makes the data set `name` from the files in `folder`, below `place`."""
    dataset, words, numbers = (str(place / part) for part in ("dataset", "vocabulary", "interactions"))
    files: dict[str, Any] = {**DATA[name].files(folder, place)}
    ingest(output=dataset, **files)
    vocabulary(dataset=dataset, vocabulary_output=words, output=numbers)
    return Encoded(numbers, words)


def checksum(interactions: Interactions) -> str:
    """Identifies the rows of all splits."""
    found = 0
    for name in ("train", "validation", "test"):
        for array in interactions.split(name).arrays:
            found = zlib.crc32(np.ascontiguousarray(array).data, found)
    return f"{found:08x}"


def _lines(file: Path) -> list[str]:
    with gzip.open(file, "rt") as source:
        return source.readlines()


def _whole_movielens_1m(folder: Path) -> tuple[str, list[str]]:
    """Returns the header, User_ID first, and the rows of the train part, then of the test part."""
    (header, *rows), (_, *more) = (_lines(folder / "movielens-1m" / name) for name in _PARTS.values())
    return header, rows + more


def _written(folder: Path, place: Path, parts: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Writes the lines of each part below `place`, and returns the inputs of `ingest`."""
    for argument, lines in parts.items():
        (place / f"{argument}.csv").write_text("".join(lines))
    files = {argument: str(place / f"{argument}.csv") for argument in parts}
    return {**files, "movies": str(folder / "movielens-1m" / "movies.csv")}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("names", nargs="*", default=list(DATA), metavar="data set")
    arguments = parser.parse_args()
    for name in arguments.names:
        place = arguments.work / name
        place.mkdir(parents=True, exist_ok=True)
        encode(name, arguments.folder, place)


if __name__ == "__main__":
    main()

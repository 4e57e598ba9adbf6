"""Files of the Netflix Prize's shape and layout, at any size, with ratings and dates drawn at random.

python benchmarks/prize_files.py FOLDER [--rows 100480507]
"""

import argparse
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

USERS, MOVIES, RATINGS = 480_189, 17_770, 100_480_507
# The last movie of each of the original's four files.
_FILES = (4_499, 9_210, 13_367, 17_770)
_FIRST_DAY, _LAST_DAY = np.datetime64("1999-11-11"), np.datetime64("2005-12-31")
_SHARES_OF_STARS = (0.046, 0.101, 0.287, 0.336, 0.230)
# Activity of the users: log-normal, in a table in which each stands as often as it is likely.
_SPREAD, _PLACES_A_USER = 1.2, 16

_DATA = Path(os.environ.get("TWOTOWER_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
_COUNTS = _DATA / "netflix-original-format" / "ratings_per_movie.txt"


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=RATINGS)
    arguments = parser.parse_args()
    write(arguments.folder, arguments.rows)


def write(folder: Path, rows: int) -> None:
    """Writes combined_data_1.txt to combined_data_4.txt and movie_titles.csv.

    With fewer rows than the original has, users and the ratings of each movie are fewer in proportion.
    """
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(42)
    counts = np.diff(np.round(np.cumsum(ratings_per_movie()) * (rows / RATINGS)), prepend=0).astype(np.int64)
    likely = _likely_users(random, max(1000, round(USERS * rows / RATINGS)))
    for number, (before, last) in enumerate(itertools.pairwise((0, *_FILES)), start=1):
        with (folder / f"combined_data_{number}.txt").open("wb") as file:
            for movie in range(before + 1, last + 1):
                if counts[movie - 1]:
                    _write_movie(file, random, movie, int(counts[movie - 1]), likely)
    _write_titles(folder / "movie_titles.csv")


def ratings_per_movie() -> npt.NDArray[np.float64]:
    """How many ratings each movie has: the true counts where they are at hand, else a power of the rank."""
    if _COUNTS.is_file():
        movies, counts = np.loadtxt(_COUNTS, delimiter=",", dtype=np.int64, unpack=True)
        in_order: npt.NDArray[np.float64] = counts[np.argsort(movies)].astype(np.float64)
        return in_order
    popularity = (np.arange(MOVIES) + 150.0) ** -1.6
    return np.asarray(np.random.default_rng(0).permutation(popularity) / popularity.sum() * RATINGS)


def _likely_users(random: np.random.Generator, users: int) -> npt.NDArray[np.int32]:
    activity = random.lognormal(sigma=_SPREAD, size=users)
    places = np.maximum(1, np.round(activity / activity.mean() * _PLACES_A_USER)).astype(np.int64)
    ids = np.sort(random.permutation(users * 6)[:users] + 1).astype(np.int32)
    return np.repeat(ids, places)


def _write_movie(
    file: Any, random: np.random.Generator, movie: int, count: int, likely: npt.NDArray[np.int32]
) -> None:
    import pyarrow as pa
    from pyarrow import csv

    users = np.empty(0, np.int32)
    while len(users) < count:
        drawn = likely[random.integers(len(likely), size=count + count // 4 + 8)]
        users = np.union1d(users, drawn)
    days = random.integers(0, (_LAST_DAY - _FIRST_DAY).astype(int) + 1, count)
    table = {
        "user": random.permutation(users)[:count],
        "stars": random.choice(np.arange(1, 6, dtype=np.int8), count, p=_SHARES_OF_STARS),
        "date": _FIRST_DAY + days,
    }
    file.write(f"{movie}:\n".encode())
    csv.write_csv(pa.table(table), file, csv.WriteOptions(include_header=False))


def _write_titles(file: Path) -> None:
    """Latin-1, no quotes around commas, NULL for an unknown year: as the original has it."""
    lines = (
        f"{movie},{'NULL' if movie % 2500 == 0 else 1960 + movie % 46},Café Nº {movie}, Part {movie % 7}\n"
        for movie in range(1, MOVIES + 1)
    )
    file.write_bytes("".join(lines).encode("latin-1"))


if __name__ == "__main__":
    main()

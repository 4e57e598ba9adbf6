"""Ratings of a generated world in parts of Parquet, drawn block by block within a bound of memory."""

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.progress import Progress
from components.sample.world import create, draw_user_ids, rate_by_user, write_movies

PARTS_DIRECTORY = "ratings"
# Ratings that are drawn at a time; each takes some 300 bytes meanwhile.
_BLOCK = 1_000_000

# Draws the ratings of a block: users, movies and stars.
Draw = Callable[[int], tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]]


def write_parts(
    directory: Path, users: int, movies: int, ratings: int, rated_movies: int, seed: int, parts: int
) -> None:
    """Writes ratings/part-….parquet (User_ID, Rating, Movie_ID, sorted by user) and movies.csv.

    Each block of users has a generator of random numbers of its own: so the seed alone decides the rows,
    whatever the number of parts, and parts that are already there need not be drawn again.
    """
    random = np.random.default_rng(seed)
    world = create(random, users, movies, rated_movies, ratings)
    user_ids = draw_user_ids(random, users)
    write_movies(random, directory, world)
    before = np.cumsum(world.activity) - world.activity
    # A block is the users whose first ratings fall into the same million.
    starts = np.flatnonzero(np.diff(before // _BLOCK, prepend=-1))
    stops = np.append(starts[1:], users)

    @lru_cache(maxsize=1)  # a block may end one part and begin the next
    def draw(block: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        return rate_by_user(
            np.random.default_rng([seed, block]), world, int(starts[block]), int(stops[block])
        )

    (directory / PARTS_DIRECTORY).mkdir(exist_ok=True)
    bounds = [part * ratings // parts for part in range(parts + 1)]
    with Progress("sample", total=ratings, unit="ratings") as progress:
        for part, (first, last) in enumerate(pairwise(bounds)):
            file = directory / PARTS_DIRECTORY / f"part-{part:05}-of-{parts:05}.parquet"
            if file.exists():
                progress.advance(last - first)
            else:
                _write_part(file, _pieces(draw, before[starts], first, last), user_ids, progress)


def _pieces(draw: Draw, begins: npt.NDArray[np.int64], first: int, last: int) -> Iterator[Any]:
    """Yields the rows from `first` up to `last`, block by block; `begins` is the first row of each block."""
    block = int(np.searchsorted(begins, first, side="right")) - 1
    while block < len(begins) and begins[block] < last:
        wanted = slice(max(first - int(begins[block]), 0), last - int(begins[block]))
        yield tuple(column[wanted] for column in draw(block))
        block += 1


def _write_part(
    file: Path, pieces: Iterator[Any], user_ids: npt.NDArray[np.int32], progress: Progress
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("User_ID", pa.int32()), ("Rating", pa.int8()), ("Movie_ID", pa.int32())])
    staging = file.with_name(f".{file.name}")  # hidden: no reader takes it for a part
    with pq.ParquetWriter(staging, schema, compression="zstd") as writer:
        for user, movie, stars in pieces:
            writer.write_table(pa.table([user_ids[user], stars, movie + np.int32(1)], schema=schema))
            progress.advance(len(stars))
    staging.replace(file)

"""Files that earlier releases took give the same rows, splits and catalogue as then."""

import gzip
import hashlib
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ratings_files import MOVIES, Dataset, Row, full, ingest_text, netflix

from components.ingest.dataset import SPLITS

SECONDS = 1_100_000_000


def table(header: str, delimiter: str, rows: list[Row], time: str = "") -> str:
    """Rows in the order user, movie, rating and, if given, time; `{}` in it is the place of the row."""
    lines = [[user, movie, f"{rating:g}"] for user, rating, movie in rows]
    if time:
        lines = [[*line, time.format(SECONDS + place * 7919)] for place, line in enumerate(lines)]
    return header + "".join(delimiter.join(line) + "\n" for line in lines)


def scaled(factor: float, shift: float = 0) -> list[Row]:
    return [(user, rating * factor + shift, movie) for user, rating, movie in full()]


def prize() -> str:
    movies = sorted({movie for _, _, movie in full()})
    return "".join(
        f"{movie}:\n" + "".join(f"{user},{rating},2004-11-09\n" for user, rating, of in full() if of == movie)
        for movie in movies
    )


def parquet() -> bytes:
    stream = io.BytesIO()
    columns = {
        "userId": [user for user, _, _ in full()],
        "movieId": [movie for _, _, movie in full()],
        "rating": [float(rating) for _, rating, _ in full()],
        "timestamp": pa.array([SECONDS + place for place in range(len(full()))], pa.timestamp("s")),
    }
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


NETFLIX = netflix(full())
DATED = table("user,item,rating,date\n", ",", full(), "2004-11-09")
HEADER = "userId,movieId,rating,timestamp\n"
# Three copies of the same rows, where the last one counts.
REPEATED = netflix([*full(), *[(user, 6 - rating, movie) for user, rating, movie in full()]])
ITEMS = "".join(f"{movie}|Film {movie} (1990)|01-Jan-1990||x{'|0' * 5}|1{'|0' * 13}\n" for movie in range(20))
DAT = "".join(f"{movie}::Café {movie} (1990)::Drama|Comedy\n" for movie in range(20))
PRIZE_TITLES = "".join(f"{movie},NULL,One, Two and {movie}\n" for movie in range(20))
NUMBERED = [(user, rating, movie[1:]) for user, rating, movie in full()]
GENRES = "movieId,title,genres\n" + "".join(
    f'm{movie},"Film, The {movie} (1987)",Drama|Sci-Fi\n' for movie in range(20)
)
BROKEN = NETFLIX + 'u1,x,m1\nu2,,m2\n\n,3,m1\nu3,3\nu4,3,"m5\nu5,9,m1\nu6,3,m99\n'

# Name -> ratings, movie table (None: without one), flags, and the digest of what was made of them.
CASES: dict[str, tuple[str | bytes, str | bytes | None, dict[str, Any], str]] = {
    "netflix": (NETFLIX, MOVIES, {}, "6dc95e2484ba9fb7"),
    "netflix without movies": (NETFLIX, None, {}, "04c12344ed626e51"),
    "netflix prize": (prize(), MOVIES, {}, "663931a4cc1e85aa"),
    "movielens": (table(HEADER, ",", scaled(1, -0.5), "{}"), GENRES, {}, "be5db3edde063629"),
    "movielens 1m": (table("", "::", NUMBERED, "{}"), DAT.encode("latin-1"), {}, "a02d1798cef98da9"),
    "movielens 100k": (table("", "\t", full(), "{}"), None, {}, "97d07f55e17e61e8"),
    "u.item": (netflix(NUMBERED), ITEMS, {"seed": 7}, "1c11c2776042163f"),
    "dates": (DATED, MOVIES, {}, "663931a4cc1e85aa"),
    "dates, by time": (DATED, MOVIES, {"split": "time"}, "aaa3406842bd5d80"),
    "seconds, by time": (table(HEADER, ",", full(), "{}"), MOVIES, {"split": "time"}, "c3b465b56bc5ba44"),
    "seconds, last out": (
        table(HEADER, ",", full(), "{}"),
        MOVIES,
        {"split": "leave-last-out"},
        "d1299017f46f1ea1",
    ),
    "date and time": (
        table("user;item;stars;time\n", ";", full(), "2004-11-09 11:33:20"),
        MOVIES,
        {},
        "c9a67cd2d0942b1d",
    ),
    "ten points": (table("user,item,score\n", ",", scaled(2)), MOVIES, {}, "4266797f3758b59b"),
    "hundred points": (table("user|item|score\n", "|", scaled(20)), MOVIES, {}, "72bab3b168b61b19"),
    "below zero": (table("user\titem\tscore\n", "\t", scaled(2, -6)), MOVIES, {}, "6e1b443232a08bc1"),
    "zeros and ones": (
        table("user,item,rating\n", ",", scaled(0.25, -0.25)),
        MOVIES,
        {"rating_scale": "0,1"},
        "0fdd971cb36bf84c",
    ),
    "columns by number": (
        table("", ",", full(), "{}"),
        MOVIES,
        {"columns": "user=1,movie=2,rating=3,time=4"},
        "ea5992cbcddbb02b",
    ),
    "columns by name": (
        table("who|what|how\n", "|", full()),
        MOVIES,
        {"columns": "user=who,movie=what,rating=how"},
        "6dc95e2484ba9fb7",
    ),
    "parquet": (parquet(), MOVIES, {}, "15eb3edcf0a293f2"),
    "gzip": (gzip.compress(NETFLIX.encode(), mtime=0), MOVIES, {}, "6dc95e2484ba9fb7"),
    "crlf and quotes": (
        NETFLIX.replace("u1,", '"u1",').replace("\n", "\r\n"),
        MOVIES,
        {},
        "6dc95e2484ba9fb7",
    ),
    "repeated": (REPEATED, MOVIES, {}, "ba256f368bedc03d"),
    "broken rows": (BROKEN, MOVIES, {"max_reject_rate": 1.0}, "6b05f13a01068bdf"),
    "prize titles": (netflix(NUMBERED), PRIZE_TITLES, {}, "2e42422e81c69e93"),
}


def digest(dataset: Dataset) -> str:
    """Digest of the rows of each split in their order, the catalogue, the scale and the rejects."""
    content = hashlib.sha256()
    for name in SPLITS:
        content.update(repr(dataset.split(name)).encode())
    movies = [[row[name] for name in ("movie_id", "title", "year", "genres")] for row in dataset.movies]
    content.update(repr((movies, dataset.statistics["rating_scale"], dataset.reasons())).encode())
    return content.hexdigest()[:16]


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_what_it_gave(tmp_path: Path, name: str) -> None:
    ratings, movies, flags, expected = CASES[name]
    assert digest(ingest_text(tmp_path, ratings, movies, name="file", **flags)) == expected

"""Good ratings files in every layout, and what can go wrong with them on the way."""

import csv
import gzip
import io
import random
import re
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from ratings_files import MOVIE_IDS, full, netflix

from components.ingest.layouts import PARQUET

TIME = 1_100_000_000


class Line(NamedTuple):
    """What an independent reader finds in one line that is kept."""

    user: str
    movie: str
    rating: float


@dataclass(frozen=True)
class TextLayout:
    """A layout of text files.

    Attributes:
      text: a good file in it.
      delimiter: what stands between two fields.
      order: places of user, movie and rating among the fields; no movie where lines `MOVIE:` name it.
      header: whether the first line names the columns.
      flags: those of `ingest` that it needs.
      unused: place of the field that is not read; None if all are.
    """

    text: str
    delimiter: str
    order: tuple[int, int | None, int]
    header: bool
    flags: dict[str, str]
    unused: int | None = None

    def fields(self, line: str) -> list[str]:
        """The fields of a line. Raises `csv.Error` or `StopIteration` if it has none."""
        if self.delimiter == "::":
            return line.split("::")
        return next(csv.reader([line], delimiter=self.delimiter))

    def first_rating(self) -> int:
        """The first line, from 1, that may be a rating."""
        return 2 if self.header else 1

    def is_movie_line(self, line: bytes) -> bool:
        """Whether a line names the movie of those below it."""
        return self.order[1] is None and line.endswith(b":") and b"," not in line


def layouts(users: int) -> dict[str, TextLayout]:
    """Every text layout that is known, with the ratings of `users` users."""
    rows = full(users)
    plain = [f"{user}|{movie}|{rating}|{TIME}" for user, rating, movie in rows]
    prize = "".join(
        f"{movie}:\n" + "".join(f"{user},{rating},2004-11-09\n" for user, rating, of in rows if of == movie)
        for movie in MOVIE_IDS
    )

    def table(header: str, delimiter: str, lines: list[str]) -> str:
        return "\n".join(
            [*([header] if header else []), *(line.replace("|", delimiter) for line in lines), ""]
        )

    quoted = [f'"a;b";"{user}";"{movie}";{rating};"2004-11-09 11:33:20"' for user, rating, movie in rows]
    named = {"columns": "user=who,movie=what,rating=how"}
    return {
        "netflix": TextLayout(netflix(rows), ",", (0, 2, 1), True, {}),
        "netflix-prize": TextLayout(prize, ",", (0, None, 1), False, {}),
        "movielens": TextLayout(
            table("userId,movieId,rating,timestamp", ",", plain), ",", (0, 1, 2), True, {}
        ),
        "movielens-dat": TextLayout(table("", "::", plain), "::", (0, 1, 2), False, {}),
        "movielens-tab": TextLayout(table("", "\t", plain), "\t", (0, 1, 2), False, {}),
        "csv": TextLayout(table("x;user;item;stars;date", ";", quoted), ";", (1, 2, 3), True, {}, 0),
        "tsv": TextLayout(table("user\tmovie\trating\ttime", "\t", plain), "\t", (0, 1, 2), True, {}),
        "columns": TextLayout(table("who|what|how|when", "|", plain), "|", (0, 1, 2), True, named, 3),
    }


def parquet(users: int) -> bytes:
    """The same ratings as a Parquet file."""
    rows, stream = full(users), io.BytesIO()
    columns = {
        "userId": [user for user, _, _ in rows],
        "movieId": [movie for _, _, movie in rows],
        "rating": [float(rating) for _, rating, _ in rows],
    }
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


LAYOUTS = (*layouts(1), PARQUET)

_PIECES = [
    b"", b"\n", b"\r\n", b"\r", b",", b",,", b'"', b'""', b'"a,b"', b" ", b"\t", b"::", b":", b";", b"|",
    b"\\", b"'", b"NULL", b"nan", b"-1", b"5e0", b"0x5", b"1_0", b"9" * 20, b"\xff", b"\xc3\x28",
    "é".encode(), b"\x0b", b"\0", b"\x01", b"$1", "\u2028".encode(), "\ufeff".encode(),
    "\U0010ffff".encode(), b"m1:\n", b"User_ID,Rating,Movie_ID\n", b"x" * 5000, b"'; DROP TABLE rows; --",
]  # fmt: skip
_ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "latin-1", "cp1252", "cp037")


def damage(data: bytes, random_: random.Random) -> bytes:
    """`data` with faults put in, bits flipped, lines shuffled, its end cut off, or in another encoding."""
    kind = random_.choice(["pieces", "flips", "cut", "lines", "encoding", "all"])
    if kind == "encoding":
        text = data.replace(b"u1", "ü1".encode()).decode()
        return text.encode(random_.choice(_ENCODINGS))
    changed = bytearray(data)
    if kind in ("pieces", "all"):
        for _ in range(random_.randint(1, 8)):
            place = random_.randrange(len(changed))
            changed[place : place + random_.choice([0, 0, 3])] = random_.choice(_PIECES)
    if kind in ("flips", "all"):
        flip(changed, random_)
    if kind == "lines":
        lines = changed.split(b"\n")
        random_.shuffle(lines)
        changed = bytearray(b"\n".join(lines + lines[:5]))
    if kind in ("cut", "all"):
        del changed[random_.randrange(len(changed)) :]
    return bytes(changed)


def flip(data: bytearray, random_: random.Random) -> None:
    """Flips a few bits."""
    for _ in range(random_.randint(1, 8)):
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)


def pack(data: bytes, packing: str) -> bytes:
    """`data` as it is, or compressed."""
    if packing == "gzip":
        return gzip.compress(data, mtime=0)
    return pa.compress(data, codec="zstd", asbytes=True) if packing == "zstd" else data


def split_lines(data: bytes) -> list[bytes]:
    """The lines of a text, whatever ends them."""
    return re.split(rb"\r\n|\r|\n", data)

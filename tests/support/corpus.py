"""Small files of the kinds that people have, each with what `twotower describe --json` says of it.

A kind is an entry of a table: add one there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from ratings_files import parquet

USERS, MOVIES = 20, 20
SECONDS = 1_100_000_000
ROWS = USERS * MOVIES


@dataclass(frozen=True)
class Kind:
    """A kind of files.

    Attributes:
      ratings: content of the ratings file, or of the files in a directory by their names.
      movies: content of the movie table; None for none.
      flags: further words of the command line.
      says: fields of the answer, and the values that they have.
      error: what the line says with which the file is refused at once; "" if it is read.
      refusal: what the field `refusal` says; "" if it is null.
      notice: what one of the `notices` says; "" if there are none.
    """

    ratings: str | bytes | Mapping[str, bytes]
    movies: str | bytes | None = None
    flags: Sequence[str] = ()
    says: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    refusal: str = ""
    notice: str = ""


def rating(user: int, movie: int) -> int:
    """The rating from 1 to 5 that a user gives to a movie."""
    return (user + movie) % 5 + 1


def rows(
    line: str | Callable[[int, int, int], str], header: str = "", count: int = ROWS, end: str = "\n"
) -> str:
    """A file in which each user rates each movie: `line` has the fields {u}, {m}, {r}, {t} and {n}."""
    pairs = [(user, movie) for user in range(USERS) for movie in range(MOVIES)][:count]
    made = []
    for place, (user, movie) in enumerate(pairs):
        if callable(line):
            made.append(line(user, movie, place))
        else:
            made.append(
                line.format(u=user, m=movie, r=rating(user, movie), t=SECONDS + place * 86_400, n=place)
            )
    return "".join(part + end for part in ([header] if header else []) + made)


def catalogue(line: str = "{m},{y},Movie {m}", header: str = "Movie_ID,Year,Name", end: str = "\n") -> str:
    """A movie table, of which `line` has the fields {m} and {y}."""
    lines = [line.format(m=movie, y=1980 + movie) for movie in range(MOVIES)]
    return "".join(part + end for part in ([header] if header else []) + lines)


def replaced(text: str, old: str, new: str) -> str:
    """`text` with the first `old`, which it has, replaced."""
    assert old in text
    return text.replace(old, new, 1)


def rejected(**reasons: int) -> dict[str, Any]:
    """The counts where rows are rejected for these reasons, of ROWS that are read."""
    counts = {reason.replace("_", " "): rows for reason, rows in reasons.items()}
    return {
        "rows_read": ROWS,
        "rows_kept": ROWS - sum(counts.values()),
        "rows_rejected": sum(counts.values()),
        "rejected_by_reason": counts,
    }


def scaled(line: Callable[[int, int], float], header: str = "user,movie,rating") -> str:
    """A table of ratings that `line` computes from the rating from 1 to 5 and the place."""
    return rows(lambda user, movie, place: f"{user},{movie},{line(rating(user, movie), place):g}", header)


WHOLE: dict[str, Any] = rejected() | {"users": USERS, "movies_rated": MOVIES}
TIMED = WHOLE | {"time_span": [SECONDS, SECONDS + (ROWS - 1) * 86_400]}
LOOSE = ("--max-reject-rate", "1")
NETFLIX = rows("{u},{r},{m}", "User_ID,Rating,Movie_ID")
TABLE = rows("{u},{m},{r},{t}", "user,movie,rating,time")


def timed(time: str | Iterable[str]) -> str:
    """A table in which every row, or each in turn, has that time."""
    times = [time] if isinstance(time, str) else list(time)
    return rows(
        lambda user, movie, place: f"{user};{movie};{rating(user, movie)};{times[place % len(times)]}",
        "user;movie;rating;time",
    )


def at(second: int) -> dict[str, Any]:
    """The answer where each row is of that second."""
    return WHOLE | {"time_span": [second, second]}


HALF = ROWS // 2
# Of the times of two kinds in turn, one is not understood.
HALF_UNREAD = rejected(time_not_understood=HALF)

LAYOUTS: dict[str, Kind] = {
    "netflix": Kind(NETFLIX, catalogue(), says=WHOLE | {"rating_scale": [1.0, 5.0], "movies": MOVIES}),
    "movielens": Kind(rows("{u},{m},{r},{t}", "userId,movieId,rating,timestamp"), says=TIMED),
    "double colons": Kind(rows("{u}::{m}::{r}::{t}"), says=TIMED),
    "tabs without a header": Kind(rows("{u}\t{m}\t{r}\t{t}"), says=TIMED),
    "semicolons": Kind(rows("{u};{m};{r};{t}", "user;movie;rating;time"), says=TIMED),
    "bars": Kind(rows("{u}|{m}|{r}|{t}", "user|movie|rating|time"), says=TIMED),
    "windows line ends": Kind(rows("{u},{r},{m}", "User_ID,Rating,Movie_ID", end="\r\n"), says=WHOLE),
    "old mac line ends": Kind(rows("{u},{r},{m}", "User_ID,Rating,Movie_ID", end="\r"), says=WHOLE),
    "byte order mark": Kind("\ufeff" + NETFLIX, says=WHOLE),
    "all in quotes": Kind(rows('"{u}","{r}","{m}"', '"User_ID","Rating","Movie_ID"'), says=WHOLE),
    "blank lines": Kind(NETFLIX.replace("\n", "\n\n"), says=WHOLE),
    "no line end at the end": Kind(NETFLIX.rstrip("\n"), says=WHOLE),
    "columns that are not used": Kind(rows("{n},{u},x,{m},{r}", "row,user,comment,movie,rating"), says=WHOLE),
    "columns by number": Kind(
        rows("{r},{m},{u}"), flags=("--columns", "user=3,movie=2,rating=1"), says=WHOLE
    ),
    "utf-16": Kind(NETFLIX.encode("utf-16"), error="is not UTF-8 text"),
    "empty": Kind("", error="is empty"),
    "a header alone": Kind("User_ID,Rating,Movie_ID\n", error="has a header but no rows"),
}

TIMES: dict[str, Kind] = {
    "dates": Kind(timed("2004-11-09"), says=at(1_099_958_400)),
    "dates with slashes": Kind(timed("2004/11/09"), says=at(1_099_958_400)),
    "dates of eight digits": Kind(timed("20041109"), says=at(1_099_958_400)),
    "a date of eight digits that looks like an epoch": Kind(timed("20200101"), says=at(1_577_836_800)),
    "date and time": Kind(timed("2004-11-09 11:33:20"), says=at(SECONDS)),
    "iso 8601": Kind(timed("2004-11-09T11:33:20Z"), says=at(SECONDS)),
    "fractions of a second": Kind(timed("2004-11-09 11:33:20.123456789"), says=at(SECONDS)),
    "zone by hours": Kind(timed("2004-11-09 13:33:20+02"), says=at(SECONDS)),
    "zone by hours and minutes": Kind(timed("2004-11-09 06:33:20-0500"), says=at(SECONDS)),
    "zone behind a space": Kind(timed("2004-11-09 17:03:20 +05:30"), says=at(SECONDS)),
    "zone by name": Kind(timed("2004-11-09 03:33:20 PST"), says=at(SECONDS)),
    "afternoon": Kind(timed("2004-11-09 01:30:00 PM"), says=at(1_100_007_000)),
    "midnight": Kind(timed("2004-11-09 12:00:00 AM"), says=at(1_099_958_400)),
    "a word behind the time": Kind(
        timed(["2004-11-09 11:33:20 banana", "2004-11-09"]), flags=LOOSE, says=HALF_UNREAD
    ),
    "no such zone": Kind(timed(["2004-11-09 11:33:20 XYZ", "2004-11-09"]), flags=LOOSE, says=HALF_UNREAD),
    "american dates": Kind(timed(["11/09/2004", "2004-11-09"]), flags=LOOSE, says=HALF_UNREAD),
    "american dates, named": Kind(
        timed("11/09/2004"), flags=("--time-format", "%m/%d/%Y"), says=at(1_099_958_400)
    ),
    "european dates, named": Kind(
        timed("09.11.2004 11:33"), flags=("--time-format", "%d.%m.%Y %H:%M"), says=at(1_099_999_980)
    ),
    "a form that is none": Kind(
        timed("2004-11-09"), flags=("--time-format", "%Q"), error="--time-format %Q is not understood"
    ),
    "seconds": Kind(timed(f"{SECONDS}"), says=at(SECONDS)),
    "milliseconds": Kind(timed(f"{SECONDS}000"), says=at(SECONDS)),
    "microseconds": Kind(timed(f"{SECONDS}000000"), says=at(SECONDS)),
    "seconds with a fraction": Kind(timed(f"{SECONDS}.0"), says=at(SECONDS)),
    "two units": Kind(
        timed([f"{SECONDS}", f"{SECONDS}000"]),
        error="1100000000 in line 2 is in seconds, 1100000000000 in line 3 is in milliseconds",
    ),
    "epochs and dates of eight digits": Kind(
        timed([f"{SECONDS}", "20041109"]), error="20041109 in line 3 is a date"
    ),
    "no times in some rows": Kind(timed([f"{SECONDS}", ""]), says=at(SECONDS)),
}


def typed(time: int | str, kind: pa.DataType) -> bytes:
    """The same ratings as a Parquet file, in which every row has that time, of that type."""
    places = [(user, movie) for user in range(USERS) for movie in range(MOVIES)]
    return parquet(
        {
            "user": [user for user, _ in places],
            "movie": [movie for _, movie in places],
            "rating": [float(rating(user, movie)) for user, movie in places],
            "time": pa.array([time] * ROWS, kind),
        }
    )


TYPES: dict[str, Kind] = {
    "parquet, seconds": Kind(typed(SECONDS, pa.int64()), says=at(SECONDS)),
    "parquet, milliseconds": Kind(typed(SECONDS * 1000, pa.int64()), says=at(SECONDS)),
    "parquet, dates": Kind(typed(12_731, pa.date32()), says=at(1_099_958_400)),
    "parquet, timestamps": Kind(typed(SECONDS * 1000, pa.timestamp("ms")), says=at(SECONDS)),
    "parquet, timestamps with a zone": Kind(typed(SECONDS, pa.timestamp("s", tz="+02:00")), says=at(SECONDS)),
    "parquet, texts": Kind(typed("2004-11-09 11:33:20+00", pa.string()), says=at(SECONDS)),
    "parquet, timestamps and a form of texts": Kind(
        typed(SECONDS, pa.timestamp("s")), flags=("--time-format", "%d.%m.%Y"), says=at(SECONDS)
    ),
}

IDS: dict[str, Kind] = {
    "users that are missing": Kind(
        rows(
            lambda user, movie, place: f"{'NULL' if place < 3 else user},3,{movie}", "User_ID,Rating,Movie_ID"
        ),
        flags=LOOSE,
        says=rejected(no_user=3),
    ),
    "movies that are missing": Kind(
        rows(
            lambda user, movie, place: f"{user},3,{'NaN' if place < 3 else movie}", "User_ID,Rating,Movie_ID"
        ),
        flags=LOOSE,
        says=rejected(no_movie=3),
    ),
    "NULL as an id": Kind(
        rows(lambda user, movie, _: f"{user or 'NULL'},3,{movie}", "User_ID,Rating,Movie_ID"),
        flags=("--missing-ids", ""),
        says=WHOLE,
    ),
    "NULL as a name in other letters": Kind(
        rows(lambda user, movie, _: f"{user or 'null'},3,{movie}", "User_ID,Rating,Movie_ID"), says=WHOLE
    ),
    "zeros before ids": Kind(
        rows("{u},{r},{m:06}", "User_ID,Rating,Movie_ID"),
        catalogue(),
        says=rejected(unknown_movie=ROWS) | {"users": 0, "movies_rated": 0},
        refusal="400 of these rows would match if ids were whole numbers; add --id-type int",
    ),
    "zeros before ids, as numbers": Kind(
        rows("{u}.0,{r},{m:06}", "User_ID,Rating,Movie_ID"),
        catalogue(),
        flags=("--id-type", "int"),
        says=WHOLE,
    ),
    "ids of another table": Kind(
        rows("{u},{r},tt{m}", "User_ID,Rating,Movie_ID"),
        catalogue(),
        says={"rows_kept": 0},
        refusal="the ids of .* are like '0'",
    ),
}

SCALES: dict[str, Kind] = {
    "two to ten, netflix": Kind(
        rows(lambda u, m, _: f"{u},{2 * rating(u, m)},{m}", "User_ID,Rating,Movie_ID"),
        says=WHOLE | {"rating_scale": [1.0, 10.0]},
    ),
    "zero to ten, movielens": Kind(
        scaled(lambda r, _: 2.5 * (r - 1), "userId,movieId,rating"),
        says=WHOLE | {"rating_scale": [0.0, 10.0]},
        notice="--not-rated 0",
    ),
    "half stars, netflix": Kind(
        rows(lambda u, m, _: f"{u},{rating(u, m) - 0.5},{m}", "User_ID,Rating,Movie_ID"),
        says=WHOLE | {"rating_scale": [0.5, 5.0]},
    ),
    "below zero, movielens": Kind(
        scaled(lambda r, _: 5 * r - 15, "userId,movieId,rating"), says=WHOLE | {"rating_scale": [-10.0, 10.0]}
    ),
    "whole stars, movielens": Kind(
        scaled(lambda r, _: r, "userId,movieId,rating"), says=WHOLE | {"rating_scale": [0.5, 5.0]}
    ),
    "hundred points": Kind(scaled(lambda r, _: 20 * r), says=WHOLE | {"rating_scale": [0.0, 100.0]}),
    "thumbs": Kind(
        scaled(lambda r, _: r % 2),
        says=WHOLE | {"rating_scale": [0.0, 1.0]},
        notice="likes or purchases, add --feedback implicit",
    ),
    "two mistakes": Kind(
        scaled(lambda r, place: 9 if place < 2 else r, "userId,movieId,rating"),
        says=rejected(rating_off_the_scale=2) | {"rating_scale": [0.5, 5.0]},
    ),
    "off a scale that is named": Kind(
        scaled(lambda r, place: 9 if place < 20 else r),
        flags=("--rating-scale", "1,5"),
        says=rejected(rating_off_the_scale=20),
        refusal="name their scale with --rating-scale 1,9",
    ),
    "zeros for no rating": Kind(
        scaled(lambda r, place: 0 if place % 2 else r), says=WHOLE, notice="0 stands in 50% of the rows"
    ),
    "minus one for no rating": Kind(
        scaled(lambda r, place: -1 if place % 2 else r), says=WHOLE, notice="--not-rated -1"
    ),
    "marks that are left out": Kind(
        scaled(lambda r, place: (0, -1, r, r)[place % 4]),
        flags=("--not-rated", "0,-1"),
        says=rejected(not_rated=HALF) | {"rating_scale": [1.0, 5.0]},
    ),
}

DUPLICATES: dict[str, Kind] = {
    "each row twice, with times": Kind(
        TABLE + "\n".join(TABLE.splitlines()[1:]),
        says={"rows_read": 2 * ROWS, "rows_kept": ROWS, "rejected_by_reason": {"duplicate": ROWS}},
    ),
    "each row twice": Kind(
        replaced(NETFLIX + NETFLIX, "User_ID", "User_ID").replace("\nUser_ID,Rating,Movie_ID", ""),
        says={"rows_read": 2 * ROWS, "rows_kept": ROWS, "rejected_by_reason": {"duplicate": ROWS}},
    ),
}

MOVIE_TABLES: dict[str, Kind] = {
    "commas in titles, last column": Kind(
        NETFLIX, catalogue("{m},{y},Good, Bad and Ugly {m}"), says=WHOLE | {"movies": MOVIES}
    ),
    "commas in titles, other column": Kind(
        NETFLIX,
        replaced(catalogue("{m},Movie {m},{y}", "Movie_ID,Name,Year"), "Movie 3", "Movie 3, The"),
        flags=LOOSE,
        says=rejected(unknown_movie=USERS) | {"movies": MOVIES - 1},
        notice="1 rows have more fields than the header, the first in line 5",
    ),
    "a row with too many fields": Kind(
        NETFLIX,
        replaced(catalogue("{m},Movie {m},{y}", "Movie_ID,Name,Year"), "Movie 3", "Movie 3, The"),
        says=rejected(unknown_movie=USERS),
        refusal="1 rows have more fields than the header, the first in line 5",
        notice="are left out; correct them",
    ),
    "a quote that is not closed": Kind(
        NETFLIX, catalogue("{m},{y},Movie {m}").replace("Movie 3", '"Movie 3'), error="line 5: a quote opens"
    ),
    "a quote that closes in the next title": Kind(
        NETFLIX,
        catalogue().replace("Movie 3", '"Movie 3').replace("Movie 4", 'Movie 4"'),
        error="line 5: a quote opens",
    ),
    "quotes with backslashes": Kind(NETFLIX, catalogue(r'{m},{y},"The \"{m}\", the first"'), says=WHOLE),
    "quotes that are doubled": Kind(NETFLIX, catalogue('{m},{y},"The ""{m}"""'), says=WHOLE),
    "titles over two lines": Kind(
        NETFLIX, catalogue('{m},{y},"Movie\n{m}"'), says=WHOLE | {"movies": MOVIES}
    ),
    "titles over many lines": Kind(
        NETFLIX, catalogue('{m},{y},"Movie\n\n\n\n{m}"'), error="line 2: a quote opens that is not closed"
    ),
    "text behind a quote": Kind(NETFLIX, catalogue('{m},{y},"Movie" {m}'), says=WHOLE | {"movies": MOVIES}),
    "delimiters at the end": Kind(NETFLIX, catalogue("{m},{y},Movie {m},,"), says=WHOLE | {"movies": MOVIES}),
    "a movie without an id": Kind(
        NETFLIX,
        catalogue() + "NULL,1999,Nobody's\n",
        says=WHOLE | {"movies": MOVIES},
    ),
    "movies.dat": Kind(
        NETFLIX,
        catalogue("{m}::Café {m} ({y})::Drama", "").encode("latin-1"),
        says=WHOLE | {"movies": MOVIES},
    ),
    "movie_titles.csv": Kind(NETFLIX, catalogue("{m},NULL,One, Two and {m}", ""), says=WHOLE),
    "half of the movies": Kind(
        NETFLIX,
        "\n".join(catalogue().splitlines()[: MOVIES // 2 + 1]) + "\n",
        flags=LOOSE,
        says=rejected(unknown_movie=HALF) | {"movies": MOVIES // 2},
    ),
}

KINDS: dict[str, Kind] = {**LAYOUTS, **TIMES, **TYPES, **IDS, **SCALES, **DUPLICATES, **MOVIE_TABLES}

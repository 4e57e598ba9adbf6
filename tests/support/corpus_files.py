"""More kinds of the corpus: archives, headers of other data sets, JSON, directories, columns of movies."""

import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Mapping

import pyarrow as pa
from corpus import LOOSE, MOVIES, NETFLIX, ROWS, TIMED, USERS, WHOLE, Kind, catalogue, rating, rejected, rows
from ratings_files import parquet


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    """A zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def encrypted(members: Mapping[str, str | bytes]) -> bytes:
    """An archive whose first member is marked as encrypted, in both of its headers."""
    content = bytearray(zipped(members))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    return bytes(content)


def tar(name: str, content: str) -> bytes:
    """A tar archive of one file."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content.encode()))
    return stream.getvalue()


def objects(keys: str) -> str:
    """JSON lines with these keys, for user, movie and rating, and perhaps the time."""
    names = keys.split()
    return rows(
        lambda user, movie, place: json.dumps(
            dict(
                zip(
                    names,
                    (f"u{user}", movie, rating(user, movie), 1_100_000_000 + place * 86_400),
                    strict=False,
                )
            )
        )
    )


def parts(by: str = "") -> dict[str, bytes]:
    """Parquet parts of the users, with a column in their paths if `by` is one."""
    found = {"_SUCCESS": b"", "_temporary/part.parquet": b"", ".part.parquet.crc": b""}
    for user in range(USERS):
        columns = {
            "movie_id": pa.array(range(MOVIES)),
            "rating": [float(rating(user, movie)) for movie in range(MOVIES)],
        }
        path = f"{by}={user}/part-0.snappy.parquet" if by else f"part-{user:05}.parquet"
        found[path] = parquet(columns if by else {**columns, "user_id": [f"u{user}"] * MOVIES})
    return found


MOVIELENS = rows("{u},{m},{r},{t}", "userId,movieId,rating,timestamp")
TITLES = catalogue("{m},Movie {m} ({y}),Drama|War", "movieId,title,genres")
SMALL: dict[str, str | bytes] = {
    "ml/README.txt": "Summary\n=======\n",
    "ml/ratings.csv": MOVIELENS,
    "ml/movies.csv": TITLES,
    "ml/tags.csv": "userId,movieId,tag,timestamp\n1,1,good,964982703\n",
    "__MACOSX/ml/._ratings.csv": b"\0\5\x16\7",
}
HUNDRED = {
    "ml-100k/u.data": rows("{u}\t{m}\t{r}\t{t}"),
    "ml-100k/u1.base": "1\t1\t3\t964982703\n",
    "ml-100k/u.user": "1|24|M|technician|85711\n",
    "ml-100k/u.item": catalogue("{m}|Movie {m} ({y})|01-Jan-1995||x|0", ""),
}
REVIEW = '{u},{m},{r},"Good, ""really"""'
BROKEN = '99,1,3,"two\nlines, ""2"""\n'

ARCHIVES: dict[str, Kind] = {
    "bzip2": Kind(bz2.compress(NETFLIX.encode()), bz2.compress(catalogue().encode()), says=WHOLE),
    "xz": Kind(lzma.compress(NETFLIX.encode()), says=WHOLE),
    "xz, cut off": Kind(lzma.compress(NETFLIX.encode())[:-40], error="is a damaged xz file, perhaps cut off"),
    "movielens in a zip": Kind(zipped(SMALL), zipped(SMALL), says=TIMED | {"movies": MOVIES}),
    "movielens 100k in a zip": Kind(zipped(HUNDRED), zipped(HUNDRED), says=TIMED | {"movies": MOVIES}),
    "one file in a zip": Kind(zipped({"a.txt": NETFLIX}), says=WHOLE),
    "two files in a zip": Kind(
        zipped({"a.csv": NETFLIX, "b.csv": NETFLIX}), error="could be meant; name one as"
    ),
    "parts in a zip": Kind(
        zipped({"a-1.csv": NETFLIX, "a-2.csv": "User_ID,Rating,Movie_ID\n99,3,1\n"}),
        says={"rows_kept": ROWS + 1, "users": USERS + 1},
    ),
    "no ratings in a zip": Kind(
        zipped({"a.txt": "a\n", "b.txt": "b\n"}), error="its members are a.txt, b.txt"
    ),
    "an encrypted zip": Kind(encrypted({"a.csv": NETFLIX}), error="is encrypted; unpack it"),
    "a zip in a zip": Kind(zipped({"a.zip": zipped({"a.csv": NETFLIX})}), error="is packed more than once"),
    "a zip that is cut off": Kind(zipped(SMALL)[:900], error="is a damaged zip file"),
    "an excel workbook": Kind(
        zipped({"[Content_Types].xml": "x", "xl/workbook.xml": "x"}),
        error="is an Excel workbook; save its sheet",
    ),
    "a tar archive": Kind(gzip.compress(tar("ratings.csv", NETFLIX)), error="is a tar archive; unpack it"),
    "a 7z archive": Kind(b"7z\xbc\xaf\x27\x1c\0\x04", error="is a 7z archive; unpack it"),
}

HEADERS: dict[str, Kind] = {
    "amazon": Kind(rows("{u},{m},{r},{t}", "reviewerID,asin,overall,unixReviewTime"), says=TIMED),
    "goodreads": Kind(rows("{m},{u},{r}", "book_id,user_id,rating"), says=WHOLE),
    "anime": Kind(rows("{u},{m},{r}", "user_id,anime_id,rating"), says=WHOLE),
    "bookcrossing": Kind(
        rows('"{u}";"{m}";"{r}"', '"User-ID";"ISBN";"Book-Rating"'),
        catalogue('"{m}";"Movie {m}";"{y}"', '"ISBN";"Book-Title";"Year-Of-Publication"'),
        says=WHOLE | {"movies": MOVIES},
    ),
    "restaurants": Kind(
        rows("{u},{m},{r},1,2", "userID,placeID,rating,food_rating,service_rating"), says=WHOLE
    ),
    "sep=": Kind(rows("{u};{m};{r}", "sep=;\nuser;movie;rating"), says=WHOLE),
    "decimal commas": Kind(
        rows("{u};{m};{r},5", "user;movie;rating"),
        says=WHOLE | {"rating_scale": [1.0, 10.0], "rating_mean": 3.5},
    ),
    "spaces": Kind(rows("{u}  {m} {r}\t{t}"), says=TIMED),
    "spaces, header": Kind(rows("{u} {m} {r}", "user item rating"), says=WHOLE),
    "json lines": Kind(objects("user_id movie_id rating time"), says=TIMED),
    "json lines, amazon": Kind(objects("reviewerID asin overall unixReviewTime"), says=TIMED),
    "json lines, named": Kind(
        objects("who what how"), flags=("--columns", "user=who,movie=what,rating=how"), says=WHOLE
    ),
    "json lines, broken": Kind(
        objects("user movie rating") + '{"user": 1,\n[]\n',
        flags=LOOSE,
        says={"rows_kept": ROWS, "rejected_by_reason": {"malformed line": 1, "no user": 1}},
    ),
    "a json array": Kind(
        json.dumps([{"user": 1, "movie": 2, "rating": 3}]), error="is JSON, but not one object a line"
    ),
    "json over lines": Kind('{\n"user": 1,\n', error="is JSON, but not one object a line"),
    "reviews over lines": Kind(
        rows(REVIEW, "user,movie,rating,review") + BROKEN, says={"rows_read": ROWS + 1, "rows_kept": ROWS + 1}
    ),
    "a review that is not closed": Kind(
        rows(REVIEW, "user,movie,rating,review") + '99,1,3,"two\n98,1,3,three\n',
        flags=LOOSE,
        says={"rows_read": ROWS + 2, "rows_kept": ROWS + 1, "rejected_by_reason": {"malformed line": 1}},
    ),
}

PARTS: dict[str, Kind] = {
    "parts": Kind(parts(), says=WHOLE),
    "parts by user": Kind(parts(by="user_id"), says=WHOLE),
    "a part without a column": Kind(
        parts() | {"part-99999.parquet": parquet({"user_id": ["u"], "movie_id": ["m"]})},
        error="part-99999.parquet has no column for the rating",
    ),
    "a delta table": Kind(parts() | {"_delta_log/0.json": b"{}"}, error="is a Delta table"),
    "a directory of texts": Kind({"a.csv": NETFLIX.encode()}, error="is a directory without Parquet files"),
}

MOVIE_COLUMNS: dict[str, Kind] = {
    "further columns": Kind(
        NETFLIX,
        catalogue(
            "{m},Movie {m},{y},9{m},1.5,a|b,yes,True", "id,title,year,Runtime (min),score,cast,word,colour"
        ),
        says=WHOLE
        | {
            "attributes": {
                "runtime_min": "whole number", "score": "number", "cast": "texts", "word": "text",
                "colour": "true or false",
            }
        },
    ),
    "columns that are named": Kind(
        NETFLIX,
        catalogue("{m};Film {m};{y}", "Nr;Titel;Jahr"),
        flags=("--movie-columns", "id=Nr,title=Titel,year=Jahr"),
        says=WHOLE | {"movies": MOVIES},
    ),
    "columns by number, no header": Kind(
        NETFLIX,
        catalogue("{y},Film {m},{m}", ""),
        flags=("--movie-columns", "id=3,title=2,year=1"),
        says=WHOLE | {"movies": MOVIES},
    ),
    "a column that is not there": Kind(
        NETFLIX, catalogue(), flags=("--movie-columns", "title=Titel"), error="has no column for the title"
    ),
    "genres as python lists": Kind(
        NETFLIX, catalogue("{m}\tMovie {m}\t[{{'id': 1, 'name': 'War'}}]", "id\ttitle\tgenres"), says=WHOLE
    ),
    "movies in json lines": Kind(
        NETFLIX, catalogue('{{"asin": {m}, "title": "Movie {m}", "price": 1.5}}', ""),
        says=WHOLE | {"movies": MOVIES, "attributes": {"price": "number"}},
    ),
    "ratings for a movie table": Kind(
        NETFLIX, MOVIELENS, error="is no movie table: it has a column of users"
    ),
    "unknown movies, dropped": Kind(
        NETFLIX,
        catalogue().replace("\n3,", "\n33,"),
        flags=("--unknown-movies", "drop"),
        says=rejected(unknown_movie=USERS) | {"movies": MOVIES},
    ),
    "unknown movies, kept": Kind(
        NETFLIX,
        catalogue().replace("\n3,", "\n33,"),
        flags=("--unknown-movies", "keep"),
        says=WHOLE | {"movies": MOVIES + 1},
    ),
}  # fmt: skip

FILES: dict[str, Kind] = {**ARCHIVES, **HEADERS, **PARTS, **MOVIE_COLUMNS}

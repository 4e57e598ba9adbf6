"""Files as they are downloaded or exported: archives, headers, decimal commas, JSON, rows over lines."""

import bz2
import gzip
import io
import json
import lzma
import random
from pathlib import Path
from typing import Any

import pytest
from corpus_files import zipped
from ratings_files import MOVIES, Dataset, full, ingest_text, netflix, parquet, write

from components.errors import UserError
from components.ingest.step import ingest

RATINGS = netflix(full())
EXPECTED = {(user, movie): rating for user, rating, movie in full()}
MOVIELENS = "userId,movieId,rating,timestamp\n" + "".join(f"{u},{m},{r},964982703\n" for u, r, m in full())
TITLES = "movieId,title,genres\n" + "".join(f"m{movie},Film {movie} (1999),Drama\n" for movie in range(20))


LATEST: dict[str, str | bytes] = {
    "ml/README.txt": "Summary\n=======\n",
    "ml/ratings.csv": MOVIELENS,
    "ml/movies.csv": TITLES,
    "ml/tags.csv": "userId,movieId,tag,timestamp\nu1,m1,good,964982703\n",
    "ml/links.csv": "movieId,imdbId,tmdbId\nm1,0114709,862\n",
    "__MACOSX/ml/ratings.csv": MOVIELENS,
}


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress], ids=["bzip2", "xz"])
def test_packed_files(tmp_path: Path, pack: Any) -> None:
    packed = pack(RATINGS.encode())
    dataset = ingest_text(tmp_path, packed, pack(MOVIES.encode()), name="ratings.packed")
    assert dataset.ratings() == EXPECTED
    assert len(dataset.movies) == 20
    with pytest.raises(UserError, match=r"ratings\.packed is a damaged (bzip2|xz) file, perhaps cut off"):
        ingest_text(tmp_path, packed[: len(packed) // 2], name="ratings.packed")


def test_the_members_of_an_archive_are_chosen_by_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "ml.zip", zipped(LATEST))
    ingest(ratings=file, movies=file, output=str(tmp_path / "dataset"))
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.ratings() == EXPECTED
    assert {movie["genres"] for movie in dataset.movies} == {"Drama"}
    logged = capsys.readouterr().err
    assert f"--ratings {file}: reading ml/ratings.csv" in logged
    assert f"--movies {file}: reading ml/movies.csv" in logged


PRIZE = {
    f"combined_data_{part}.txt": "".join(
        f"{number}:\n"
        + "".join(f"{user},{rating},2004-11-09\n" for user, rating, of in full() if of == movie)
        for number in range(20)
        if number % 4 == part and (movie := f"m{number}")
    )
    for part in range(4)
} | {
    "probe.txt": "1:\n30878\n",
    "qualifying.txt": "1:\n1046323,2005-12-19\n",
    "movie_titles.csv": "".join(f"{movie},2003,Film {movie}\n" for movie in range(20)),
}
MILLION = {
    "ml-1m/ratings.dat": "".join(f"{u}::{m[1:]}::{r}::964982703\n" for u, r, m in full()),
    "ml-1m/users.dat": "1::F::1::10::48067\n",
    "ml-1m/movies.dat": "".join(f"{movie}::Film (1999)::Drama\n" for movie in range(20)),
}
HUNDRED = {
    "ml-100k/u.data": "".join(f"{u}\t{m[1:]}\t{r}\t964982703\n" for u, r, m in full()),
    "ml-100k/u1.base": "u1\t1\t3\t964982703\n",
    "ml-100k/u1.test": "u1\t1\t3\t964982703\n",
    "ml-100k/u.user": "1|24|M|technician|85711\n",
    "ml-100k/u.item": "".join(f"{movie}|Film (1999)|01-Jan-1999||x|0\n" for movie in range(20)),
}


@pytest.mark.parametrize("members", [PRIZE, MILLION, HUNDRED], ids=["prize", "1m", "100k"])
def test_archives_as_they_are_published(tmp_path: Path, members: dict[str, str]) -> None:
    file = write(tmp_path / "archive.zip", zipped(members))
    ingest(ratings=file, movies=file, output=str(tmp_path / "dataset"))
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.ratings() == {(user, movie[1:]): rating for (user, movie), rating in EXPECTED.items()}
    assert (len(dataset.movies), dataset.statistics["rows_rejected"]) == (20, 0)


def test_long_and_packed_members(tmp_path: Path) -> None:
    titles = "movieId,title\n" + "".join(f"m{movie},{'é' * 5_000}{movie}\n" for movie in range(20))
    noise = "".join(f"{random.random()}\n" for _ in range(20_000))
    for name, content in {"a.csv.gz": RATINGS, "ratings.csv.gz": RATINGS + netflix(full()[:9])[24:]}.items():
        members: dict[str, str | bytes] = {
            name: gzip.compress(content.encode()),
            "x.gz": gzip.compress(noise.encode()),
            "t.csv": titles,
        }
        file = write(tmp_path / "some.zip", zipped(members))
        ingest(ratings=file, movies=file, output=str(tmp_path / "dataset"))
        dataset = Dataset(tmp_path / "dataset")
        assert (dataset.ratings(), len(dataset.movies)) == (EXPECTED, 20)


def test_a_member_may_be_named(tmp_path: Path) -> None:
    members = {"one.csv": RATINGS, "two.csv": netflix([("u1", "x", "m1"), *full()])}
    file = write(tmp_path / "some.zip", zipped({"below/a.txt": "a\n", **members}))
    with pytest.raises(
        UserError, match=r"holds 2 files that could be meant; name one as some\.zip/MEMBER: one\."
    ):
        ingest(ratings=file, output=str(tmp_path / "dataset"))
    ingest(ratings=f"{file}/two.csv", output=str(tmp_path / "dataset"))
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.ratings() == EXPECTED
    assert (dataset.rejects[0]["file"], dataset.rejects[0]["line"]) == (f"{file}/two.csv", "2")
    with pytest.raises(UserError, match=r"has no member three\.csv; its members are below/a\.txt, one\.csv"):
        ingest(ratings=f"{file}/three.csv", output=str(tmp_path / "dataset"))


def test_a_parquet_file_in_an_archive(tmp_path: Path) -> None:
    columns = {"user": ["u1", "u2"] * 200, "movie": [f"m{i}" for i in range(400)], "rating": [3.0] * 400}
    dataset = ingest_text(tmp_path, zipped({"a.parquet": parquet(columns)}), None, name="some.zip")
    assert dataset.statistics["rows_kept"] == 400


def encrypted() -> bytes:
    """An archive whose member is marked as encrypted, in both of its headers."""
    content = bytearray(zipped({"a.csv": RATINGS}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encrypted(), "is encrypted; unpack it"),
        (
            zipped({"a.txt": "a\n", "b.txt": "b\n"}),
            "holds no such file that is known by its content; its members",
        ),
        (zipped({"a.csv": RATINGS})[:600], "is a damaged zip file, perhaps cut off"),
        (zipped({"a.zip": zipped({"a.csv": RATINGS})}), "a.zip is packed more than once"),
        (bz2.compress(lzma.compress(RATINGS.encode())), "is packed more than once"),
        (zipped({"a.csv": ""}), "holds no such file"),
    ],
    ids=["encrypted", "others", "cut", "zip in zip", "twice", "empty"],
)
def test_archives_that_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError, match=rf"--ratings .*{message}"):
        ingest_text(tmp_path, content, name="some.zip")


@pytest.mark.parametrize("pack", [bz2.compress, lambda data: zipped({"a.csv": data})], ids=["bzip2", "zip"])
def test_an_archive_that_unpacks_to_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    monkeypatch.setattr("components.ingest.containers.archives._MOST_BYTES", 0)
    with pytest.raises(UserError, match=r"unpacks to more than .* 200 times its size"):
        ingest_text(tmp_path, pack(b"User_ID,Rating,Movie_ID\n" + b"u1,3,m1\n" * 300_000))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


class _Stdin:
    def __init__(self, content: bytes) -> None:
        self.buffer = io.BytesIO(content)

    def isatty(self) -> bool:
        return False


def test_the_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", _Stdin(bz2.compress(netflix([("u1", "x", "m1"), *full()]).encode())))
    ingest(ratings="-", output=str(tmp_path / "dataset"))
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.ratings() == EXPECTED
    assert dataset.rejects[0]["file"] == "the standard input"


HEADERS = {
    "reviewerID,asin,overall,unixReviewTime": "{u},{m},{r},1",
    "user_id,anime_id,rating": "{u},{m},{r}",
    "book_id,user_id,rating": "{m},{u},{r}",
    '"User-ID";"ISBN";"Book-Rating"': '"{u}";"{m}";"{r}"',
    "userID,placeID,rating,food_rating,service_rating": "{u},{m},{r},1,2",
    "customer_id\treview_id\tproduct_id\tstar_rating\treview_date": "{u}\tx\t{m}\t{r}\t2015-08-31",
    "sep=;\nuser;movie;rating": "{u};{m};{r},0",
    "\nsep=,\n\nuser,movie,rating": "{u},{m},{r}",
    "userId,movieId,isbn,rating": "{u},{m},x,{r}",
}


@pytest.mark.parametrize("header", HEADERS)
def test_usual_headers(tmp_path: Path, header: str) -> None:
    rows = "".join(HEADERS[header].format(u=user, m=movie, r=rating) + "\n" for user, rating, movie in full())
    assert ingest_text(tmp_path, f"{header}\n{rows}", max_reject_rate=0).ratings() == EXPECTED


def test_decimal_commas_between_semicolons(tmp_path: Path) -> None:
    rows = "".join(f"{user};{movie};{rating},5\n" for user, rating, movie in full())
    named = ingest_text(tmp_path, f"user;movie;rating\n{rows}", max_reject_rate=0, rating_scale="0,6")
    assert named.ratings() == {pair: rating + 0.5 for pair, rating in EXPECTED.items()}
    numbered = {"columns": "user=1,movie=2,rating=3", "rating_scale": "0,6"}
    assert ingest_text(tmp_path, rows, max_reject_rate=0, **numbered).ratings() == named.ratings()


def reviews(broken: str) -> str:
    """Ratings with a text in quotes; `broken` are the lines of one whose text has line breaks."""
    rows = [f'{user},"{movie}",{rating},"fine, ""really"""' for user, rating, movie in full()]
    return "\n".join(["user,movie,rating,review", *rows[:100], broken, *rows[100:], ""])


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_line_breaks_in_a_column_that_is_not_used(tmp_path: Path, line_end: str) -> None:
    broken = 'v1,m1,3,"one\ntwo ""2""\n\nu,3,four"\nv2,m1,x,"five\nsix"\nv3,m2,4,seven'
    dataset = ingest_text(tmp_path, reviews(broken).replace("\n", line_end).encode())
    assert dataset.ratings() == {**EXPECTED, ("v1", "m1"): 3, ("v3", "m2"): 4}
    assert dataset.reasons() == {106: "rating not a number"}
    assert dataset.statistics["rows_read"] == 403


@pytest.mark.parametrize(
    "broken",
    [
        'v1,m1,3,"one\nv2,m2,3,two',
        'v1,"m\n1",3,one',
        'v1,m1,3,"one\n"two",m2,3,four',
        'v1,m1,"3,one\nv2,m1",3,one',
    ],
    ids=["not closed", "used column", "text after the quote", "too few fields"],
)
def test_lines_that_are_no_row_are_rejected_one_by_one(tmp_path: Path, broken: str) -> None:
    dataset = ingest_text(tmp_path, reviews(broken))
    assert dataset.ratings().items() >= EXPECTED.items()
    assert dataset.reasons()[102] == "malformed line"
    assert dataset.statistics["rows_read"] == 402


def test_rows_over_lines_after_another_file(tmp_path: Path) -> None:
    write(tmp_path / "first.csv", netflix([("w1", "x", "m1"), ("w2", 3, "m2")]))
    write(tmp_path / "second.csv", b"\xef\xbb\xbf" + reviews('v1,m1,3,"one\n\xe9"').encode("latin-1"))
    write(tmp_path / "third.csv", netflix([("w3", "x", "m1"), ("w4", 3, "m2")]))
    files = ",".join(str(tmp_path / f"{name}.csv") for name in ("first", "second", "third"))
    ingest(ratings=files, output=str(tmp_path / "dataset"), max_reject_rate=1)
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.ratings().keys() == {*EXPECTED, ("w2", "m2"), ("w4", "m2")}
    rejected = [(Path(reject["file"]).stem, reject["line"], reject["reason"]) for reject in dataset.rejects]
    assert rejected == [
        ("first", "2", "rating not a number"),
        ("second", "102", "not utf 8"),
        ("third", "2", "rating not a number"),
    ]


def test_broken_json_lines_are_rejected_one_by_one(tmp_path: Path) -> None:
    rows = [json.dumps({"user": user, "movie": movie, "rating": rating}) for user, rating, movie in full()]
    bad = ["{", "[1]", '{"user": "u", "rating": 3}', '{"user": "u", "movie": "m1", "rating": "x"}', "null"]
    bad.append('{"user": "\\u0000", "movie": "m1", "rating": 3}')
    dataset = ingest_text(tmp_path, "\n".join([*rows, *bad]), name="ratings.jsonl", max_reject_rate=1)
    assert dataset.ratings() == EXPECTED
    reasons = ["malformed line", "no user", "no movie", "rating not a number", "no user"]
    reasons.append("malformed line")
    assert dataset.reasons() == dict(enumerate(reasons, start=401))

"""Every mistake of the user's: one line with the cure, status 2, nothing written."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from ratings_files import MOVIES, full, ingest_text, netflix, parquet, write

from components.command import command_of
from components.errors import UserError
from components.ingest.step import ingest

GOOD = netflix(full())
BIG = GOOD + "".join(f"v{number},3,m1\n" for number in range(200_000))


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def flip(data: bytes, place: int) -> bytes:
    changed = bytearray(data)
    changed[place] ^= 0x10
    return bytes(changed)


BAD_RATINGS = {
    "empty": (b"", "ratings.csv is empty"),
    "blank": (b"\n \n", "ratings.csv is empty"),
    "header only": (b"User_ID,Rating,Movie_ID\n", "has a header but no rows"),
    "missing column": (b"User_ID,Rating\n1,2\n", "--columns user="),
    "other columns": (b"a,b,c\n1,2,3\n", "first line is 'a,b,c'"),
    "prose": ("Es war einmal ein König.\nEr lebte.\n".encode(), "--columns user="),
    "binary": (bytes(range(256)) * 20, "not UTF-8"),
    "UTF-16": (GOOD.encode("utf-16"), "not UTF-8"),
    "NUL byte": (GOOD.encode() + b"u,\0,m\n", "NUL"),
    "truncated gzip": (cut(gzip.compress(BIG.encode()), 0.9), "damaged gzip file"),
    "short gzip": (gzip.compress(BIG.encode())[:15], "damaged gzip file"),
    "gzip with a wrong checksum": (flip(gzip.compress(BIG.encode()), -6), "damaged gzip file"),
    "gzip of nothing": (gzip.compress(b""), "is empty"),
    "damaged Parquet": (b"PAR1" + bytes(100), "damaged parquet file"),
    "Parquet with structures": (
        parquet({"userId": [1], "movieId": [2], "rating": [{"stars": 3}]}),
        "its column rating, the rating, holds structures or lists; name a column of single values",
    ),
    "all rows rejected": (
        netflix([("u", 3, "absent")] * 50).encode(),
        "50 of 50 rows (100.0%) must be rejected",
    ),
}


@pytest.mark.parametrize(("ratings", "message"), BAD_RATINGS.values(), ids=BAD_RATINGS)
def test_a_bad_ratings_file(tmp_path: Path, ratings: bytes, message: str) -> None:
    before = {"movies.csv", "ratings.csv"}
    with pytest.raises(UserError) as raised:
        ingest_text(tmp_path, ratings)
    assert message in str(raised.value)
    assert str(tmp_path / "ratings.csv") in str(raised.value)
    assert {path.name for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("movies", "message"),
    [
        (b"", "movies.csv is empty"),
        (b"Movie_ID,Year,Name\n", "has a header but no movies"),
        (b"Year,Name\n1999,A\n", "no column for the movie"),
        (b"Movie_ID,Year\nm1,1999\n", "no column for the title"),
        ("Movie_ID,Name\nm1,Amélie\n".encode("latin-1"), "line 2 is not UTF-8"),
        (b"Movie_ID,Name\nm1,A\nm2,B\0\n", "NUL"),
        (gzip.compress(MOVIES.encode())[:-9], "damaged gzip file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_a_bad_movie_table(tmp_path: Path, movies: bytes, message: str) -> None:
    with pytest.raises(UserError) as raised:
        ingest_text(tmp_path, GOOD, movies)
    assert message in str(raised.value)
    assert "--movies" in str(raised.value)
    assert not (tmp_path / "dataset").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"--ratings": "absent.csv"}, "--ratings absent.csv does not exist"),
        ({"--ratings": "."}, "--ratings . is a directory"),
        ({"--ratings": ""}, "--ratings names no file"),
        ({"--ratings": "no*.csv"}, "--ratings no*.csv matches no file"),
        ({"--ratings": "ftp://bucket/r.csv"}, "ftp:// is not supported"),
        ({"--movies": "absent.csv"}, "--movies absent.csv does not exist"),
        ({"--movies": "movies.csv,ratings.csv"}, "ratings.csv is no movie table"),
        ({"--test-ratings": "absent.csv"}, "--test-ratings absent.csv does not exist"),
        ({"--output": "ratings.csv"}, "ratings.csv is a file"),
        ({"--output": "ratings.csv/below"}, "cannot write"),
        ({"--test-fraction": "0"}, "--test-fraction 0: give a number, between 0 and 1"),
        ({"--test-fraction": "nan"}, "--test-fraction nan: give a number, between 0 and 1"),
        ({"--validation-fraction": "1"}, "--validation-fraction 1: give a number, between 0 and 1"),
        ({"--max-reject-rate": "2"}, "--max-reject-rate 2: give a number, 0 to 1"),
        ({"--max-train-rows": "-1"}, "--max-train-rows -1: give a whole number, at least 0"),
        ({"--memory-gb": "0.1"}, "--memory-gb 0.1: give a number, at least 0.7"),
        ({"--columns": "user=a"}, "does not name the movie and the rating"),
        ({"--columns": "who=a"}, "--columns who=a is not understood"),
        ({"--columns": "user=a,movie=b,rating=c"}, "no such columns: --columns user=a,movie=b,rating=c"),
        ({"--rating-scale": "5"}, "--rating-scale 5 is not understood"),
        ({"--rating-scale": "5,1"}, "--rating-scale 5,1 is not understood"),
        ({"--rating-scale": "nan,1"}, "--rating-scale nan,1 is not understood"),
    ],
)
def test_a_bad_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "ratings.csv", GOOD)
    write(tmp_path / "movies.csv", MOVIES)
    arguments = {"--ratings": "ratings.csv", "--movies": "movies.csv", "--output": "dataset", **flags}
    result = CliRunner().invoke(command_of(ingest), [word for pair in arguments.items() for word in pair])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert {path.name for path in tmp_path.iterdir()} == {"movies.csv", "ratings.csv"}


@pytest.mark.process
def test_the_command_ends_with_one_line_and_status_2(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "ingest",
        "--ratings",
        "absent.csv",
        "--output",
        "dataset",
    ]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "error: --ratings absent.csv does not exist; check the path\n"
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_earlier_output_as_it_was(tmp_path: Path) -> None:
    before = ingest_text(tmp_path, GOOD).ratings()
    with pytest.raises(UserError):
        ingest_text(tmp_path, netflix([("u", 9, "m1")] * 50))
    write(tmp_path / "ratings.csv", GOOD)
    assert ingest_text(tmp_path, GOOD).ratings() == before
    assert {path.name for path in tmp_path.iterdir()} == {"movies.csv", "ratings.csv", "dataset"}

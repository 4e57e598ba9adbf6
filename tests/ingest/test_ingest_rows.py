"""Which rows are kept, which are rejected, and what is said about them."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
from ratings_files import MOVIES, Dataset, full, ingest_text, netflix, write

from components.errors import UserError
from components.ingest import rows
from components.ingest.database import database
from components.ingest.inputs import open_all
from components.ingest.layouts import layout_of
from components.ingest.settings import ReadOptions

GOOD = full()
EXPECTED = {(user, movie): rating for user, rating, movie in GOOD}


def with_lines(*lines: str) -> str:
    """A file of good rows with `lines` after its header, from line 2."""
    header, _, rest = netflix(GOOD).partition("\n")
    return "\n".join([header, *lines, rest])


def test_every_rating_is_kept_with_its_value(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, netflix(GOOD))
    assert dataset.ratings() == EXPECTED
    assert dataset.statistics["rows_read"] == dataset.statistics["rows_kept"] == len(GOOD)
    assert dataset.rejects == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("u1,3", "malformed line"),
        ("u1,3,m1,extra", "malformed line"),
        ('"u1,3,m1', "malformed line"),
        (",3,m1", "no user"),
        ("u1,3,", "no movie"),
        ("u1,,m1", "no rating"),
        ("u1, ,m1", "no rating"),
        ("u1,good,m1", "rating not a number"),
        ("u1,nan,m1", "rating not a number"),
        ("u1,inf,m1", "rating not a number"),
        ("u1,1e999,m1", "rating not a number"),
        ("u1,0,m1", "rating off the scale"),
        ("u1,5.5,m1", "rating off the scale"),
        ("u1,-1,m1", "rating off the scale"),
        ("u1,3,m99", "unknown movie"),
        ("u1,3,M1", "unknown movie"),
    ],
)
def test_a_bad_row_is_listed_with_its_line_and_text(tmp_path: Path, line: str, reason: str) -> None:
    dataset = ingest_text(tmp_path, with_lines(line))
    (reject,) = dataset.rejects
    assert reject == {"file": str(tmp_path / "ratings.csv"), "line": "2", "reason": reason, "text": line}
    assert dataset.statistics["rejected_by_reason"] == {reason: 1}
    assert dataset.ratings() == EXPECTED


def test_lines_are_counted_across_blank_lines_bad_encoding_and_quotes(tmp_path: Path) -> None:
    lines = [b"", b"u1,9,m1", b"u\xff,3,m1", b"\xfe,3,m1", b'"u1",8,"m1"', b"   ", b"u1,7,m1"]
    header, _, rest = netflix(GOOD).encode().partition(b"\n")
    dataset = ingest_text(tmp_path, b"\n".join([header, *lines, rest]), max_reject_rate=0.1)
    assert dataset.reasons() == {
        3: "rating off the scale",
        4: "not utf 8",
        5: "not utf 8",
        6: "rating off the scale",
        8: "rating off the scale",
    }
    assert dataset.statistics["rows_read"] == len(GOOD) + 5


def test_lines_are_right_in_a_file_that_is_read_in_parallel(tmp_path: Path) -> None:
    rows = [f"u{number},{3 if number % 1000 else 9},m{number % 20}" for number in range(400_000)]
    dataset = ingest_text(tmp_path, "User_ID,Rating,Movie_ID\n" + "\n".join(rows))
    assert [(int(reject["line"]), reject["text"]) for reject in dataset.rejects] == [
        (number + 2, rows[number]) for number in range(0, 400_000, 1000)
    ]


@pytest.mark.parametrize("ends", ["\r\n", "\n", "\r", "\r\n \r", "\n\r", "\r\n \n", "\r \n \r\n"])
@pytest.mark.parametrize("first", ["\r\n", "\n", "\r"])
def test_lines_may_end_in_different_ways(tmp_path: Path, first: str, ends: str) -> None:
    header, *lines = netflix(GOOD).splitlines()
    lines[7:7] = ["u1,9,m1"]
    text = (
        header
        + first
        + "".join(line + ends.split(" ")[n % len(ends.split(" "))] for n, line in enumerate(lines))
    )
    dataset = ingest_text(tmp_path, text)
    assert dataset.ratings() == EXPECTED
    (reject,) = dataset.rejects
    assert reject["text"] == "u1,9,m1"
    assert reject["line"] == str(
        text[: text.index("u1,9,m1")].replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
    )


def test_a_character_that_no_text_may_hold_is_kept_as_it_is(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, netflix([("\U0010ffffu", 3, "m1"), ("u\U0010ffff", 3, "m1"), *GOOD]))
    assert {user for user, _ in dataset.ratings()} > {"\U0010ffffu", "u\U0010ffff"}


def test_the_last_of_the_duplicates_wins_and_the_others_are_listed(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, netflix([("u1", 1, "m1"), ("u1", 2, "m1"), *GOOD]), max_reject_rate=0)
    assert dataset.ratings() == EXPECTED
    assert dataset.reasons() == {2: "duplicate", 3: "duplicate"}
    assert dataset.statistics["duplicates"] == 2
    assert dataset.statistics["rows_read"] == dataset.statistics["rows_kept"] + 2


def test_a_duplicate_that_is_off_the_scale_does_not_win(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, netflix([*GOOD, ("u1", 9, "m1")]))
    assert dataset.ratings() == EXPECTED


def test_too_many_bad_rows_fail_with_reasons_and_the_first_of_them(tmp_path: Path) -> None:
    bad = [("u1", 3, "m99"), ("u2", 3, "m98"), ("u1", 3, "m97"), ("u1", "x", "m1"), ("u1", "y", "m1")]
    with pytest.raises(UserError) as raised:
        ingest_text(tmp_path, netflix([*bad, *GOOD]))
    message = str(raised.value)
    assert "5 of 405 rows (1.2%)" in message
    assert "unknown movie 3, rating not a number 2" in message
    assert "line 2 (unknown movie): 'u1,3,m99'" in message
    assert "--max-reject-rate" in message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["movies.csv", "ratings.csv"]


def test_as_many_bad_rows_as_allowed_pass(tmp_path: Path) -> None:
    rows = netflix([("u1", "x", "m1")] * 4 + GOOD[:396])
    assert len(ingest_text(tmp_path, rows, max_reject_rate=0.01).rejects) == 4
    with pytest.raises(UserError):
        ingest_text(tmp_path, rows, max_reject_rate=0.0099)


@pytest.mark.parametrize(
    "variant",
    {
        "CRLF": netflix(GOOD).replace("\n", "\r\n"),
        "CR": netflix(GOOD).replace("\n", "\r"),
        "byte order mark": "\ufeff" + netflix(GOOD),
        "no last newline": netflix(GOOD).rstrip("\n"),
        "blank lines at the end": netflix(GOOD) + "\n\n",
        "quotes": "User_ID,Rating,Movie_ID\n" + "".join(f'"{u}","{r}","{m}"\n' for u, r, m in GOOD),
        "spaces": "User_ID, Rating, Movie_ID\n" + "".join(f" {u} , {r} ,{m}\n" for u, r, m in GOOD),
        "other order": "Movie_ID,User_ID,Rating\n" + "".join(f"{m},{u},{r}\n" for u, r, m in GOOD),
        "other case": "movie_id,user id,RATING\n" + "".join(f"{m},{u},{r}\n" for u, r, m in GOOD),
        "extra columns": "a,User_ID,Rating,b,Movie_ID\n"
        + "".join(f'"x, y",{u},{r},,{m}\n' for u, r, m in GOOD),
        "floats": "User_ID,Rating,Movie_ID\n" + "".join(f"{u},{r}.0,{m}\n" for u, r, m in GOOD),
        "semicolons": "User_ID;Rating;Movie_ID\n" + "".join(f"{u};{r};{m}\n" for u, r, m in GOOD),
        "gzip": gzip.compress(netflix(GOOD).encode()),
        "two gzip members": gzip.compress(netflix(GOOD[:9]).encode())
        + gzip.compress("".join(f"{u},{r},{m}\n" for u, r, m in GOOD[9:]).encode()),
        "zstd": pa.compress(netflix(GOOD).encode(), codec="zstd", asbytes=True),
    }.items(),
    ids=lambda variant: variant[0],
)
def test_the_same_ratings_however_they_are_written(tmp_path: Path, variant: tuple[str, str | bytes]) -> None:
    dataset = ingest_text(tmp_path, variant[1], max_reject_rate=0)
    assert dataset.ratings() == EXPECTED
    assert dataset.rejects == []


def test_ids_are_strings(tmp_path: Path) -> None:
    users = [
        "007",
        "7",
        "7.0",
        "1e3",
        "NULL",
        "nan",
        "jos\u00e9",
        "用户",
        "a;b",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    ]
    rows = [(user, 3, movie) for user in users for movie in ("m1", "m2", "01", "1")]
    movies = MOVIES + "01,2000,One\n1,2000,Another\n"
    dataset = ingest_text(tmp_path, netflix(rows), movies, ingest_settings={"missing_ids": ""})
    assert set(dataset.ratings()) == {(user, movie) for user, _, movie in rows}


def test_quotes_and_commas_in_ids(tmp_path: Path) -> None:
    odd = '"a ""b"", c",4,m1\n'
    dataset = ingest_text(tmp_path, netflix(GOOD) + odd)
    assert dataset.ratings()[('a "b", c', "m1")] == 4


def test_several_files_and_a_pattern(tmp_path: Path) -> None:
    write(tmp_path / "part-1.csv", netflix(GOOD[:100]))
    write(tmp_path / "part-2.csv.gz", gzip.compress(netflix([("u1", "x", "m1"), *GOOD[100:]]).encode()))
    write(tmp_path / "movies.csv", MOVIES)
    from components.ingest.step import ingest

    for number, ratings in enumerate(
        (f"{tmp_path}/part-*", f"{tmp_path}/part-1.csv, {tmp_path}/part-2.csv.gz")
    ):
        ingest(
            ratings=ratings, movies=str(tmp_path / "movies.csv"), output=str(tmp_path / f"dataset{number}")
        )
        dataset = Dataset(tmp_path / f"dataset{number}")
        assert dataset.ratings() == EXPECTED
        assert [(reject["file"], reject["line"]) for reject in dataset.rejects] == [
            (str(tmp_path / "part-2.csv.gz"), "2")
        ]


def test_statistics_describe_the_kept_ratings(tmp_path: Path) -> None:
    statistics = ingest_text(tmp_path, netflix(GOOD)).statistics
    assert statistics["users"] == 20
    assert statistics["movies"] == statistics["movies_rated"] == 20
    assert statistics["rating_scale"] == [1, 5]
    assert statistics["rating_mean"] == pytest.approx(3)
    assert statistics["rating_histogram"] == {str(stars): 80 for stars in range(1, 6)}
    assert statistics["ratings_per_user"]["0.5"] == statistics["ratings_per_movie"]["1"] == 20
    assert statistics["density"] == 1
    assert sum(statistics["splits"].values()) == 400


@pytest.mark.parametrize("prize", [False, True])
def test_rows_keep_the_order_of_the_lines(tmp_path: Path, prize: bool) -> None:
    count = 2_500_000  # so many that several threads read the file
    lines = [f"{line},5,{'2004-11-09' if prize else 1}" for line in range(count)]
    lines[:: count // 100] = ["7:" if prize else "User_ID,Rating,Movie_ID"] * 100
    write(tmp_path / "ratings.csv", "\n".join(lines))
    (file,) = open_all(str(tmp_path / "ratings.csv"), "--ratings", tmp_path)
    with database(tmp_path, memory_gb=1.5) as connection:
        connection.execute("SET threads = 4")
        rows.create_tables(connection, timed=False)
        rows.append(connection, file, layout_of(file, "", {}), ReadOptions(), timed=False, for_test=False)
        misplaced = connection.execute("SELECT count(*) FROM rows WHERE rowid <> try_cast(user_id AS BIGINT)")
        assert misplaced.fetchone() == (0,)
        first = connection.execute("SELECT min(reason), (SELECT reason FROM rows WHERE rowid = 0) FROM rows")
        assert first.fetchone() == ((-3, -3) if prize else (-2, -2))

"""Rules of reading: duplicates, titles of movie tables, and flags that are repeated."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ratings_files import MOVIE_IDS, MOVIES, full, ingest_text, netflix, write

from components.errors import UserError
from components.evaluate.held_out import read_ratings
from components.ingest.settings import ReadOptions
from components.ingest.step import describe, ingest
from pipelines.run import _absolute

HEADER = "user,movie,rating,time\n"
ALL = "".join(f"{user},{movie},{rating},5\n" for user, rating, movie in full())
# The rows of the user u of the movie m1, and the rating that is kept.
REPEATED = {
    "latest first": (["3,30", "2,20", "1,10"], 3),
    "latest last": (["1,10", "2,20", "3,30"], 3),
    "latest between": (["1,10", "3,30", "2,20"], 3),
    "equal times": (["1,10", "3,10"], 3),
    "equal times of the latest": (["1,30", "2,20", "3,30"], 3),
    "no times": (["1,", "2,", "3,"], 3),
    "a missing time": (["1,30", "2,", "3,20"], 3),
}


@pytest.mark.parametrize("name", REPEATED)
def test_the_latest_of_several_ratings_counts(tmp_path: Path, name: str) -> None:
    rows, kept = REPEATED[name]
    text = HEADER + ALL + "".join(f"u,m1,{row}\n" for row in rows)
    dataset = ingest_text(tmp_path, text)
    assert dataset.ratings()[("u", "m1")] == kept
    assert dataset.statistics["rejected_by_reason"] == {"duplicate": len(rows) - 1}
    assert dataset.statistics["rows_kept"] == len(full()) + 1
    read = read_ratings(str(tmp_path / "ratings.csv"), "", (1, 5), ReadOptions())
    user, movie = read.user_ids.tolist().index("u"), read.movie_ids.tolist().index("m1")
    rating = read.ratings.ratings[(read.ratings.owners == user) & (read.ratings.movies == movie)]
    assert rating.tolist() == [kept]


def test_test_ratings_come_before_later_ones(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", HEADER + "u1,m1,5,10\nu1,m1,4,7\n")
    dataset = ingest_text(tmp_path, HEADER + ALL + "u1,m1,1,90\nu1,m1,2,80\n", test_ratings=test)
    assert dataset.sides()[("u1", "m1")] == "test"
    assert dataset.ratings()[("u1", "m1")] == 5
    assert dataset.statistics["rejected_by_reason"] == {"duplicate": 3, "also in test": 1}


TITLES = {
    "commas in the last column": (
        "Movie_ID,Year,Name\n",
        "m1,2003,Good, Bad and Ugly\n",
        "Good, Bad and Ugly",
    ),
    "escaped quotes": ("Movie_ID,Year,Name\n", 'm1,2003,"The \\"Best\\", or not"\n', 'The "Best", or not'),
    "an escaped quote at the end": ("Movie_ID,Name,Year\n", 'm1,"The \\"Best\\"",2003\n', 'The "Best"'),
    "a backslash": ("Movie_ID,Name,Year\n", 'm1,"C:\\",2003\n', "C:\\"),
    "a backslash without quotes": ("Movie_ID,Name,Year\n", "m1,AC\\DC,2003\n", "AC\\DC"),
    "two lines": ("Movie_ID,Name,Year\n", 'm1,"Two\r\nlines",2003\n', "Two lines"),
    "text behind the quote": ("Movie_ID,Name,Year\n", 'm1,"Two" words,2003\n', "Two words"),
}


@pytest.mark.parametrize("name", TITLES)
def test_titles_are_whole(tmp_path: Path, name: str) -> None:
    header, line, title = TITLES[name]
    others = MOVIES.partition("\n")[2].replace("m1,1999,Movie m1\n", "")
    if header.startswith("Movie_ID,Name"):
        others = "".join(f"{movie},Movie {movie},1999\n" for movie in MOVIE_IDS if movie != "m1")
    dataset = ingest_text(tmp_path, netflix(full()), header + line + others)
    assert {row["movie_id"]: (row["title"], row["year"]) for row in dataset.movies}["m1"] == (title, 2003)
    assert len(dataset.movies) == len(MOVIE_IDS)


def described(*words: str) -> dict[str, Any]:
    done = CliRunner().invoke(describe, [*words, "--json"], catch_exceptions=False)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_repeated_flag_names_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a", netflix(full()[:200]))
    write(tmp_path / "b", netflix(full()[200:]))
    write(tmp_path / "a,b", netflix(full()[:100]))
    assert described("--ratings", "a", "--ratings", "b")["rows_read"] == 400
    assert described("--ratings", "b,a")["rows_read"] == 400
    assert described("--ratings", "a,b")["rows_read"] == 100  # there is a file of that name
    assert described("--ratings", "a,b", "--ratings", "a")["rows_read"] == 300


def test_paths_with_commas_stay_one_path_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "a,b", netflix(full()))
    whole = str(tmp_path / "a,b")
    assert _absolute({"ratings": "a,b"})["ratings"] == whole
    assert _absolute({"ratings": "a,c"})["ratings"] == f"{tmp_path}/a,{tmp_path}/c"
    assert json.loads(_absolute({"ratings": '["a,b", "gs://x/y,z"]'})["ratings"]) == [whole, "gs://x/y,z"]


def test_a_flag_with_one_value_is_given_once() -> None:
    with pytest.raises(UserError, match="--columns is given twice, and takes one value"):
        CliRunner().invoke(
            describe,
            ["--ratings", "x", "--columns", "user=a", "--columns", "movie=b"],
            catch_exceptions=False,
        )


def test_the_marks_for_no_rating_are_numbers() -> None:
    with pytest.raises(UserError, match="--not-rated none: give numbers"):
        ReadOptions.read({"not_rated": "none"})


def test_rows_that_are_not_rated_are_counted_and_not_listed(tmp_path: Path) -> None:
    rows = [*full(), *((f"x{user}", 0, "m1") for user in range(600))]
    dataset = ingest_text(tmp_path, netflix(rows), ingest_settings={"not_rated": "0"}, max_reject_rate=0.0)
    assert dataset.statistics["rejected_by_reason"] == {"not rated": 600}
    assert dataset.statistics["rows_rejected"] == 600
    assert dataset.rejects == []


def test_a_mark_is_named_by_ingest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [(user, rating if user < "u15" else -1, movie) for user, rating, movie in full()]
    file = write(tmp_path / "r.csv", netflix(rows))
    ingest(ratings=file, output=str(tmp_path / "dataset"))
    assert "leave these rows out with --not-rated -1" in " ".join(capsys.readouterr().err.split())


def test_evaluate_reads_ratings_by_the_same_rules(tmp_path: Path) -> None:
    rows = ["007,m1,3,05.02.2004", "7.0,m1,4,06.01.2004", "NULL,m1,5,", "8,m2,0,", "9,m3,2,"]
    file = write(tmp_path / "r.csv", HEADER + "\n".join(rows))
    options = {"id_type": "int", "not_rated": "0", "time_format": "%d.%m.%Y"}
    read = read_ratings(file, "", (0, 5), ReadOptions.read(options))
    assert (read.user_ids.tolist(), read.ratings.ratings.tolist()) == (["7", "9"], [3, 2])


OWN = """Date,Name,Year,Note,Rating
2024-01-01,"A, B",1999,,5\r
2024-01-02,C,2001,"first
second",4.5

2024-01-03,E,2003,,0.5"""


def test_a_persons_own_export_gets_a_user(tmp_path: Path) -> None:
    own = write(tmp_path / "own.csv", OWN)
    words = ["--ratings", str(own), "--user", "me", "--columns", "movie=Name,rating=Rating,time=Date"]
    result = CliRunner().invoke(describe, [*words, "--json"])
    found = json.loads(result.stdout)
    assert (found["rows_read"], found["rows_kept"], found["users"]) == (3, 3, 1)
    assert found["rating_histogram"] == {"0.5": 1, "4.5": 1, "5": 1}
    read = read_ratings(str(own), "movie=Name,rating=Rating", (0.5, 5), ReadOptions(user="me"))
    assert (read.user_ids.tolist(), read.movie_ids.tolist()) == (["me"], ["A, B", "C", "E"])


@pytest.mark.parametrize(
    ("text", "user", "says"),
    [
        (OWN, "a,b", "--user a,b: it holds what divides the columns of"),
        (OWN, "me", "has no columns for user, movie and rating"),
        ("1 2 3\n", "me", "--user goes with text tables that have a header"),
    ],
)
def test_a_user_that_cannot_be_added_is_one_line(tmp_path: Path, text: str, user: str, says: str) -> None:
    words = ["--ratings", str(write(tmp_path / "own.csv", text)), "--user", user]
    result = CliRunner().invoke(describe, words)
    assert isinstance(result.exception, UserError)
    assert says in str(result.exception)

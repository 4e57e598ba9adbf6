"""Users to forget are in no output and no message, whatever their rows are like."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ratings_files import Dataset, full, ingest_text, netflix, parquet, write

from components.errors import UserError
from components.evaluate.held_out import read_ratings
from components.ingest.inputs import fingerprint_of
from components.ingest.settings import ReadOptions
from components.ingest.step import describe, ingest_command

SECRET = "jane.doe"
# Rows of the user to forget, one of each kind that is rejected, and a sound one.
BAD = [
    f"{SECRET},9,m1",
    f"{SECRET},x,m1",
    f"{SECRET},,m1",
    f"{SECRET},3,",
    f"{SECRET},3,other",
    f"{SECRET},3,m2,too,many",
    f'"{SECRET},3,m2',
    f" {SECRET} ,2,m3",
    f"{SECRET},3,m3",
]


def forget(folder: Path, *ids: str) -> str:
    return write(folder / "forget.txt", "\n".join(ids) + "\n")


def everything_written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_no_output_and_no_message_names_them(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    text = netflix(full()) + "".join(f"{row}\n" for row in BAD) + "u1,9,m1\n"
    dataset = ingest_text(tmp_path, text, forget=forget(tmp_path, SECRET), max_reject_rate=0.5)
    assert SECRET.encode() not in everything_written(dataset.path)
    said = capfd.readouterr()
    assert SECRET not in said.out + said.err
    assert dataset.statistics["forgotten"] == {"listed": 1, "users": 1, "rows": 8}
    assert "--forget: 1 of 1 users left out, with 8 rows; 0 have none here" in said.err
    # The line whose quote is not closed is of nobody who could be named: its place is listed, not its text.
    assert [(reject["reason"], reject["text"]) for reject in dataset.rejects] == [
        ("malformed line", ""),
        ("rating off the scale", "u1,9,m1"),
    ]
    assert dataset.statistics["rejected_by_reason"]["forgotten user"] == 8
    assert dataset.statistics["rows_read"] == len(full()) + len(BAD) + 1
    assert {user for user, _ in dataset.ratings()} == {f"u{number}" for number in range(20)}


def test_the_rest_is_as_if_they_had_never_been(tmp_path: Path) -> None:
    (tmp_path / "without").mkdir()
    kept = [row for row in full() if row[0] not in ("u3", "u4")]
    without = ingest_text(tmp_path / "without", netflix(kept))
    dataset = ingest_text(tmp_path, netflix(full()), forget=forget(tmp_path, "u3", "u4"))
    assert dataset.sides() == without.sides()
    counted = {"rows_read", "rows_rejected", "rejected_by_reason", "forgotten", "fingerprint", "seconds"}
    assert {key: value for key, value in dataset.statistics.items() if key not in counted} == {
        key: value for key, value in without.statistics.items() if key not in counted
    }


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ("\ufeffu3\r\nu4\r\n\r\n", {}),
        ('"u3"\n u4 \t\nu4\n', {}),
        (gzip.compress(b"u4\nu3\n", mtime=0), {}),
        ("u3\nu4\nNULL\n", {}),
    ],
)
def test_the_file_is_read_as_ids_are(tmp_path: Path, content: str | bytes, flags: dict[str, Any]) -> None:
    file = write(tmp_path / "forget.txt", content)
    dataset = ingest_text(tmp_path, netflix(full()), forget=file, **flags)
    assert dataset.statistics["forgotten"] == {"listed": 2, "users": 2, "rows": 40}


def test_numbers_are_the_same_with_zeros_before_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(int(user[1:]), rating, movie) for user, rating, movie in full()]
    listed = forget(tmp_path, "0003", "4.0", "99")
    dataset = ingest_text(tmp_path, netflix(rows), forget=listed)
    assert dataset.statistics["forgotten"] == {"listed": 3, "users": 0, "rows": 0}
    assert "2 of those without ratings would have some with --id-type int" in capsys.readouterr().err
    dataset = ingest_text(tmp_path, netflix(rows), forget=listed, ingest_settings={"id_type": "int"})
    assert dataset.statistics["forgotten"] == {"listed": 3, "users": 2, "rows": 40}
    assert "would have some" not in capsys.readouterr().err


def test_another_case_is_hinted_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ingest_text(tmp_path, netflix(full()), forget=forget(tmp_path, "U3", "nobody"))
    said = capsys.readouterr().err
    assert "--forget: 0 of 2 users left out, with 0 rows; 2 have none here" in said
    assert "1 of those without ratings would have some if capital and small letters were the same" in said


def test_test_ratings_and_parquet_and_events_too(tmp_path: Path) -> None:
    users, stars, movies = zip(*full(), strict=True)
    table = parquet({"user": users, "rating": stars, "movie": movies})
    test = write(tmp_path / "test.csv", "user,movie,rating\nu3,m1,5\nu4,m1,4\nu5,m1,3\n")
    dataset = ingest_text(
        tmp_path, table, name="ratings.parquet", test_ratings=test, forget=forget(tmp_path, "u3", "u4")
    )
    assert {user for user, _ in dataset.ratings()}.isdisjoint({"u3", "u4"})
    assert [row["user_id"] for row in dataset.split("test")] == ["u5"]
    dataset = ingest_text(
        tmp_path,
        netflix(full()),
        forget=forget(tmp_path, "u3"),
        ingest_settings={"feedback": "implicit"},
    )
    assert "u3" not in {user for user, _ in dataset.ratings()}


def test_without_a_movie_table_their_movies_go_with_them(tmp_path: Path) -> None:
    rows = netflix([*full(), (SECRET, 3, "only theirs")])
    dataset = ingest_text(tmp_path, rows, movies=None, forget=forget(tmp_path, SECRET))
    assert "only theirs" not in [row["movie_id"] for row in dataset.movies]


def test_the_fingerprint_is_of_the_users_and_not_of_their_order(tmp_path: Path) -> None:
    def fingerprint(*ids: str) -> str:
        dataset: Dataset = ingest_text(tmp_path, netflix(full()), forget=forget(tmp_path, *ids))
        return str(dataset.statistics["fingerprint"])

    assert fingerprint("u3", "u4") == fingerprint("u4", "u3", "u3", "")
    assert fingerprint("u3", "u4") != fingerprint("u3")
    ratings, movies = str(tmp_path / "ratings.csv"), str(tmp_path / "movies.csv")
    without = ingest_text(tmp_path, netflix(full())).statistics["fingerprint"]
    assert without == fingerprint_of(ratings, movies, "") != fingerprint("u3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("\n \nNULL\n", "names no user; put one user id on each line, or leave the flag out"),
        ("", "is empty"),
        (parquet({"user": ["u1"]}), "is a Parquet file; name a text file"),
        (b"u\0 1\n", "is not UTF-8 text"),
        (None, "no such file|does not exist|cannot be read|there is no"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    file = str(tmp_path / "forget.txt") if content is None else write(tmp_path / "forget.txt", content)
    with pytest.raises(UserError, match=rf"^--forget .*({message})"):
        ingest_text(tmp_path, netflix(full()), forget=file)
    assert not (tmp_path / "dataset").exists()


def test_no_refusal_shows_a_line_of_theirs(tmp_path: Path) -> None:
    listed = forget(tmp_path, SECRET)
    with pytest.raises(UserError, match="must be rejected") as refused:
        ingest_text(tmp_path, netflix(full(2)) + f'"{SECRET},3,m2\n' * 9, forget=listed)
    assert SECRET not in str(refused.value)
    with pytest.raises(UserError, match="its first line is") as refused:
        ingest_text(tmp_path, f"{SECRET} has seen m1\n", forget=listed)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


def test_describe_counts_them(tmp_path: Path) -> None:
    ratings = write(tmp_path / "ratings.csv", netflix(full()) + f"{SECRET},9,m1\n")
    words = ["--ratings", ratings, "--forget", forget(tmp_path, SECRET)]
    done = CliRunner().invoke(describe, words, catch_exceptions=False)
    assert "--forget: 1 of 1 users left out, with 1 rows; 0 have none here" in done.stdout
    assert SECRET not in done.output
    found = json.loads(CliRunner().invoke(describe, [*words, "--json"], catch_exceptions=False).stdout)
    assert found["forgotten"] == {"listed": 1, "users": 1, "rows": 1}


def test_several_files_by_the_flag_repeated(tmp_path: Path) -> None:
    ratings = write(tmp_path / "ratings.csv", netflix(full()))
    files = [write(tmp_path / f"{user}.txt", user) for user in ("u3", "u4")]
    words = ["--ratings", ratings, "--output", str(tmp_path / "dataset")]
    words += [word for file in files for word in ("--forget", file)]
    done = CliRunner().invoke(ingest_command, words, catch_exceptions=False)
    assert done.exit_code == 0
    assert Dataset(tmp_path / "dataset").statistics["forgotten"]["users"] == 2


def test_held_out_ratings_of_evaluate_too(tmp_path: Path) -> None:
    ratings = write(tmp_path / "ratings.csv", netflix(full()) + f"{SECRET},3,m1\n")
    listed = forget(tmp_path, SECRET, "u3")
    read = read_ratings(ratings, "", (1, 5), ReadOptions(), listed)
    assert set(read.user_ids) == {f"u{number}" for number in range(20)} - {"u3"}


@pytest.mark.parametrize("place", ["gcs", "s3"], indirect=True)
def test_the_list_may_lie_in_a_bucket(place: str, tmp_path: Path) -> None:
    from components.storage import open_storage

    open_storage(place).write_bytes("forget.txt", b"u3\n")
    dataset = ingest_text(tmp_path, netflix(full()), forget=f"{place}/forget.txt")
    assert dataset.statistics["forgotten"] == {"listed": 1, "users": 1, "rows": 20}

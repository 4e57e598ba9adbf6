"""`twotower describe`: what ingest would find, without writing anything."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from ratings_files import MOVIE_IDS, MOVIES, full, ingest_text, netflix, write

from components.errors import UserError
from components.ingest.step import describe
from components.power import foretell


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with a good ratings file and its movie table."""
    folder = tmp_path / "files"
    folder.mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("COLUMNS", "80")
    write(folder / "ratings.csv", netflix(full()))
    write(folder / "movies.csv", MOVIES)
    return folder


def described(*flags: str) -> Result:
    return CliRunner().invoke(
        describe, ["--ratings", "ratings.csv", "--movies", "movies.csv", *flags], catch_exceptions=False
    )


def test_the_screen_tells_what_is_there(files: Path) -> None:
    result = described()
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for line in (
        "ratings.csv (netflix)",
        "movies.csv (movies)",
        "400 rows read, 400 kept, 0 rejected, 0 left out",
        "20 users, 20 of 20 movies rated (100.0%), 100.00% of all pairs",
        "scale from 1 to 5, mean 3",
        "user 20 20 20 20 20 20 20 20",
        "ingest would take this",
    ):
        assert line in lines
    assert any(line.startswith("4 80 20.0% █") for line in lines)
    assert "test rows decide little: the gate would miss losses" in " ".join(lines)
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "rejected" not in result.stdout.partition("400 rows read, 400 kept, 0 rejected")[2]


def test_rejects_are_shown_by_reason_with_the_first_of_each(files: Path) -> None:
    rows = [("u0", 9, "m1"), ("u1", 8, "m1"), ("u0", 3, "[bold]"), *full()]
    write(files / "ratings.csv", netflix(rows))
    text = " ".join(described("--max-reject-rate", "0").stdout.split())
    assert "rating off the scale 2 ratings.csv line 2: 'u0,9,m1'" in text
    assert "unknown movie 1 ratings.csv line 4: 'u0,3,[bold]'" in text
    assert "ingest would refuse this: 3 of 403 rows (0.7%) must be rejected" in text


def test_nothing_is_written(files: Path) -> None:
    described()
    described("--json")
    assert {path.name for path in files.iterdir()} == {"ratings.csv", "movies.csv"}
    assert list((files.parent / "temporary").iterdir()) == []


def test_json_is_what_ingest_writes(files: Path) -> None:
    rows = [("u0", 9, "m1"), ("u0", 3, "m1"), *full()]
    write(files / "ratings.csv", netflix(rows))
    flags = ("--min-user-ratings", "3", "--test-fraction", "0.2", "--max-train-rows", "100", "--seed", "7")
    printed = json.loads(described("--json", *flags).stdout)
    written = ingest_text(
        files, netflix(rows), min_user_ratings=3, test_fraction=0.2, max_train_rows=100, seed=7
    ).statistics
    assert (printed.pop("refusal"), printed.pop("notices")) == (None, [])
    assert printed.pop("power") == foretell(written["splits"]["test"])
    assert printed.pop("seconds") > 0 < written.pop("seconds")
    assert printed == written


def test_files_that_would_be_refused_are_described_all_the_same(files: Path) -> None:
    write(files / "ratings.csv", netflix([("u", 3, "m1")]))
    printed = json.loads(described("--json").stdout)
    assert printed["refusal"].startswith("too little data: of 1 usable ratings none is left for")
    assert printed["rows_kept"] == 1
    write(files / "ratings.csv", netflix([("u", 3, "absent")]))
    printed = json.loads(described("--json").stdout)
    assert "1 of 1 rows (100.0%) must be rejected" in printed["refusal"]
    assert (printed["users"], printed["rating_mean"], printed["rating_histogram"]) == (0, None, {})
    shown = described()
    assert "ingest would refuse this" in shown.stdout
    assert shown.exit_code == 2


def test_times_are_dates_and_odd_ones_are_told(files: Path) -> None:
    header = "userId,movieId,rating,timestamp\n"
    for times, expected in (
        (("86400", "1100000000"), "from 1970-01-02 to 2004-11-09"),
        (("1900-01-01", "12004-11-09"), "from 1900-01-01 to second 316,669,478,400 since 1970"),
    ):
        rows = [f"{u},{m},{r},{times[int(u != 'u0')]}\n" for u, r, m in full()]
        write(files / "ratings.csv", header + "".join(rows))
        assert expected in described().stdout


def test_many_levels_fit_on_the_screen(files: Path) -> None:
    rows = [f"u{user},{movie},{(user * 20 + place) / 20 - 10}\n" for user in range(20)
            for place, movie in enumerate(MOVIE_IDS)]  # fmt: skip
    write(files / "ratings.csv", "user,movie,rating\n" + "".join(rows))
    printed = json.loads(described("--json").stdout)
    assert printed["rating_scale"] == [-10, 10]
    histogram = printed["rating_histogram"]
    assert len(histogram) <= 201
    assert sum(histogram.values()) == 400
    bars = [line for line in described().stdout.splitlines() if line.rstrip().endswith("█")]
    assert 10 <= len(bars) <= 21
    assert sum(int(line.split()[1]) for line in bars) == 400


def test_a_file_that_cannot_be_read_is_a_mistake(files: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        described("--ratings", "absent.csv")
    assert list((files.parent / "temporary").iterdir()) == []

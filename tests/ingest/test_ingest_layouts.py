"""The files that people bring."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from ratings_files import Dataset, full, ingest_text, parquet, write

from components.errors import UserError
from components.ingest.layouts import FORMATS
from components.ingest.step import ingest

ROWS = full()
EXPECTED = {(user, movie): rating for user, rating, movie in ROWS}
SECONDS = 1_100_000_000


def joined(delimiter: str, header: str = "", time: str = "") -> str:
    """The rows with a delimiter, in the order of MovieLens, with a time if wanted."""
    last = f"{delimiter}{time}" if time else ""
    return header + "".join(
        f"{user}{delimiter}{movie}{delimiter}{rating}{last}\n" for user, rating, movie in ROWS
    )


LAYOUTS: dict[str, tuple[str | bytes, dict[str, str]]] = {
    "MovieLens": (joined(",", "userId,movieId,rating,timestamp\n", str(SECONDS)), {}),
    "MovieLens, double colons": (joined("::", time=str(SECONDS)), {}),
    "MovieLens, tabs": (joined("\t", time=str(SECONDS)), {}),
    "dates": (joined(",", "user,item,rating,date\n", "2004-11-09"), {}),
    "dates and times": (joined(";", "user;item;stars;time\n", "2004-11-09 11:33:20"), {}),
    "columns by name": (
        joined("|", "who|what|how much|when\n", str(SECONDS)),
        {"columns": "user=who,movie=what,rating=how much,time=when"},
    ),
    "columns by number, no header": (
        joined(",", time=str(SECONDS)),
        {"columns": "user=1,movie=2,rating=3,time=4"},
    ),
    "columns by number, header": (
        joined(",", "a,b,c,d\n", str(SECONDS)),
        {"columns": "user=1,movie=2,rating=3,time=4"},
    ),
    "spaces": (joined("  ", time=str(SECONDS)), {}),
    "spaces, header": (joined(" ", "user item rating timestamp\n", f"\t{SECONDS}"), {}),
    "JSON lines": (
        "".join(
            json.dumps({"overall": rating, "reviewerID": user, "asin": movie, "unixReviewTime": SECONDS})
            + "\n"
            for user, rating, movie in ROWS
        ),
        {},
    ),
    "JSON lines, columns by name": (
        "".join(
            json.dumps({"a/b~": rating, "b": {"c": 1}, 'd"': user, "e": movie, "f": None, "": SECONDS}) + "\n"
            for user, rating, movie in ROWS
        ),
        {"columns": 'user=d",movie=e,rating=a/b~'},
    ),
    "Netflix Prize": (
        "".join(
            f"{movie}:\n" + "".join(f"{u},{rating},2004-11-09\n" for u, rating, m in ROWS if m == movie)
            for movie in sorted({movie for _, _, movie in ROWS})
        ),
        {},
    ),
    "Parquet": (
        parquet(
            {
                "rating": [float(rating) for _, rating, _ in ROWS],
                "other": [None] * len(ROWS),
                "userId": [user for user, _, _ in ROWS],
                "movieId": [movie for _, _, movie in ROWS],
                "timestamp": [SECONDS] * len(ROWS),
            }
        ),
        {},
    ),
    "Parquet, columns by name": (
        parquet(
            {
                "a": [movie for _, _, movie in ROWS],
                'b"; DROP TABLE rows; --': [user for user, _, _ in ROWS],
                "c": [rating for _, rating, _ in ROWS],
                "d": pa.array([SECONDS] * len(ROWS), pa.timestamp("s")),
            }
        ),
        {"columns": 'user=b"; DROP TABLE rows; --,movie=a,rating=c,time=d'},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_known_by_its_content(tmp_path: Path, layout: str) -> None:
    ratings, flags = LAYOUTS[layout]
    dataset = ingest_text(tmp_path, ratings, name="file", max_reject_rate=0, **flags)
    assert dataset.ratings() == EXPECTED
    days = {"dates", "Netflix Prize"}
    expected = SECONDS // 86400 * 86400 if layout in days else SECONDS
    untimed = layout == "JSON lines, columns by name"
    assert {row.get("time") for row in dataset.split("train")} == {None if untimed else expected}


NAMES = {
    "MovieLens": "movielens",
    "MovieLens, double colons": "movielens-dat",
    "MovieLens, tabs": "movielens-tab",
    "dates": "csv",
    "dates and times": "csv",
    "columns by name": "csv",
    "columns by number, no header": "csv",
    "spaces": "spaces",
    "spaces, header": "spaces",
    "JSON lines": "jsonl",
    "JSON lines, columns by name": "jsonl",
    "Netflix Prize": "netflix-prize",
    "Parquet": "parquet",
    "Parquet, columns by name": "parquet",
}


@pytest.mark.parametrize("layout", NAMES)
def test_a_layout_may_be_named(tmp_path: Path, layout: str) -> None:
    ratings, flags = LAYOUTS[layout]
    dataset = ingest_text(tmp_path, ratings, name="file", max_reject_rate=0, format=NAMES[layout], **flags)
    assert dataset.ratings() == EXPECTED


def test_every_layout_is_tried() -> None:
    assert set(FORMATS) <= {*LAYOUTS, *NAMES.values(), "netflix", "tsv"}


def test_the_kaggle_layout_and_a_table_with_tabs_may_be_named(tmp_path: Path) -> None:
    for name, text in (
        ("netflix", joined(",", "User_ID,Movie_ID,Rating\n")),
        ("tsv", joined("\t", "user\tmovie\trating\n")),
    ):
        assert ingest_text(tmp_path, text, max_reject_rate=0, format=name).ratings() == EXPECTED


@pytest.mark.parametrize(
    ("layout", "named", "message"),
    [
        ("MovieLens", "netflix", "is not in the layout of --format netflix: its first line is 'userId,"),
        ("dates", "movielens", "is not in the layout of --format movielens"),
        ("dates", "tsv", "is not in the layout of --format tsv"),
        ("dates", "parquet", "is no Parquet file, against --format parquet"),
        ("Parquet", "csv", "is a Parquet file, against --format csv"),
        ("dates", "excel", "--format excel: give jsonl, netflix, netflix-prize,"),
        (
            "columns by name",
            "movielens",
            "--columns goes with --format csv, tsv, jsonl, spaces, parquet only",
        ),
        ("columns by name", "tsv", "no such columns: --columns user=who"),
    ],
)
def test_a_file_in_another_layout_than_the_one_named_is_refused(
    tmp_path: Path, layout: str, named: str, message: str
) -> None:
    ratings, flags = LAYOUTS[layout]
    with pytest.raises(UserError) as raised:
        ingest_text(tmp_path, ratings, name="file", format=named, **flags)
    assert message in str(raised.value)
    assert not (tmp_path / "dataset").exists()


def test_a_named_layout_is_read_from_whatever_line_it_begins_with(tmp_path: Path) -> None:
    prize = f"u0,3,2004-01-01\n{LAYOUTS['Netflix Prize'][0]!s}"
    dataset = ingest_text(tmp_path, prize, format="netflix-prize")
    assert dataset.reasons() == {1: "no movie"}
    assert dataset.ratings() == EXPECTED
    dataset = ingest_text(tmp_path, "u0::m1::good::0\n" + joined("::", time="0"), format="movielens-dat")
    assert dataset.reasons() == {1: "rating not a number"}
    assert dataset.ratings() == EXPECTED


def test_rejects_of_the_netflix_prize_layout_have_their_lines(tmp_path: Path) -> None:
    text = "0:\nu1,3,2004-01-01\nm1:\nu1,9,2004-01-01\n\nu2,3,yesterday\nu3,3\n"
    text += "m2:\nu2,1,2004-01-01\nu2,2,2004-01-01\n"
    text += "".join(f"v{number},3,2004-01-01\n" for number in range(400))
    dataset = ingest_text(tmp_path, text, max_reject_rate=0.05)
    assert dataset.reasons() == {
        2: "unknown movie",
        4: "rating off the scale",
        6: "time not understood",
        7: "malformed line",
        9: "duplicate",
    }
    assert dataset.statistics["rows_read"] == 406
    assert dataset.ratings()[("u2", "m2")] == 2


def test_a_rating_above_the_first_movie_has_no_movie(tmp_path: Path) -> None:
    text = "m1:\n" + "".join(f"v{number},3,2004-01-01\n" for number in range(400))
    write(tmp_path / "second.txt", "m2:\nu,3,2004-01-01\n")
    write(tmp_path / "first.txt", text)
    ingest(ratings=f"{tmp_path}/first.txt,{tmp_path}/second.txt", output=str(tmp_path / "dataset"))
    assert Dataset(tmp_path / "dataset").ratings()[("u", "m2")] == 3


def test_without_a_movie_table_ids_serve_as_titles(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, joined("\t"), movies=None)
    assert dataset.ratings() == EXPECTED
    assert dataset.movies[:2] == [
        {"movie_id": name, "title": name, "year": None, "genres": ""} for name in ("m0", "m1")
    ]


@pytest.mark.parametrize(
    ("ratings", "scale"),
    [
        ([1, 2, 3, 4, 5], [1, 5]),
        ([2, 3, 4], [1, 5]),
        ([3], [1, 5]),
        ([0.5, 2, 3.5, 5], [0.5, 5]),
        ([0, 1, 5], [0, 5]),
        ([0, 1], [0, 1]),
        ([1, 7, 10], [1, 10]),
        ([0, 7, 10], [0, 10]),
        ([-10, 0, 9.99], [-10, 10]),
        ([0, 50, 100], [0, 100]),
        ([-3000, 7000], [-3000, 7000]),
    ],
)
def test_the_scale_is_found_from_the_data(tmp_path: Path, ratings: list[float], scale: list[float]) -> None:
    rows = [f"{user},{movie},{ratings[place % len(ratings)]}" for place, (user, _, movie) in enumerate(ROWS)]
    dataset = ingest_text(tmp_path, "user,movie,rating\n" + "\n".join(rows))
    assert dataset.statistics["rating_scale"] == scale
    assert dataset.rejects == []


def test_a_few_ratings_beyond_the_scale_are_rejected(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, "user,movie,rating\nu,m1,55\nu,m2,-1\n" + joined(","))
    assert dataset.reasons() == {2: "rating off the scale", 3: "rating off the scale"}


def test_the_scale_can_be_set(tmp_path: Path) -> None:
    dataset = ingest_text(tmp_path, joined("\t"), rating_scale="0,4", max_reject_rate=0.5)
    assert dataset.statistics["rating_scale"] == [0, 4]
    assert dataset.statistics["rejected_by_reason"] == {"rating off the scale": 80}


@pytest.mark.parametrize(
    ("table", "movies"),
    [
        (
            'Movie_ID,Year,Name\nm1,1999,"One, Two"\nm2,,\nm3,NULL,"A ""b"""\n',
            [("One, Two", 1999), ("m2", None), ('A "b"', None)],
        ),
        ("Name,Movie_ID\nA (2001),m1\nB,m2\n(2002),m3\n", [("A", 2001), ("B", None), ("(2002)", None)]),
        (
            "movieId,title,genres\nm1,A (b) (2001) ,X|Y\nm2,B (20),\nm3,C (0001),\n",
            [("A (b)", 2001), ("B (20)", None), ("C (0001)", None)],
        ),
        ("Movie_ID,Year,Name\nm1,1999.0,A\nm2,next,B\nm3,19999,C\n", [("A", 1999), ("B", None), ("C", None)]),
        ("id\ttitle\nm1\tA\nm2\tB\nm3\tC\n", [("A", None), ("B", None), ("C", None)]),
        (
            'Movie_ID,Name\nm1,"two\nlines"\nm2,' + "x" * 10_000 + "\nm3\n",
            [("two lines", None), ("x" * 10_000, None), ("m3", None)],
        ),
        ("Movie_ID,Name\nm1,A\nm1,again\n,nothing\nm2,B\n\nm3,C\n", [("A", None), ("B", None), ("C", None)]),
        ("\ufeffMovie_ID,Name\r\nm1,A\r\nm2,B\r\nm3,C\r\n", [("A", None), ("B", None), ("C", None)]),
    ],
)
def test_movie_tables(tmp_path: Path, table: str, movies: list[tuple[str, int | None]]) -> None:
    dataset = ingest_text(tmp_path, few_movies(), table)
    assert [(movie["title"], movie["year"]) for movie in dataset.movies] == movies
    assert [movie["movie_id"] for movie in dataset.movies] == ["m1", "m2", "m3"]


def few_movies() -> str:
    return "User_ID,Movie_ID,Rating\n" + "".join(f"u{user},m{user % 3 + 1},3\n" for user in range(200))


@pytest.mark.parametrize(
    ("table", "movies"),
    [
        (b"1,1999,Am\xe9lie, or not\n2,NULL,B\n", [("Amélie, or not", 1999), ("B", None)]),
        (b"1::Am\xe9lie (1999)::Comedy|Drama\n2::B::Drama\n", [("Amélie", 1999), ("B", None)]),
        (b"1|Am\xe9lie (1999)|01-Jan-1999||http://x|0\n2|B||||\n", [("Amélie", 1999), ("B", None)]),
        (
            parquet({"movieId": [1, 2], "title": ["Amélie", None], "year": [1999, None]}),
            [("Amélie", 1999), ("2", None)],
        ),
    ],
)
def test_movie_tables_without_a_header(
    tmp_path: Path, table: bytes, movies: list[tuple[str, int | None]]
) -> None:
    ratings = "User_ID,Movie_ID,Rating\n" + "".join(f"u{user},{user % 2 + 1},3\n" for user in range(200))
    dataset = ingest_text(tmp_path, ratings, table)
    assert [(movie["title"], movie["year"]) for movie in dataset.movies] == movies


@pytest.mark.parametrize(
    ("table", "genres"),
    [
        ("movieId,title,genres\n1,A,X|Y\n2,B,(no genres listed)\n", ["X|Y", ""]),
        ('id,name,genre\n1,A,"Drama, Science Fiction;X"\n2,B\n', ["Drama|Science Fiction|X", ""]),
        (b"1::A::Comedy|Drama\n2::B\n3\n", ["Comedy|Drama", "", ""]),
        (b"1|A|01-Jan-1999||http://x|0|1|0" + b"|0" * 15 + b"|1\n2|B||||\n", ["Action|Western", ""]),
        (parquet({"movieId": [1, 2], "title": ["A", "B"], "genres": [["X", "Y"], None]}), ["X|Y", ""]),
        ("Movie_ID,Year,Name\n1,1999,A\n2,,B\n", ["", ""]),
        (None, ["", ""]),
    ],
)
def test_genres_are_kept(tmp_path: Path, table: str | bytes | None, genres: list[str]) -> None:
    ratings = "User_ID,Movie_ID,Rating\n" + "".join(f"u{user},{user % 2 + 1},3\n" for user in range(200))
    dataset = ingest_text(tmp_path, ratings, table)
    assert [movie["genres"] for movie in dataset.movies] == genres


def test_what_was_mended_in_the_movie_table_is_counted(tmp_path: Path) -> None:
    table = "Movie_ID,Year,Name\nm1,1999,A\nm1,1999,again\n,1999,nothing\nm2,,B\nm3,1999,\n"
    assert ingest_text(tmp_path, few_movies(), table).statistics["movie_table"] == {
        "without_id": 1, "duplicate_ids": 1, "without_title": 1, "without_year": 1,
        "malformed": 0, "added": 0,
    }  # fmt: skip


def test_two_columns_that_could_be_the_movie_are_not_guessed_between(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--columns"):
        ingest_text(tmp_path, "user,movie,item,rating\nu,m1,m2,3\n")


@pytest.mark.parametrize(
    "folder", ["movielens-latest-small", "netflix-head", "netflix-original-format", "movielens-1m"]
)
def test_research_data(tmp_path: Path, research_data: Path, folder: str) -> None:
    files: dict[str, tuple[str, str, dict[str, Any]]] = {
        "movielens-latest-small": (
            "ratings.csv.gz",
            "movies.csv",
            {"rows": 100_836, "movies": 9742, "timed": True},
        ),
        "netflix-head": ("*Rating.csv", "Netflix_Dataset_Movie.csv", {"rows": 99_999, "movies": 17_770}),
        "netflix-original-format": (
            "combined*",
            "movie_titles.csv",
            {"rows": 42_813, "movies": 17_770, "timed": True},
        ),
        "movielens-1m": ("test.csv.gz", "movies.csv", {"rows": 100_209, "movies": 3883}),
    }
    ratings, movies, expected = files[folder]
    place = research_data / folder
    ingest(
        ratings=str(place / ratings),
        movies=str(place / movies),
        output=str(tmp_path / "dataset"),
        max_reject_rate=0,
    )
    dataset = Dataset(tmp_path / "dataset")
    assert dataset.statistics["rows_kept"] == dataset.statistics["rows_read"] == expected["rows"]
    assert len(dataset.movies) == expected["movies"]
    assert ("time" in dataset.split("test")[0]) == expected.get("timed", False)

"""Data at the edges: little of it, all alike, on odd scales, with odd ids; and a bad row in every layout."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged_files import TIME, layouts
from ratings_files import MOVIE_IDS, MOVIES, Row, full, ingest_text, netflix

from components.errors import UserError
from components.vocabulary.interactions import Interactions
from components.vocabulary.step import vocabulary


def encoded(folder: Path) -> Interactions:
    """What `vocabulary` makes of the dataset in `folder`."""
    vocabulary(
        dataset=str(folder / "dataset"),
        vocabulary_output=str(folder / "vocabulary"),
        output=str(folder / "interactions"),
    )
    return Interactions.load(folder / "interactions")


@pytest.mark.parametrize(
    ("rows", "users", "movies"),
    [
        ([("u", 3, movie) for movie in MOVIE_IDS], 1, 20),
        ([(f"u{user}", user % 5 + 1, "m1") for user in range(60)], 60, 1),
        ([(user, 4, movie) for user, _, movie in full()], 20, 20),
    ],
    ids=["one user", "one movie", "all equal"],
)
def test_data_without_variety_are_divided_and_encoded(
    tmp_path: Path, rows: list[Row], users: int, movies: int
) -> None:
    statistics = ingest_text(tmp_path, netflix(rows)).statistics
    assert (statistics["users"], statistics["movies_rated"]) == (users, movies)
    assert statistics["share_of_movies_rated"] == movies / 20
    interactions = encoded(tmp_path)
    assert interactions.users == users
    assert interactions.rating_scale == (1, 5)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("u1", 3, "m1")], "of 1 usable ratings none is left for"),
        ([("u1", 3, "m1"), ("u1", 4, "m2")], "of 2 usable ratings none is left for"),
    ],
)
@pytest.mark.parametrize("split", ["random", "time", "leave-last-out"])
def test_too_little_data_is_refused_with_what_is_needed(
    tmp_path: Path, rows: list[Row], message: str, split: str
) -> None:
    text = "userId,movieId,rating,timestamp\n" + "".join(f"{u},{m},{r},5\n" for u, r, m in rows)
    with pytest.raises(UserError, match=f"too little data: {message}.* at least 1 in each of train"):
        ingest_text(tmp_path, text, split=split)
    assert not (tmp_path / "dataset").exists()


def test_rules_that_leave_nothing_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"of 0 usable ratings \(400 were left out\).*lower --min-user-ratings"
    ):
        ingest_text(tmp_path, netflix(full()), min_user_ratings=21)


def test_equal_ratings_beyond_all_scales_need_one(tmp_path: Path) -> None:
    text = "user,movie,rating\n" + "".join(f"{user},{movie},7000\n" for user, _, movie in full())
    with pytest.raises(UserError, match=r"every rating is 7000, .* --rating-scale"):
        ingest_text(tmp_path, text)
    assert ingest_text(tmp_path, text, rating_scale="0,10000").statistics["rating_mean"] == 7000


@pytest.mark.parametrize(
    ("scale", "inside", "outside"),
    [
        ("0.5,5", [0.5, 3.5, 5], [0, 5.5]),
        ("1,10", [1, 10], [0.5, 11]),
        ("-10,10", [-10, 0, 9.75], [-10.5, 11]),
    ],
)
def test_a_scale_that_is_set_decides(
    tmp_path: Path, scale: str, inside: list[float], outside: list[float]
) -> None:
    rows = [(u, inside[place % len(inside)], m) for place, (u, _, m) in enumerate(full())]
    odd = [(f"odd{place}", rating, "m1") for place, rating in enumerate(outside)]
    text = "user,movie,rating\n" + "".join(f"{u},{m},{r}\n" for u, r, m in [*odd, *rows])
    dataset = ingest_text(tmp_path, text, rating_scale=scale)
    assert dataset.reasons() == {2: "rating off the scale", 3: "rating off the scale"}
    assert dataset.statistics["rating_scale"] == [float(bound) for bound in scale.split(",")]
    assert set(dataset.ratings().values()) == set(inside)
    assert encoded(tmp_path).rating_scale == tuple(map(float, scale.split(",")))


@pytest.mark.parametrize("layout", layouts(1))
def test_a_bad_row_is_listed_with_its_line_in_every_layout(tmp_path: Path, layout: str) -> None:
    known = layouts(20)[layout]
    lines = known.text.split("\n")
    place = 3  # below what the layout is known by
    fields = [f'"{field}"' if ";" in field else field for field in known.fields(lines[place - 1])]

    def changed(role: int, value: str) -> str:
        column = known.order[role]
        assert column is not None
        return known.delimiter.join([*fields[:column], value, *fields[column + 1 :]])

    bad = {
        changed(2, "good"): "rating not a number",
        changed(2, "99"): "rating off the scale",
        changed(2, ""): "no rating",
        changed(0, ""): "no user",
        known.delimiter.join(fields[:2]): "malformed line",
    }
    if known.order[1] is not None:
        bad |= {changed(1, "m99"): "unknown movie", changed(1, ""): "no movie"}
    lines[place - 1 : place - 1] = bad
    dataset = ingest_text(tmp_path, "\n".join(lines), rating_scale="1,5", max_reject_rate=1, **known.flags)
    assert dataset.reasons() == {place + number: reason for number, reason in enumerate(bad.values())}
    assert {row["file"] for row in dataset.rejects} == {str(tmp_path / "ratings.csv")}
    assert len(dataset.ratings()) == 400


def test_a_bad_row_of_a_parquet_file_is_listed_with_its_number(tmp_path: Path) -> None:
    rows: list[Any] = [
        ("u0", "good", "m1"),
        ("", 3, "m1"),
        ("u0", 99, "m1"),
        ("u0", 3, "m99"),
        ("u\0", 3, "m1"),
    ]
    columns = zip(*(map(str, row) for row in [*rows, *full()]), strict=True)
    stream = io.BytesIO()
    pq.write_table(pa.table(dict(zip(("user", "rating", "movie"), map(list, columns), strict=True))), stream)
    dataset = ingest_text(tmp_path, stream.getvalue(), rating_scale="1,5", max_reject_rate=1)
    assert dataset.reasons() == {
        1: "rating not a number", 2: "no user", 3: "rating off the scale", 4: "unknown movie", 5: "nul byte",
    }  # fmt: skip


def test_nul_bytes_and_endless_lines_deep_in_a_file_are_rejected_rows(tmp_path: Path) -> None:
    users = 10_000  # more than a megabyte, which is looked at before a file is read
    good = "".join(f"{'u' * 100}{user},3,m1\n" for user in range(users))
    text = f"User_ID,Rating,Movie_ID\n{good}u\0,3,m1\n{'x' * 3_000_000},3,m1\nu\n"
    dataset = ingest_text(tmp_path, text)
    assert dataset.reasons() == {
        users + 2: "nul byte", users + 3: "line too long", users + 4: "malformed line",
    }  # fmt: skip


IDS = [
    "007",
    "7",
    "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
    "用户",
    "jos\u00e9",
    "jose\u0301",
    "O'Neil",
    "-1",
    "NULL",
]


@pytest.mark.parametrize("layout", ["netflix", "netflix-prize", "movielens-dat", "movielens-tab", "parquet"])
def test_ids_are_strings_in_every_layout(tmp_path: Path, layout: str) -> None:
    pairs = [(user, movie) for user in IDS for movie in IDS]
    movies = "Movie_ID,Year,Name\n" + "".join(f'{name},2000,"A ""{name}"", the first"\n' for name in IDS)
    dataset = ingest_text(
        tmp_path,
        written(layout, pairs),
        movies,
        max_reject_rate=0,
        ingest_settings={"missing_ids": ""},
    )
    assert set(dataset.ratings()) == set(pairs)
    assert [movie["title"] for movie in dataset.movies] == [f'A "{name}", the first' for name in IDS]


def written(layout: str, pairs: list[tuple[str, str]]) -> str | bytes:
    """Ratings of three stars by these users of these movies."""
    if layout == "parquet":
        stream = io.BytesIO()
        users, movies = (list(column) for column in zip(*pairs, strict=True))
        pq.write_table(pa.table({"user": users, "movie": movies, "rating": [3] * len(pairs)}), stream)
        return stream.getvalue()
    if layout == "netflix-prize":
        lines = [f"{m}:\n" + "".join(f"{u},3,2004-01-01\n" for u, of in pairs if of == m) for m in IDS]
        return "".join(lines)
    if layout == "netflix":
        return netflix((user, 3, movie) for user, movie in pairs)
    delimiter = "::" if layout == "movielens-dat" else "\t"
    return "".join(delimiter.join((user, movie, "3", str(TIME))) + "\n" for user, movie in pairs)


def test_a_title_of_ten_thousand_characters(tmp_path: Path) -> None:
    title = "Ein sehr langer Film, Teil " * 370 + "1234567890"
    dataset = ingest_text(tmp_path, netflix(full()), MOVIES.replace("Movie m3\n", f'"{title}"\n'))
    assert len(title) == 10_000
    assert dataset.movies[3]["title"] == title

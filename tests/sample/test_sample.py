"""The generated world: its size, its shape, and that preferences can be learned and seen."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from components.command import command_of
from components.errors import UserError
from components.sample import parts
from components.sample.step import sample
from components.sample.world import GENRES, genre_of, rate_by_user

Ratings = list[tuple[str, int, str]]


def read(folder: Path) -> tuple[Ratings, dict[str, str]]:
    """Ratings (user, stars, movie), and the title of each movie."""
    with (folder / "ratings.csv").open(newline="") as stream:
        ratings = [(row["User_ID"], int(row["Rating"]), row["Movie_ID"]) for row in csv.DictReader(stream)]
    with (folder / "movies.csv").open(newline="") as stream:
        titles = {row["Movie_ID"]: row["Name"] for row in csv.DictReader(stream)}
    return ratings, titles


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ratings, dict[str, str]]:
    folder = tmp_path_factory.mktemp("sample")
    sample(output=str(folder / "sample"))
    return read(folder / "sample")


def test_the_size_is_what_was_asked_for(tmp_path: Path) -> None:
    sample(output=str(tmp_path / "s"), users=70, movies=40, rated_movies=25, ratings=1234)
    ratings, titles = read(tmp_path / "s")
    assert len(ratings) == 1234
    assert len({(user, movie) for user, _, movie in ratings}) == 1234
    assert len({user for user, _, _ in ratings}) == 70
    assert len({movie for _, _, movie in ratings}) == 25
    assert list(titles) == [str(movie) for movie in range(1, 41)]
    assert {stars for _, stars, _ in ratings} <= {1, 2, 3, 4, 5}


def test_a_seed_is_a_world(tmp_path: Path) -> None:
    worlds = []
    for number, seed in enumerate((1, 1, 2)):
        sample(output=str(tmp_path / str(number)), users=30, movies=30, ratings=300, seed=seed)
        worlds.append((tmp_path / str(number) / "ratings.csv").read_bytes())
    assert worlds[0] == worlds[1] != worlds[2]


def test_popularity_and_activity_have_long_tails(world: tuple[Ratings, dict[str, str]]) -> None:
    ratings, _ = world
    for place in (0, 2):
        counts = np.array(sorted(Counter(row[place] for row in ratings).values()))
        assert counts[-len(counts) // 10 :].sum() > 3 * 0.1 * len(ratings)
        assert counts[-1] > 10 * np.median(counts)


def test_some_titles_are_shared_and_some_have_commas(world: tuple[Ratings, dict[str, str]]) -> None:
    _, titles = world
    shared = len(titles) - len(set(titles.values()))
    assert 10 < shared < 100
    assert any("," in title for title in titles.values())


def test_every_title_tells_its_genre(world: tuple[Ratings, dict[str, str]]) -> None:
    _, titles = world
    counts = Counter(map(genre_of, titles.values()))
    assert set(counts) == set(GENRES)
    assert min(counts.values()) > 0.8 * len(titles) / len(GENRES)
    assert genre_of("Casablanca") == ""


def test_no_word_belongs_to_two_genres() -> None:
    subjects = [word for _, words in GENRES.values() for word in words]
    openings = {word for words, _ in GENRES.values() for word in words}
    assert len(subjects) == len(set(subjects))
    assert not openings & set(subjects)


def test_preferences_show_in_choices_and_in_stars(
    world: tuple[Ratings, dict[str, str]],
) -> None:
    """A user's favourite genre in half of the ratings is favoured in the other half as well."""
    ratings, titles = world
    genres = {name: place for place, name in enumerate(GENRES)}
    halves = np.zeros((2, 2000, len(genres)))
    stars = np.zeros((2, 2000, len(genres)))
    users: dict[str, int] = {}
    for number, (user, rating, movie) in enumerate(ratings):
        cell = (number % 2, users.setdefault(user, len(users)), genres[genre_of(titles[movie])])
        halves[cell] += 1
        stars[cell] += rating
    active = halves.sum(axis=2).min(axis=0) >= 20
    favourite = halves[0, active].argmax(axis=1)
    share = halves[1, active] / halves[1, active].sum(axis=1, keepdims=True)
    everybody = halves[1].sum(axis=0) / halves[1].sum()
    rows = np.arange(len(favourite))
    assert share[rows, favourite].mean() > 2 * everybody[favourite].mean()
    in_favourite = stars[1, active][rows, favourite].sum() / halves[1, active][rows, favourite].sum()
    assert in_favourite > stars.sum() / halves.sum() + 0.3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--users", "0"], "--users 0 must be at least 1"),
        (["--movies", "10", "--rated-movies", "11"], "--rated-movies 11 must be from 1 to --movies 10"),
        (["--ratings", "1999"], "--ratings 1999 must be from 2000"),
        (["--ratings", "3000001"], "to 3000000"),
        (["--parts", "2"], "--parts 2 needs --format parquet"),
        (["--format", "parquet", "--parts", "120001"], "--parts 120001 must be at most --ratings 120000"),
    ],
)
def test_a_world_that_cannot_be(tmp_path: Path, flags: list[str], message: str) -> None:
    result = CliRunner().invoke(command_of(sample), ["--output", str(tmp_path / "s"), *flags])
    assert isinstance(result.exception, UserError)
    assert message in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("users", "movies", "ratings"), [(1, 1, 1), (5, 4, 20), (5, 4, 5), (3, 700, 2000)])
def test_worlds_at_their_bounds(tmp_path: Path, users: int, movies: int, ratings: int) -> None:
    sample(output=str(tmp_path / "s"), users=users, movies=movies, ratings=ratings)
    rows, _ = read(tmp_path / "s")
    assert len({(user, movie) for user, _, movie in rows}) == ratings


def parts_of(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / "ratings").iterdir())}


def as_parquet(folder: Path, number: int, seed: int = 42) -> None:
    size = {"users": 60, "movies": 50, "rated_movies": 40, "ratings": 1200}
    sample(output=str(folder), **size, seed=seed, format="parquet", parts=number)


def rows_of(folder: Path) -> list[dict[str, int]]:
    rows: list[dict[str, int]] = pq.read_table(folder / "ratings").to_pylist()
    return rows


@pytest.fixture
def blocks_of_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.sample.parts._BLOCK", 100)


@pytest.mark.usefixtures("blocks_of_100")
def test_the_parts_hold_the_same_rows_however_many_they_are(tmp_path: Path) -> None:
    for number in (1, 3, 7):
        as_parquet(tmp_path / str(number), number)
    rows = rows_of(tmp_path / "1")
    assert rows == rows_of(tmp_path / "3") == rows_of(tmp_path / "7")
    assert list(parts_of(tmp_path / "3")) == [f"part-0000{part}-of-00003.parquet" for part in range(3)]
    assert len(rows) == len({(row["User_ID"], row["Movie_ID"]) for row in rows}) == 1200
    assert len({row["User_ID"] for row in rows}) == 60
    assert len({row["Movie_ID"] for row in rows}) <= 40
    assert {row["Rating"] for row in rows} <= {1, 2, 3, 4, 5}
    as_parquet(tmp_path / "other", 1, seed=1)
    assert rows_of(tmp_path / "other") != rows


@pytest.mark.usefixtures("blocks_of_100")
def test_no_more_than_a_block_is_drawn_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def counted(*arguments: Any) -> Any:
        rows = rate_by_user(*arguments)
        drawn.append(len(rows[0]))
        return rows

    monkeypatch.setattr(parts, "rate_by_user", counted)
    as_parquet(tmp_path / "s", 5)
    most = int(np.max(list(Counter(row["User_ID"] for row in rows_of(tmp_path / "s")).values())))
    assert sum(drawn) == 1200
    assert max(drawn) < 100 + most


@pytest.mark.usefixtures("blocks_of_100")
def test_a_killed_sample_goes_on_with_the_parts_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_parquet(tmp_path / "whole", 4)
    write, written = parts._write_part, []

    def killed(file: Path, *arguments: Any) -> None:
        if "part-00002" in file.name:
            file.with_name(f".{file.name}").write_bytes(b"half a part")
            raise KeyboardInterrupt
        write(file, *arguments)

    def watched(file: Path, *arguments: Any) -> None:
        written.append(file.name)
        write(file, *arguments)

    monkeypatch.setattr(parts, "_write_part", killed)
    with pytest.raises(KeyboardInterrupt):
        as_parquet(tmp_path / "s", 4)
    assert not (tmp_path / "s").exists()
    monkeypatch.setattr(parts, "_write_part", watched)
    as_parquet(tmp_path / "s", 4)
    assert written == ["part-00002-of-00004.parquet", "part-00003-of-00004.parquet"]
    assert parts_of(tmp_path / "s") == parts_of(tmp_path / "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"s", "whole"}


@pytest.mark.usefixtures("blocks_of_100")
def test_another_sample_takes_nothing_over_from_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(parts, "_write_part", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            as_parquet(tmp_path / "s", 4)
    as_parquet(tmp_path / "s", 2, seed=3)
    assert len(parts_of(tmp_path / "s")) == 2
    assert {path.name for path in tmp_path.iterdir()} == {"s"}

"""Ratings of a person who is in no training data, from the exports of services."""

import json

import pytest

from components.errors import UserError
from components.recommend.own_ratings import read_own_ratings
from components.recommend.titles import Titles

TITLES = Titles(["m1", "m2", "m3"], ["Toy Story", "Matrix, The", "Hamlet"], [1995, 1999, 1990])

LETTERBOXD = """Date,Name,Year,Letterboxd URI,Rating
2024-01-01,Toy Story,1995,https://boxd.it/1,0.5
2024-01-02,The Matrix,1999,https://boxd.it/2,4
2024-01-03,The Matrix,1999,https://boxd.it/2,5
2024-01-04,Hamlet,1948,https://boxd.it/3,3
2024-01-05,Hamlet,1990,https://boxd.it/4,
"""
IMDB = """Const,Your Rating,Date Rated,Title,Title Type,IMDb Rating,Year
tt0114709,1,2020-01-01,Toy Story,Movie,8.3,1995
tt0133093,10,2020-01-01,The Matrix,Movie,8.7,1999
tt9999999,4,2020-01-01,A Series,TV Series,8.7,1999
"""
TRAKT = [
    {"rated_at": "2020-01-01T00:00:00.000Z", "rating": 1, "movie": {"title": "Toy Story", "year": 1995}},
    {"rated_at": "2020-01-01T00:00:00.000Z", "rating": 10, "movie": {"title": "The Matrix", "year": 1999}},
]


def _read(tmp_path, text, **options):
    (tmp_path / "own.csv").write_text(text, "utf-8-sig")
    return read_own_ratings(str(tmp_path / "own.csv"), TITLES, (1.0, 5.0), **options)


@pytest.mark.parametrize(
    ("text", "stars", "missing"),
    [
        (LETTERBOXD, {"m1": 1.0, "m2": 5.0}, ["Hamlet (1948)"]),
        (IMDB, {"m1": 1.0, "m2": 5.0}, ["A Series (1999)"]),
        (json.dumps(TRAKT), {"m1": 1.0, "m2": 5.0}, []),
        ("\n".join(map(json.dumps, TRAKT)), {"m1": 1.0, "m2": 5.0}, []),
        ("title;rating\nToy Story;0,5\nHamlet;5\n", {"m1": 1.0, "m3": 5.0}, []),
        ("movieId,rating\nm1,0\nm3,10\n", {"m1": 1.0, "m3": 5.0}, []),
    ],
)
def test_an_export_is_read_onto_the_scale_of_the_index(tmp_path, text, stars, missing):
    found = _read(tmp_path, text)
    assert found.stars == pytest.approx(stars)
    assert found.missing == missing


def test_a_scale_that_is_given_counts(tmp_path):
    found = _read(tmp_path, "title,rating\nToy Story,50\n", given=(0.0, 100.0))
    assert (found.stars, found.scale) == ({"m1": 3.0}, (0.0, 100.0))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n1,2\n", "needs a column title and a column rating; it has a, b"),
        ("title,rating\nNothing,4\n", "none of its 1 rated movies is in the catalogue"),
        ("title,rating\n", "needs a column title"),
        ("", "needs a column title"),
        (
            "Title,Your Rating\nToy Story,50\n",
            "has the rating 50, which is not on the scale 1 to 10",
        ),
        ("[1, 2", "is damaged"),
        ("[1, 2]", "is damaged"),
        ('{"a": ', "is damaged"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(tmp_path, text, says):
    with pytest.raises(UserError, match=r"^--history .*own\.csv") as refusal:
        _read(tmp_path, text)
    assert says in str(refusal.value)

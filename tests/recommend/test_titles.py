"""Finding the movie that a person means."""

import pytest

from components.display import printable
from components.errors import UserError
from components.recommend.titles import Titles, titled

MOVIES = [
    ("1", "Toy Story", 1995),
    ("2", "Hamlet", 1948),
    ("3", "hamlet", 1990),
    ("4", "Matrix, The", 1999),
    ("5", "The Matrix Reloaded", 2003),
    ("1984", "Amadeus", 1984),
    ("7", "1984", 1956),
    ("8", "Blade Runner (1982)", 1982),
    ("9", "Untitled", 0),
    ("10", "Amélie", 2001),
    ("11", "Good, the Bad and the Ugly, The (Buono, il brutto, il cattivo, Il)", 1966),
]


@pytest.fixture
def titles():
    return Titles(*zip(*MOVIES, strict=True))


@pytest.mark.parametrize(
    ("text", "movie_id"),
    [
        ("1", "1"),
        ("Toy Story", "1"),
        ("  toy   STORY ", "1"),
        ("Toy Story (1995)", "1"),
        ("Hamlet (1990)", "3"),
        ("The Matrix", "4"),
        ("matrix, the (1999)", "4"),
        ("1984", "1984"),
        ("1984 (1956)", "7"),
        ("blade runner (1982)", "8"),
        ("AMÉLIE", "10"),
        ("Amelie", "10"),
        ("The Good, the Bad and the Ugly", "11"),
        ("Buono, il brutto, il cattivo, Il", "11"),
        ("good, the bad and the ugly, the (1966)", "11"),
        ("Ame\u0301lie", "10"),
    ],
)
def test_finds_by_id_before_title_in_any_case_with_or_without_year(titles, text, movie_id):
    assert MOVIES[titles.find(text)][0] == movie_id


def test_an_ambiguous_title_lists_its_candidates(titles):
    with pytest.raises(UserError) as error:
        titles.find("HAMLET")
    assert str(error.value) == (
        '"HAMLET" is the title of 2 movies: Hamlet (1948) [id 2], hamlet (1990) [id 3]; give the id instead'
    )


def test_a_long_list_of_candidates_is_cut():
    titles = Titles([str(row) for row in range(25)], ["Home"] * 25, [1900 + row for row in range(25)])
    with pytest.raises(UserError, match=r"Home \(1909\) \[id 9\] and 15 more; give the id"):
        titles.find("home")


@pytest.mark.parametrize(
    ("text", "suggested"),
    [
        ("Toy Stroy", "Toy Story (1995) [id 1]"),
        ("Toy Story (1996)", "Toy Story (1995) [id 1]"),
        ("reloaded", "The Matrix Reloaded (2003) [id 5]"),
        ("Amelia", "Amélie (2001) [id 10]"),
        ("Untitle", "Untitled [id 9]"),
        ("hamlt", "Hamlet (1948) [id 2]"),
    ],
)
def test_a_misspelt_title_is_met_with_the_nearest(titles, text, suggested):
    with pytest.raises(UserError, match="no movie has the id or the title") as error:
        titles.find(text)
    assert f"did you mean {suggested}" in str(error.value)


def test_nothing_is_suggested_for_nonsense(titles):
    with pytest.raises(UserError) as error:
        titles.find("qqqqqqqq")
    assert "did you mean" not in str(error.value)
    assert "twotower history" in str(error.value)


def test_titled_names_the_year_once():
    assert titled("Hamlet", 1948) == "Hamlet (1948)"
    assert titled("Hamlet", 0) == "Hamlet"
    assert titled("Hamlet (1948)", 1948) == "Hamlet (1948)"


def test_printable_keeps_to_one_line_without_control_characters():
    assert printable("a\tb\nc\x1b[31md é") == "a b c [31md é"


@pytest.mark.parametrize(
    ("title", "year", "movie_id"),
    [
        ("Toy Story", 1995, "1"),
        ("Toy Story", 1996, "1"),  # catalogues differ by a year
        ("Toy Story", 1999, ""),
        ("Toy Story", 0, "1"),
        ("Hamlet", 1990, "3"),
        ("Hamlet", 0, ""),  # two movies
        ("Untitled", 1999, "9"),  # whose year is not known
        ("Nothing", 1999, ""),
    ],
)
def test_one_movie_is_meant_by_title_and_year(titles, title, year, movie_id):
    assert titles.only(title, year) == movie_id

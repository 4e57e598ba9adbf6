"""Movie tables: named columns, several tables, and the further columns as typed attributes."""

from pathlib import Path
from typing import Any

import pytest
from ratings_files import Dataset, parquet, write

from components.errors import UserError
from components.ingest.step import ingest
from components.vocabulary.step import vocabulary
from components.vocabulary.vocabulary import Vocabulary, load_attributes

RATINGS = "User_ID,Movie_ID,Rating\n" + "".join(f"u{user},{user % 2 + 1},3\n" for user in range(200))


def with_movies(folder: Path, *tables: str | bytes, **options: Any) -> Dataset:
    """Ingests two movies, 1 and 2, with these movie tables and options of ingest."""
    names = [write(folder / f"table-{place}", table) for place, table in enumerate(tables)]
    ratings = write(folder / "ratings.csv", RATINGS)
    output = folder / "dataset"
    ingest(ratings=ratings, movies=",".join(names), output=str(output), ingest_settings=options)
    return Dataset(output)


@pytest.mark.parametrize(
    ("table", "types", "values"),
    [
        (
            "id,title,Runtime (min),score,In colour,cast,code,empty\n"
            "1,A,90,7.5,True,X|Y, 007,NULL\n2,B,,8,false,Z,12,\n",
            {
                "runtime_min": "whole number",
                "score": "number",
                "in_colour": "true or false",
                "cast": "texts",
                "code": "text",
            },
            [
                {"runtime_min": 90, "score": 7.5, "in_colour": True, "cast": ["X", "Y"], "code": "007"},
                {"runtime_min": None, "score": 8.0, "in_colour": False, "cast": ["Z"], "code": "12"},
            ],
        ),
        (
            "id|title|tags|tags\n1|A|[{'id': 1, 'name': 'one'}, {'name': \"it's\"}]|x\n2|B|[\"x\"]|\n",
            {"tags": "texts"},
            [{"tags": ["one", "it's"]}, {"tags": ["x"]}],
        ),
        (
            parquet({"id": [1, 2], "title": ["A", "B"], "votes": [5, None], "of": [["a", "b"], []]}),
            {"votes": "whole number", "of": "texts"},
            [{"votes": 5, "of": ["a", "b"]}, {"votes": None, "of": None}],
        ),
    ],
)
def test_further_columns_are_typed_attributes(
    tmp_path: Path, table: str | bytes, types: dict[str, str], values: list[dict[str, Any]]
) -> None:
    dataset = with_movies(tmp_path, table)
    assert dataset.statistics["attributes"] == types
    assert [movie["attributes"] for movie in dataset.movies] == values
    vocabulary(dataset=str(dataset.path), vocabulary_output=str(tmp_path / "v"), output=str(tmp_path / "i"))
    kept = {name: array.to_pylist() for name, array in load_attributes(tmp_path / "v").items()}
    assert kept == {name: [movie[name] for movie in values] for name in types}


def test_a_table_without_further_columns_has_no_attributes(tmp_path: Path) -> None:
    dataset = with_movies(tmp_path, "id,title,year,genres\n1,A,1999,X\n2,B,,\n")
    assert dataset.statistics["attributes"] == {}
    vocabulary(dataset=str(dataset.path), vocabulary_output=str(tmp_path / "v"), output=str(tmp_path / "i"))
    assert load_attributes(tmp_path / "v") == {}
    assert Vocabulary.load(tmp_path / "v").titles.tolist() == ["A", "B"]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("Nr;Titel;Jahr;Art\n1;A;1999;X\n2;B;2000;X,Y\n", "id=Nr,title=Titel,year=Jahr,genres=Art"),
        (
            "id,name,Titel,Jahr,Art\n1,a,A,1999-10-30,X\n2,b,B,2000-01-02,X|Y\n",
            "title=Titel,year=Jahr,genres=Art",
        ),
        ("1,X,A,30-Oct-1999\n2,X;Y,B,1/2/2000\n", "id=1,title=3,year=4,genres=2"),
        ("title,id,year,genres\nA,1,1999,\"[{'name': 'X'}]\"\nB,2,2000,\"['X', 'Y']\"\n", "id=2"),
    ],
)
def test_columns_are_named(tmp_path: Path, table: str, columns: str) -> None:
    movies = with_movies(tmp_path, table, movie_columns=columns).movies
    described = [(movie["title"], movie["year"], movie["genres"]) for movie in movies]
    assert described == [("A", 1999, "X"), ("B", 2000, "X|Y")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("name=Titel", "--movie-columns name=Titel is not understood"),
        ("id=Nr", "no column for the movie: its first line is 'id,title'"),
        ("title=9", "no column for the title"),
    ],
)
def test_columns_that_are_not_there(tmp_path: Path, columns: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_movies(tmp_path, "id,title\n1,A\n2,B\n", movie_columns=columns)


def test_later_tables_complete_the_first(tmp_path: Path) -> None:
    links = "movieId,imdbId,year\n1,0114709,1950\n2,0113497,1999\n3,9,\n"
    dataset = with_movies(tmp_path, links, "id,title,year\n1,A,1998\n2,B,\n", "id,title\n2,again\n4,D\n")
    assert dataset.movies == [
        {"movie_id": "1", "title": "A", "year": 1998, "genres": "", "attributes": {"imdbid": "0114709"}},
        {"movie_id": "2", "title": "B", "year": 1999, "genres": "", "attributes": {"imdbid": "0113497"}},
        {"movie_id": "4", "title": "D", "year": None, "genres": "", "attributes": {"imdbid": None}},
    ]
    assert dataset.statistics["movie_table"]["duplicate_ids"] == 0


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("userId,movieId,rating\nu,1,3\n", "table-1 is no movie table: it has a column of users"),
        ("Name\nA\n", "table-1 has no column for the movie"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, other: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_movies(tmp_path, "id,title\n1,A\n2,B\n", other)


def test_tables_without_a_title_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column for the title"):
        with_movies(tmp_path, "id,year\n1,1999\n", "id,genres\n1,X\n")


def test_ratings_of_unknown_movies_count_as_rejected(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"more than --max-reject-rate 0\.01: unknown movie 100"):
        with_movies(tmp_path, "id,title,of\n1,A,x\n")


def test_ratings_of_unknown_movies_are_dropped_on_demand(tmp_path: Path) -> None:
    dataset = with_movies(tmp_path, "id,title,of\n1,A,x\n", unknown_movies="drop")
    assert dataset.statistics["rejected_by_reason"] == {"unknown movie": 100}
    assert (dataset.statistics["rows_kept"], len(dataset.movies)) == (100, 1)


def test_unknown_movies_are_kept_on_demand(tmp_path: Path) -> None:
    dataset = with_movies(tmp_path, "id,title,of\n1,A,x\n9,B,y\n", unknown_movies="keep")
    assert (dataset.statistics["rows_kept"], dataset.statistics["movie_table"]["added"]) == (200, 1)
    assert dataset.movies[2] == {
        "movie_id": "2", "title": "2", "year": None, "genres": "", "attributes": {"of": None}
    }  # fmt: skip


def test_an_unknown_way_with_unknown_movies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--unknown-movies skip: give reject, drop or keep"):
        with_movies(tmp_path, "id,title\n1,A\n", unknown_movies="skip")


@pytest.mark.parametrize(
    "table",
    [
        '{"asin": 1, "title": "A", "year": 1999, "categories": ["X"], "of": {"a": 1}}\n\n'
        '{"asin": 2, "title": "B", "categories": [{"name": "X"}, {"name": "Y"}], "n": 1.5}\n',
        "sep=;\nISBN;Book-Title;Year-Of-Publication;genre\n1;A;1999;X\n2;B;;X,Y\n",
        b"tconst\ttitleType\tprimaryTitle\toriginalTitle\tstartYear\tgenres\n"
        b"1\tmovie\tA\ta\t1999\tX\n2\tmovie\tB\tb\t\\N\tX,Y\n",
    ],
    ids=["JSON lines", "sep", "IMDb"],
)
def test_usual_tables(tmp_path: Path, table: str | bytes) -> None:
    movies = with_movies(tmp_path, table).movies
    described = [(movie["title"], movie["year"], movie["genres"]) for movie in movies]
    assert described == [("A", 1999, "X"), ("B", None, "X|Y")]


def test_a_line_that_is_no_json_object_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="table-0 line 3 is no JSON object"):
        with_movies(tmp_path, '{"id": 1, "title": "A"}\n{"id": 2, "title": "B"}\n{"id": 3,\n')

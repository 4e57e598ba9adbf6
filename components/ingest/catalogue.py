"""Catalogue of movies: the rows of movie tables and rated movies, each id once."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from components.ingest.attributes import ATTRIBUTES, TYPES, typed
from components.ingest.database import one_row
from components.ingest.settings import WHOLE_NUMBER


class Movie(NamedTuple):
    """One row of a movie table, as it stands there."""

    movie_id: str
    title: str
    year: int | None
    genres: str = ""  # separated by "|"; "" where unknown
    others: Mapping[str, str] = MappingProxyType({})  # attribute -> text, of those that are known

    def completed_by(self, other: "Movie") -> "Movie":
        """Returns the movie with what `other` knows of it and this row does not."""
        return Movie(
            movie_id=self.movie_id,
            title=self.title or other.title,
            year=self.year or other.year,
            genres=self.genres or other.genres,
            others={**other.others, **self.others},
        )


class Malformed(NamedTuple):
    """A row of a movie table that has more fields than the header has names."""

    line: int


class MovieRows(NamedTuple):
    """Rows of one movie table. Without titles, it only adds to the movies of other tables."""

    movies: Iterable[Movie | Malformed]
    roles: Collection[str] = ("id", "title")  # of id, title, year and genres, those that it has a column for
    header: Sequence[str] = ()
    missing: Sequence[str] = ("",)  # ids that mean that there is none


@dataclass
class Catalogue:
    """Movies, each id once."""

    movie_ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)  # a movie without a title has its id for one
    years: list[int | None] = field(default_factory=list)  # None where unknown
    genres: list[str] = field(default_factory=list)  # separated by "|"; "" where unknown
    attributes: dict[str, list[str]] = field(
        default_factory=dict
    )  # name -> text of each movie, "" if unknown
    counts: Counter[str] = field(default_factory=Counter)  # corrected rows, the fields of `MovieTableCounts`
    first_malformed: int | None = None  # its line; None if no row is malformed

    @classmethod
    def of(cls, tables: Sequence[MovieRows]) -> "Catalogue":
        """Collects the movies of `tables` in their order, those without titles last.

        Of rows with one id in one table the first counts; a later table adds what the earlier ones lack.
        """
        catalogue = cls()
        found: dict[str, Movie] = {}
        for table in sorted(tables, key=lambda table: "title" not in table.roles):
            catalogue._join(table, found)
        catalogue.append(found.values())
        return catalogue

    def malformed_rows(self, tables: str) -> str | None:
        """Returns a message about rows of the movie tables `tables` that had to be left out, else None."""
        if not self.first_malformed:
            return None
        return (
            f"{tables}: {self.counts['malformed']:,} rows have more fields than the header, the first in "
            f"line {self.first_malformed:,}, and are left out; correct them, e.g. by quotes around the titles"
        )

    def _join(self, table: MovieRows, found: dict[str, Movie]) -> None:
        seen = set()
        for movie in table.movies:
            if isinstance(movie, Malformed):
                self.counts["malformed"] += 1
                self.first_malformed = self.first_malformed or movie.line
                continue
            if movie.movie_id in table.missing:
                self.counts["without_id"] += 1
            elif movie.movie_id in seen:
                self.counts["duplicate_ids"] += 1
            elif row := found.get(movie.movie_id):
                found[movie.movie_id] = row.completed_by(movie)
            elif "title" in table.roles:
                found[movie.movie_id] = movie
            seen.add(movie.movie_id)

    def append(self, movies: Collection[Movie]) -> None:
        """Adds `movies`, of other ids, at the end."""
        names = dict.fromkeys([*self.attributes, *(name for movie in movies for name in movie.others)])
        unknown = [""] * len(self.movie_ids)
        self.attributes = {
            name: [*self.attributes.get(name, unknown), *(movie.others.get(name, "") for movie in movies)]
            for name in names
        }
        for movie in movies:
            self.movie_ids.append(movie.movie_id)
            self.titles.append(movie.title or movie.movie_id)
            self.years.append(movie.year)
            self.genres.append(movie.genres)
            self.counts["without_title"] += not movie.title
            self.counts["without_year"] += movie.year is None


def add_rated_movies(connection: Any, catalogue: Catalogue) -> None:
    """Adds the rated movies that `catalogue` lacks, with their ids as titles, in the order of these."""
    known = set(catalogue.movie_ids)
    rows = connection.execute("SELECT DISTINCT movie_id FROM rows WHERE reason = 0 ORDER BY movie_id")
    added = [Movie(movie_id, movie_id, None) for (movie_id,) in rows.fetchall() if movie_id not in known]
    catalogue.append(added)
    if known:
        catalogue.counts["added"] = len(added)


def create_table(connection: Any, catalogue: Catalogue) -> dict[str, str]:
    """Makes the table catalogue(movie_id, title, year, genres, index), with `ATTRIBUTES` if there are any.

    Returns the attributes with their types, for people.
    """
    import pyarrow as pa

    columns = {
        "movie_id": pa.array(catalogue.movie_ids, pa.string()),
        "title": pa.array(catalogue.titles, pa.string()),
        "year": pa.array(catalogue.years, pa.int32()),
        "genres": pa.array(catalogue.genres, pa.string()),
        "index": pa.array(range(len(catalogue.movie_ids)), pa.int32()),
    }
    if attributes := {name: typed(texts) for name, texts in catalogue.attributes.items()}:
        columns[ATTRIBUTES] = pa.StructArray.from_arrays([*attributes.values()], [*attributes])
    connection.register("movie_table", pa.table(columns))
    connection.execute("CREATE TABLE catalogue AS SELECT * FROM movie_table")
    connection.unregister("movie_table")
    return {name: TYPES[str(values.type)] for name, values in attributes.items()}


def cure_of_unknown(connection: Any, tables: str, catalogue: Catalogue) -> str:
    """Returns the cure where movies of the ratings are not in the movie tables `tables`.

    `connection` holds the tables catalogue and unknown_movies.
    """
    rows, of_ratings, of_table = one_row(
        connection,
        rf"""
        WITH normal AS (
            SELECT regexp_replace(movie_id, '{WHOLE_NUMBER}', '\1') AS id, min(movie_id) AS movie_id
            FROM catalogue GROUP BY id
        )
        SELECT coalesce(sum(number), 0), min_by(unknown.movie_id, number), min_by(normal.movie_id, number)
        FROM unknown_movies AS unknown JOIN normal
        ON regexp_replace(unknown.movie_id, '{WHOLE_NUMBER}', '\1') = normal.id
        """,
    )
    if rows:
        return (
            f"{tables} writes {of_table!r} where the ratings write {of_ratings!r}: {rows:,} of these rows "
            "would match if ids were whole numbers; add --id-type int"
        )
    return catalogue.malformed_rows(tables) or (
        f"the ids of {tables} are like {catalogue.movie_ids[0]!r}: name a table that has these movies, or "
        "raise --max-reject-rate"
    )


def write_catalogue(connection: Any, file: Path) -> None:
    """Writes the table catalogue as Parquet, in its order."""
    connection.execute(
        "COPY (SELECT * EXCLUDE (index) FROM catalogue ORDER BY index) TO ? (FORMAT parquet)", [str(file)]
    )

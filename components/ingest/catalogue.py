"""The catalogue: which movies there are, in the order of the movie table."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Movie(NamedTuple):
    """One row of a movie table, as it stands there."""

    movie_id: str
    title: str
    year: int | None


@dataclass
class Catalogue:
    """Movies, each id once.

    Attributes:
      movie_ids, titles: one string a movie; a movie without a title has its id for one.
      years: one year a movie, None where unknown.
      counts: what was mended: without_id (left out), duplicate_ids (the first one stays), without_title,
        without_year.
    """

    movie_ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    years: list[int | None] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(
            ("without_id", "duplicate_ids", "without_title", "without_year"), 0
        )
    )

    @classmethod
    def of(cls, movies: Iterable[Movie]) -> "Catalogue":
        """Collects `movies` in their order."""
        catalogue, seen = cls(), set()
        for movie in movies:
            if not movie.movie_id:
                catalogue.counts["without_id"] += 1
            elif movie.movie_id in seen:
                catalogue.counts["duplicate_ids"] += 1
            else:
                seen.add(movie.movie_id)
                catalogue._append(movie)
        return catalogue

    def _append(self, movie: Movie) -> None:
        self.movie_ids.append(movie.movie_id)
        self.titles.append(movie.title or movie.movie_id)
        self.years.append(movie.year)
        self.counts["without_title"] += not movie.title
        self.counts["without_year"] += movie.year is None


def rated(connection: Any) -> Catalogue:
    """The catalogue where there is no movie table: all movies that are rated, their ids serving as titles."""
    rows = connection.execute(
        "SELECT DISTINCT movie_id FROM rows WHERE reason = 0 ORDER BY movie_id"
    ).fetchall()
    return Catalogue.of(Movie(movie_id, movie_id, None) for (movie_id,) in rows)


def create_table(connection: Any, catalogue: Catalogue) -> None:
    """Makes the table catalogue(movie_id, title, year, index)."""
    import pyarrow as pa

    movies = pa.table(
        {
            "movie_id": pa.array(catalogue.movie_ids, pa.string()),
            "title": pa.array(catalogue.titles, pa.string()),
            "year": pa.array(catalogue.years, pa.int32()),
            "index": pa.array(range(len(catalogue.movie_ids)), pa.int32()),
        }
    )
    connection.register("movie_table", movies)
    connection.execute("CREATE TABLE catalogue AS SELECT * FROM movie_table")
    connection.unregister("movie_table")


def write(connection: Any, file: Path) -> None:
    """Writes the table catalogue as Parquet, in its order."""
    connection.execute(
        "COPY (SELECT movie_id, title, year FROM catalogue ORDER BY index) TO ? (FORMAT parquet)", [str(file)]
    )

"""The movie table: which movies there are, in the order of the file."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import UserError
from components.ingest.inputs import InputFile, damaged
from components.ingest.layouts import plain

NAMES = {
    "movie": ("movieid", "movie", "itemid", "item", "id"),
    "title": ("name", "title", "movietitle", "moviename"),
    "year": ("year", "releaseyear", "yearofrelease"),
}
_YEARS = range(1850, 2200)
# The csv module refuses longer fields; a title of 10,000 characters is a title.
_LONGEST_FIELD = 1 << 20


@dataclass
class Catalogue:
    """Movies in the order of the movie table.

    Attributes:
      movie_ids, titles: one string a movie; a movie without a title has its id for one.
      years: one year a movie, None where unknown.
      counts: what was mended while reading: duplicate_ids (the first one counts), without_id, without_title,
        without_year.
    """

    movie_ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    years: list[int | None] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: {"duplicate_ids": 0, "without_id": 0, "without_title": 0, "without_year": 0}
    )

    def add(self, movie_id: str, title: str, year: int | None) -> None:
        """Appends a movie. The caller sees to it that the id is new."""
        self.movie_ids.append(movie_id)
        self.titles.append(title or movie_id)
        self.years.append(year)
        self.counts["without_title"] += not title
        self.counts["without_year"] += year is None


def read(file: InputFile) -> Catalogue:
    """Reads a movie table with a header: the columns Movie_ID, Name and, if there is one, Year.

    Raises:
      UserError: if the file is no such table, or holds no movie.
    """
    rows = _rows(file)
    header = next(rows)
    columns = _columns(file, header)
    catalogue, seen = Catalogue(), set()
    for row in rows:
        if not row:
            continue
        movie_id = _cell(row, columns["movie"])
        if not movie_id:
            catalogue.counts["without_id"] += 1
        elif movie_id in seen:
            catalogue.counts["duplicate_ids"] += 1
        else:
            seen.add(movie_id)
            title = " ".join(_cell(row, columns["title"]).split())
            catalogue.add(movie_id, title, _year(_cell(row, columns.get("year"))))
    if not seen:
        raise UserError(f"{file.flag} {file.name} has a header but no movies; name a table with movies")
    return catalogue


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


def _rows(file: InputFile) -> Iterator[list[str]]:
    import pyarrow as pa

    compression = None if file.compression == "none" else file.compression
    try:
        with pa.input_stream(str(file.path), compression=compression) as stream:
            text = stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{file.flag} {file.name} is not UTF-8 (byte {error.start:,}); convert it, e.g. with `iconv -t UTF-8`"
        ) from error
    except (OSError, pa.ArrowException) as error:
        raise damaged(file.name, file.flag, file.compression) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{file.flag} {file.name} line {line} holds a NUL byte; remove it")
    csv.field_size_limit(_LONGEST_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        yield from reader
    except csv.Error as error:
        raise UserError(f"{file.flag} {file.name} line {reader.line_num}: {error}; mend that line") from error


def _columns(file: InputFile, header: list[str]) -> dict[str, int]:
    columns = {}
    for role, accepted in NAMES.items():
        found = [place for place, name in enumerate(header) if plain(name) in accepted]
        if found:
            columns[role] = found[0]
    missing = [role for role in ("movie", "title") if role not in columns]
    if missing:
        raise UserError(
            f"{file.flag} {file.name} has no column for the {' or the '.join(missing)}: its header is "
            f"{','.join(header)[:80]!r}; name the columns Movie_ID, Year and Name"
        )
    return columns


def _cell(row: list[str], place: int | None) -> str:
    return row[place].strip() if place is not None and place < len(row) else ""


def _year(text: str) -> int | None:
    # Some tables were written by tools that turn a column with gaps into 1997.0.
    digits = text.removesuffix(".0")
    return int(digits) if digits.isdecimal() and int(digits) in _YEARS else None

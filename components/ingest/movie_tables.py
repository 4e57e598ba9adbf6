"""Reads movie tables (the Netflix files', MovieLens', any table with a header) into the catalogue."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from components.errors import UserError
from components.ingest.inputs import InputFile, first_lines
from components.ingest.layouts import DELIMITERS, cut, plain
from components.ingest.records import RecordError, TableRecord, records
from components.ingest.settings import ReadOptions


class Movie(NamedTuple):
    """One row of a movie table, as it stands there."""

    movie_id: str
    title: str
    year: int | None
    genres: str = ""  # separated by "|"; "" where unknown


class Malformed(NamedTuple):
    """A row of a movie table that has more fields than the header has names."""

    line: int


@dataclass
class Catalogue:
    """Movies, each id once."""

    movie_ids: list[str] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)  # a movie without a title has its id for one
    years: list[int | None] = field(default_factory=list)  # None where unknown
    genres: list[str] = field(default_factory=list)  # separated by "|"; "" where unknown
    counts: Counter[str] = field(default_factory=Counter)  # corrected rows, the fields of `MovieTableCounts`
    first_malformed: int | None = None  # its line; None if no row is malformed

    @classmethod
    def of(cls, movies: Iterable[Movie | Malformed], missing: Sequence[str] = ("",)) -> "Catalogue":
        """Collects `movies` in their order; those with an id among `missing` are left out."""
        catalogue, seen = cls(), set()
        for movie in movies:
            if isinstance(movie, Malformed):
                catalogue.counts["malformed"] += 1
                catalogue.first_malformed = catalogue.first_malformed or movie.line
            elif movie.movie_id in missing:
                catalogue.counts["without_id"] += 1
            elif movie.movie_id in seen:
                catalogue.counts["duplicate_ids"] += 1
            else:
                seen.add(movie.movie_id)
                catalogue.movie_ids.append(movie.movie_id)
                catalogue.titles.append(movie.title or movie.movie_id)
                catalogue.years.append(movie.year)
                catalogue.genres.append(movie.genres)
                catalogue.counts["without_title"] += not movie.title
                catalogue.counts["without_year"] += movie.year is None
        return catalogue


def rated_movies(connection: Any) -> Catalogue:
    """Makes the catalogue where there is no movie table: all rated movies, with their ids as titles."""
    rows = connection.execute(
        "SELECT DISTINCT movie_id FROM rows WHERE reason = 0 ORDER BY movie_id"
    ).fetchall()
    return Catalogue.of(Movie(movie_id, movie_id, None) for (movie_id,) in rows)


def create_table(connection: Any, catalogue: Catalogue) -> None:
    """Makes the table catalogue(movie_id, title, year, genres, index)."""
    import pyarrow as pa

    movies = pa.table(
        {
            "movie_id": pa.array(catalogue.movie_ids, pa.string()),
            "title": pa.array(catalogue.titles, pa.string()),
            "year": pa.array(catalogue.years, pa.int32()),
            "genres": pa.array(catalogue.genres, pa.string()),
            "index": pa.array(range(len(catalogue.movie_ids)), pa.int32()),
        }
    )
    connection.register("movie_table", movies)
    connection.execute("CREATE TABLE catalogue AS SELECT * FROM movie_table")
    connection.unregister("movie_table")


def write(connection: Any, file: Path) -> None:
    """Writes the table catalogue as Parquet, in its order."""
    connection.execute(
        "COPY (SELECT * EXCLUDE (index) FROM catalogue ORDER BY index) TO ? (FORMAT parquet)", [str(file)]
    )


# What a header may call each column; compared as those of ratings files are.
NAMES = {
    "movie": ("movieid", "movie", "itemid", "item", "id"),
    "title": ("name", "title", "movietitle", "moviename"),
    "year": ("year", "releaseyear", "yearofrelease"),
    "genres": ("genres", "genre"),
}
_YEARS = range(1850, 2200)
# MovieLens: `Toy Story (1995)`.
_TITLE_WITH_YEAR = re.compile(r"(.*\S)\s*\((\d{4})\)\s*", re.DOTALL)
# movie_titles.csv of the Netflix Prize: no header, commas in titles, `NULL` for an unknown year.
_PRIZE_LINE = re.compile(r"\d+,(\d{4}|NULL),.+")
# movies.dat and u.item of MovieLens: no header either.
_MOVIELENS_LINE = re.compile(r"\d+(::|\|)[^|]+")
# The last columns of u.item: 1 where the movie is of the genre.
_ITEM_GENRES = (
    "unknown|Action|Adventure|Animation|Children|Comedy|Crime|Documentary|Drama|Fantasy|Film-Noir|Horror|"
    "Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)
# How tables say that a movie's genres are not known.
_NO_GENRES = ("", "unknown", "(no genres listed)", "NULL", "\\N")
# Longer texts are no titles, but the rest of a table after a quote that is not closed.
_LONGEST_TITLE = 10_000
_MOST_TITLE_LINES = 3


def read(file: InputFile, options: ReadOptions) -> Catalogue:
    """Reads a movie table. Raises `UserError` if the file is no such table, or holds no movie."""
    catalogue = Catalogue.of(_movies(file), [""] if file.is_parquet else options.missing)
    if not catalogue.movie_ids:
        raise UserError(f"{file.flag} {file.name} has a header but no movies; name a table with movies")
    return catalogue


def _movies(file: InputFile) -> Iterator[Movie | Malformed]:
    if file.is_parquet:
        yield from _from_table(file, file.parquet_columns(), _parquet_rows(file))
        return
    first = first_lines(file, 1)[0]
    if _PRIZE_LINE.fullmatch(first):
        for line in _lines(file):
            movie_id, year, title = (*line.split(",", 2), "", "")[:3]
            yield Movie(movie_id.strip(), title.strip(), _year(year.strip()))
    elif match := _MOVIELENS_LINE.match(first):
        for line in _lines(file):
            movie_id, title, *others = *line.split(match[1]), "", ""
            marked = zip(_ITEM_GENRES.split("|"), others[3:], strict=False)
            of_item = "|".join(genre for genre, mark in marked if mark == "1")
            genres = others[0] if match[1] == "::" else of_item
            yield _with_year_in_title(movie_id.strip(), title.strip(), genres)
    else:
        delimiter = next((mark for mark in DELIMITERS if len(cut(first, mark)) > 1), ",")
        rows = _records(file, delimiter)
        yield from _from_table(file, next(rows).fields, rows, delimiter)


def _from_table(
    file: InputFile, header: Sequence[str], rows: Iterator[TableRecord], delimiter: str = ""
) -> Iterator[Movie | Malformed]:
    columns = _columns(file, header)

    def cell(row: Sequence[str], role: str) -> str:
        return row[columns[role]].strip() if columns.get(role, len(row)) < len(row) else ""

    for line, fields in rows:
        row = _without_extra(fields, len(header), delimiter if columns["title"] == len(header) - 1 else "")
        if row is None:
            yield Malformed(line)
            continue
        if delimiter:
            _check_title(file, line, cell(row, "title"), len(header), delimiter)
        movie_id, title = cell(row, "movie"), " ".join(cell(row, "title").split())
        genres = cell(row, "genres")
        if "year" in columns:
            yield Movie(movie_id, title, _year(cell(row, "year")), _genres(genres))
        else:
            yield _with_year_in_title(movie_id, title, genres)


def _without_extra(fields: list[str], count: int, joint: str) -> list[str] | None:
    """Returns `count` fields, those beyond joined into the last one by `joint`; None without a joint."""
    while len(fields) > count and not fields[-1].strip():
        fields = fields[:-1]
    if len(fields) <= count:
        return fields
    return [*fields[: count - 1], joint.join(fields[count - 1 :])] if joint else None


def _check_title(file: InputFile, line: int, title: str, count: int, delimiter: str) -> None:
    """Raises `UserError` if a title holds the lines of other movies."""
    lines = re.split("\r\n|\r|\n", title)
    swallowed = any(part.count(delimiter) >= count - 1 for part in lines[1:])
    if len(title) > _LONGEST_TITLE or len(lines) > _MOST_TITLE_LINES or swallowed:
        raise UserError(
            f"{file.flag} {file.name} line {line}: a quote opens that is not closed, so that the title has "
            f"{len(lines):,} lines and {len(title):,} characters; close the quote, or double it where "
            "it is a part of the title"
        )


def _columns(file: InputFile, header: Sequence[str]) -> dict[str, int]:
    names = [plain(name) for name in header]
    columns = {
        role: names.index(name)
        for role, accepted in NAMES.items()
        for name in reversed(accepted)
        if name in names
    }
    missing = [role for role in ("movie", "title") if role not in columns]
    if missing:
        raise UserError(
            f"{file.flag} {file.name} has no column for the {' or the '.join(missing)}: its first line is "
            f"{','.join(header)[:80]!r}; name the columns Movie_ID, Year and Name"
        )
    return columns


def _with_year_in_title(movie_id: str, title: str, genres: str) -> Movie:
    match = _TITLE_WITH_YEAR.fullmatch(title)
    year = _year(match[2]) if match else None
    return Movie(movie_id, match[1] if match and year else title, year, _genres(genres))


def _genres(text: str) -> str:
    """Separates genres by "|", whether `text` does so, or by commas or semicolons."""
    genres = (genre.strip() for genre in re.split(r"[|,;]", text))
    return "|".join(genre for genre in genres if genre not in _NO_GENRES)


def _year(text: str) -> int | None:
    # Tools that hold a column with gaps as floating point write 1997.0.
    digits = text.removesuffix(".0")
    return int(digits) if digits.isdecimal() and int(digits) in _YEARS else None


def _text(file: InputFile, encoding: str) -> str:
    try:
        with file.stream() as stream:
            content: bytes = stream.read()
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{file.flag} {file.name} line {line} is not UTF-8; convert the file, "
            "e.g. with `iconv -f LATIN1 -t UTF-8`"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{file.flag} {file.name} line {line} holds a NUL byte; remove it")
    return text


def _lines(file: InputFile) -> Iterator[str]:
    try:
        text = _text(file, "utf-8-sig")
    except UserError:
        text = _text(file, "latin-1")
    for line in text.split("\n"):
        if line.strip():
            yield line.rstrip("\r")


def _records(file: InputFile, delimiter: str) -> Iterator[TableRecord]:
    try:
        yield from records(_text(file, "utf-8-sig"), delimiter)
    except RecordError as error:
        raise UserError(
            f"{file.flag} {file.name} line {error.line}: {error}; close the quote, or double it where it is "
            "a part of the text"
        ) from error


def _parquet_rows(file: InputFile) -> Iterator[TableRecord]:
    import pyarrow.parquet as pq

    with file.intact():
        table = pq.read_table(file.path)
        rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    for number, row in enumerate(rows, start=1):
        yield TableRecord(number, [_as_text(cell) for cell in row])


def _as_text(cell: Any) -> str:
    if isinstance(cell, list):
        return "|".join(map(str, cell))
    return "" if cell is None else str(cell)

"""Reads movie tables (the Netflix files', MovieLens', any table with a header) into the catalogue."""

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from components.errors import UserError
from components.ingest.attributes import attribute_name, known, names_in
from components.ingest.catalogue import Catalogue, Malformed, Movie, MovieRows
from components.ingest.inputs import DELIMITERS, InputFile, first_lines
from components.ingest.layouts import DELIMITER_LINE, cut, json_keys, plain
from components.ingest.layouts import NAMES as RATINGS
from components.ingest.layouts import OTHER_NAMES as RATING_NAMES
from components.ingest.records import RecordError, TableRecord, records
from components.ingest.settings import ReadOptions

# What a header may call each column; compared as those of ratings files are.
NAMES = {
    "id": ("movieid", "movie", "itemid", "item", "id", "tconst", *RATING_NAMES["movie"]),
    "title": ("name", "title", "movietitle", "moviename", "primarytitle", "booktitle", "originaltitle"),
    "year": ("year", "releaseyear", "yearofrelease", "startyear", "yearofpublication"),
    "genres": ("genres", "genre", "categories"),
}
_YEARS = range(1850, 2200)
# A date in place of a year: `1995-10-30`, `10/30/1995`, `30-Oct-1995`.
_DATE = re.compile(r"(\d{4})-\d\d-\d\d\b.*|\d\d?[./-]\w{1,3}[./-](\d{4})")
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


def read(files: Sequence[InputFile], options: ReadOptions) -> Catalogue:
    """Reads movie tables.

    Raises `UserError` if a file is no such table, none has titles, or they hold no movie.
    """
    columns = options.movie_roles
    tables = [
        table._replace(
            movies=_with_ids(table.movies, options), missing=[""] if file.is_parquet else options.missing
        )
        for file in files
        for table in [_table(file, columns)]
    ]
    for file, table in zip(files, tables, strict=True):
        if "title" not in table.roles and any(plain(name) in RATINGS["user"] for name in table.header):
            raise UserError(
                f"{file.flag} {file.name} is no movie table: it has a column of users and none of titles; "
                "name it with --ratings, or leave it out"
            )
        alone = ["id"] if len(tables) > 1 else ["id", "title", *columns]
        if missing := [role for role in dict.fromkeys(alone) if role not in table.roles]:
            raise _misfit(file, missing, table.header)
    for role in dict.fromkeys(["title", *columns]):
        if not any(role in table.roles for table in tables):
            raise _misfit(files[0], [role], tables[0].header)
    catalogue = Catalogue.of(tables)
    if not catalogue.movie_ids:
        raise UserError(
            f"{files[0].flag} {files[0].name} has a header but no movies; name a table with movies"
        )
    return catalogue


def _with_ids(movies: Iterable[Movie | Malformed], options: ReadOptions) -> Iterator[Movie | Malformed]:
    """Yields `movies` with the ids that their texts mean."""
    for movie in movies:
        if isinstance(movie, Malformed):
            yield movie
        else:
            yield movie._replace(movie_id=options.id_of(movie.movie_id))


def fits(file: InputFile, options: ReadOptions) -> bool:
    """Tests if a file is, by its first lines, a movie table with titles."""
    table = _table(file, options.movie_roles)
    # Without a header, a line of ratings or of users could be taken for one of movies.
    known = table.header or re.search(r"\(\d{4}\)|,.*,.*[^\W\d_]", first_lines(file, 1)[0])
    return bool(known) and {"id", "title"} <= {*table.roles}


def _table(file: InputFile, columns: Mapping[str, str]) -> MovieRows:
    if file.is_parquet:
        return _from_rows(file, file.parquet_columns(), _parquet_rows(file), columns)
    first, *below = first_lines(file, 2)
    if json_keys(first):
        return _from_rows(file, *_json_rows(file), columns)
    if not columns and _PRIZE_LINE.fullmatch(first):
        return MovieRows(_prize_movies(file))
    if not columns and (match := _MOVIELENS_LINE.match(first)):
        return MovieRows(_movielens_movies(file, match[1]))
    named = below and DELIMITER_LINE.fullmatch(first.strip())
    head = below[0] if named else first
    delimiter = next((mark for mark in DELIMITERS if len(cut(head, mark)) > 1), ",")
    rows: Iterator[TableRecord] = itertools.islice(_records(file, delimiter), 1 if named else 0, None)
    first_row = next(rows)
    header = first_row.fields
    numbered = columns and all(column.isdecimal() for column in columns.values())
    if numbered and not any(plain(cell) in accepted for cell in header for accepted in NAMES.values()):
        rows = itertools.chain([first_row], rows)
        header = [f"column {place + 1}" for place in range(len(header))]
    return _from_rows(file, header, rows, columns, delimiter)


def _prize_movies(file: InputFile) -> Iterator[Movie]:
    for line in _lines(file):
        movie_id, year, title = (*line.split(",", 2), "", "")[:3]
        yield Movie(movie_id.strip(), title.strip(), _year(year.strip()))


def _movielens_movies(file: InputFile, delimiter: str) -> Iterator[Movie]:
    for line in _lines(file):
        movie_id, title, *others = *line.split(delimiter), "", ""
        marked = zip(_ITEM_GENRES.split("|"), others[3:], strict=False)
        of_item = "|".join(genre for genre, mark in marked if mark == "1")
        genres = others[0] if delimiter == "::" else of_item
        yield _with_year_in_title(movie_id.strip(), title.strip(), genres)


def _from_rows(
    file: InputFile,
    header: Sequence[str],
    rows: Iterator[TableRecord],
    named: Mapping[str, str],
    delimiter: str = "",
) -> MovieRows:
    columns = _columns(header, named)
    others: dict[str, int] = {}
    for place, name in enumerate(header):
        if attribute_name(name) and place not in columns.values():
            others.setdefault(attribute_name(name), place)

    def cell(row: Sequence[str], place: int | None) -> str:
        return row[place].strip() if place is not None and place < len(row) else ""

    def movies() -> Iterator[Movie | Malformed]:
        last_is_title = columns.get("title") == len(header) - 1
        for line, fields in rows:
            row = _without_extra(fields, len(header), delimiter if last_is_title else "")
            if row is None:
                yield Malformed(line)
                continue
            if delimiter:
                _check_title(file, line, cell(row, columns.get("title")), len(header), delimiter)
            movie_id, title, year, genres = (cell(row, columns.get(role)) for role in NAMES)
            title = " ".join(title.split())
            further = {name: text for name, place in others.items() if (text := known(cell(row, place)))}
            if "year" in columns:
                yield Movie(movie_id, title, _year(year), _genres(genres), further)
            else:
                yield _with_year_in_title(movie_id, title, genres)._replace(others=further)

    return MovieRows(movies(), [*columns], header)


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
    # A line below that begins with an id is another movie.
    fields = (part.split(delimiter) for part in lines[1:])
    swallowed = any(len(parts) >= count and re.fullmatch(r"\S+", parts[0]) for parts in fields)
    if len(title) > _LONGEST_TITLE or len(lines) > _MOST_TITLE_LINES or swallowed:
        raise UserError(
            f"{file.flag} {file.name} line {line}: a quote opens that is not closed, so that the title has "
            f"{len(lines):,} lines and {len(title):,} characters; close the quote, or double it where "
            "it is a part of the title"
        )


def _columns(header: Sequence[str], named: Mapping[str, str]) -> dict[str, int]:
    """Finds the place of each role's column, from 0: as the user `named` it, else by its usual names."""
    names = [plain(name) for name in header]
    columns = {
        role: names.index(name)
        for role, accepted in NAMES.items()
        for name in reversed(accepted)
        if name in names and role not in named
    }
    exact = [name.strip() for name in header]
    for role, column in named.items():
        if column in exact:
            columns[role] = exact.index(column)
        elif column.isdecimal() and 0 < int(column) <= len(header):
            columns[role] = int(column) - 1
    return columns


def _misfit(file: InputFile, missing: Sequence[str], header: Sequence[str]) -> UserError:
    roles = " or the ".join("movie" if role == "id" else role for role in missing)
    return UserError(
        f"{file.flag} {file.name} has no column for the {roles}: its first line is "
        f"{','.join(header)[:80]!r}; name the columns with --movie-columns id=…,title=…,year=…,genres=…"
    )


def _with_year_in_title(movie_id: str, title: str, genres: str) -> Movie:
    match = _TITLE_WITH_YEAR.fullmatch(title)
    year = _year(match[2]) if match else None
    return Movie(movie_id, match[1] if match and year else title, year, _genres(genres))


def _genres(text: str) -> str:
    """Separates genres by "|", whether `text` does so, or by commas or semicolons, or lists them as JSON."""
    genres = (genre.strip() for genre in re.split(r"[|,;]", known(text)))
    return "|".join(genre for genre in genres if genre not in _NO_GENRES)


def _year(text: str) -> int | None:
    # Tools that hold a column with gaps as floating point write 1997.0.
    digits = text.removesuffix(".0")
    if date := _DATE.fullmatch(text):
        digits = date[1] or date[2]
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
    for line in re.split("\r\n|\r|\n", text):
        if line.strip():
            yield line


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

    header = file.parquet_columns()
    number = 0
    for part in file.open_parts():
        names = part.parquet_columns()
        with part.intact():
            columns = [column.to_pylist() for column in pq.ParquetFile(part.path).read().columns]
        for row in zip(*columns, strict=True):
            number += 1
            cells = {**part.hive, **dict(zip(names, row, strict=False))}
            yield TableRecord(number, [_as_text(cells.get(name)) for name in header])


def _json_rows(file: InputFile) -> tuple[list[str], Iterator[TableRecord]]:
    """Reads one JSON object a line; the columns are the keys of all of them."""
    found: list[tuple[int, dict[str, Any]]] = []
    for number, line in file.lines():
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{file.flag} {file.name} line {number} is no JSON object; correct that line")
        found.append((number, row))
    header = list(dict.fromkeys(key for _, row in found for key in row))
    rows = (TableRecord(number, [_as_text(row.get(key)) for key in header]) for number, row in found)
    return header, rows


def _as_text(cell: Any) -> str:
    if isinstance(cell, list):
        return "|".join(names_in(cell))
    return "" if cell is None else str(cell)

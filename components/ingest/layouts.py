"""Layouts of ratings files: where the user, the movie, the rating and the time stand in a line."""

import csv
import re
from dataclasses import dataclass

from components.errors import UserError
from components.ingest.inputs import InputFile, first_lines

# What a header may call each column; compared without case, spaces, hyphens and underscores.
NAMES = {
    "user": ("userid", "user", "customerid", "uid"),
    "movie": ("movieid", "movie", "itemid", "item"),
    "rating": ("rating", "stars", "score"),
    "time": ("timestamp", "time", "date"),
}
REQUIRED = ("user", "movie", "rating")
DELIMITERS = ("::", "\t", ",", ";", "|")
# The MovieLens files without a header: ratings.dat and u.data.
_MOVIELENS_ORDER = {"user": 1, "movie": 2, "rating": 3, "time": 4}
_PRIZE_MOVIE = re.compile(r"[^,:\s]+:")


@dataclass(frozen=True)
class Layout:
    """How the lines of a ratings file are cut.

    Attributes:
      name: for people.
      delimiter: what stands between two fields; "" in a Parquet file.
      fields: how many fields a line has.
      positions: role (user, movie, rating, time) -> its field, from 1, or its column's name in a Parquet
        file. Without a movie, lines `MOVIE:` stand above the ratings of each movie (the Netflix Prize).
      header: whether the first line names the columns.
      scale: least and greatest rating, where the layout says so.
    """

    name: str
    delimiter: str
    fields: int
    positions: dict[str, int]
    header: bool
    scale: tuple[float, float] | None = None

    @property
    def quoted(self) -> bool:
        """Whether a field may stand in quotes."""
        return self.delimiter != "::"


def detect(file: InputFile, columns: dict[str, str]) -> Layout:
    """The layout of a ratings file, from its first lines.

    Args:
      file: The file.
      columns: What `--columns` says; empty if it is not given.

    Raises:
      UserError: if no layout fits, or there is nothing below the header.
    """
    if file.is_parquet:
        return _parquet(file, columns)
    lines = first_lines(file, 2)
    if "\ufffd" in lines[0]:
        raise UserError(
            f"{file.flag} {file.name} is not UTF-8; convert it, e.g. with `iconv -f LATIN1 -t UTF-8`"
        )
    layout = _named(lines[0], columns) if columns else _known(lines[0])
    if layout is None:
        asked = f"--columns {','.join(f'{role}={name}' for role, name in columns.items())}"
        raise UserError(
            f"{file.flag} {file.name} has no columns for user, movie and rating: its first line is "
            f"{lines[0][:80]!r}; "
            + (f"no such columns: {asked}" if columns else "name them with --columns user=…,movie=…,rating=…")
        )
    if layout.header and len(lines) < 2:
        raise UserError(f"{file.flag} {file.name} has a header but no rows; name a file with ratings")
    return layout


def plain(name: str) -> str:
    """A column's name without what people write differently."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def cut(line: str, delimiter: str) -> list[str]:
    """The fields of one line."""
    if len(delimiter) > 1:
        return line.split(delimiter)
    return next(csv.reader([line], delimiter=delimiter), [])


def _known(line: str) -> Layout | None:
    if _PRIZE_MOVIE.fullmatch(line.strip()):
        return Layout(
            "Netflix Prize", ",", 3, {"user": 1, "rating": 2, "time": 3}, header=False, scale=(1, 5)
        )
    for delimiter in DELIMITERS:
        names = [plain(name) for name in cut(line, delimiter)]
        positions = {
            role: names.index(found[0]) + 1
            for role, accepted in NAMES.items()
            # Of two columns that could be the movie, none is taken: the user is asked for --columns.
            if len(found := [name for name in names if name in accepted]) == 1
        }
        if all(role in positions for role in REQUIRED):
            return Layout("header", delimiter, len(names), positions, header=True, scale=_scale(line))
    for delimiter in ("::", "\t"):
        fields = cut(line, delimiter)
        if len(fields) in (3, 4) and _is_number(fields[2]):
            positions = {role: place for role, place in _MOVIELENS_ORDER.items() if place <= len(fields)}
            return Layout("MovieLens", delimiter, len(fields), positions, header=False)
    return None


def _scale(header: str) -> tuple[float, float] | None:
    if {"User_ID", "Rating", "Movie_ID"} <= set(header.split(",")):
        return 1, 5
    return (0.5, 5) if header.startswith("userId,movieId,rating") else None


def _named(line: str, columns: dict[str, str]) -> Layout | None:
    """The layout in which every column that is asked for, by name or number, is there."""
    for delimiter in DELIMITERS:
        fields = [field.strip() for field in cut(line, delimiter)]
        if all(name in fields for name in columns.values()):
            positions = {role: fields.index(name) + 1 for role, name in columns.items()}
            return Layout("columns", delimiter, len(fields), positions, header=True)
        if all(name.isdecimal() and 0 < int(name) <= len(fields) for name in columns.values()):
            positions = {role: int(name) for role, name in columns.items()}
            header = not _is_number(fields[positions["rating"] - 1])
            return Layout("columns", delimiter, len(fields), positions, header)
    return None


def _parquet(file: InputFile, columns: dict[str, str]) -> Layout:
    names = file.parquet_columns()
    positions = {}
    for role, accepted in NAMES.items():
        found = [
            place
            for place, name in enumerate(names)
            if (name == columns.get(role) if columns else plain(name) in accepted)
        ]
        if len(found) == 1:
            positions[role] = found[0]
    missing = [role for role in (columns or REQUIRED) if role not in positions]
    if missing:
        raise UserError(
            f"{file.flag} {file.name} has no column for the {' or the '.join(missing)}: it has "
            f"{', '.join(names)[:200]}; name them with --columns user=…,movie=…,rating=…"
        )
    return Layout("Parquet", "", len(names), positions, header=False)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

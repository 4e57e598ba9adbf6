"""Layouts of ratings files: names for `--format`, detection by the first line, and columns."""

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from components.errors import UserError
from components.ingest.inputs import ADDED_USER, DELIMITERS, InputFile, first_lines
from components.ingest.settings import parse_roles

# What a header may call each column; compared without case, spaces, hyphens and underscores.
NAMES = {
    "user": ("userid", "user", "customerid", "uid"),
    "movie": ("movieid", "movie", "itemid", "item"),
    "rating": ("rating", "stars", "score"),
    "time": ("timestamp", "time", "date"),
}
# Likewise, for a role that has no column of those names.
OTHER_NAMES = {
    "user": ("reviewerid", "memberid", "profileid", "username"),
    "movie": (
        *("asin", "isbn", "bookid", "animeid", "placeid", "productid", "businessid", "filmid", "showid"),
        *("gameid", "songid", "trackid", "artistid", "jokeid"),
    ),
    "rating": ("overall", "bookrating", "starrating", "userrating", "ratingvalue", "reviewscore"),
    "time": ("unixreviewtime", "ratedat", "createdat", "ratingdate", "reviewdate", "datetime", "ts"),
}
REQUIRED = ("user", "movie", "rating")
# Of feedback without stars; its rating, if there is a column, is a count, which may have these names as well.
REQUIRED_OF_EVENTS = ("user", "movie")
COUNT_NAMES = (
    *("count", "counts", "plays", "playcount", "listens", "views", "viewcount", "clicks", "purchases"),
    *("quantity", "hours", "playtime", "watchtime", "weight", "liked", "like", "purchased"),
)
# The line that tells Excel the delimiter.
DELIMITER_LINE = re.compile(r"sep=.", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """Division of the lines of a ratings file into fields."""

    name: str  # for people
    # Between two fields; " " is any number of spaces and tabs; "" in Parquet and JSON.
    delimiter: str
    fields: int  # how many fields a line has
    # Role (user, movie, rating, time) -> its field, from 1, or in a Parquet file its column, from 0.
    # Without a movie, lines `MOVIE:` stand above the ratings of each movie (the Netflix Prize).
    positions: dict[str, int]
    header: int  # how many lines, not counting blank ones, stand above the rows: usually one with the names
    scale: tuple[float, float] | None = None  # least and greatest rating, where the layout says so
    keys: Sequence[str] = ()  # of JSON lines: those of the fields
    counts: bool = False  # whether the ratings are counts of events, by the name of their column

    @property
    def may_quote(self) -> bool:
        """True if fields may be in quotes."""
        return self.delimiter not in ("", " ", "::")


def plain(name: str) -> str:
    """Returns a column's name without case, spaces and punctuation."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def cut(line: str, delimiter: str) -> list[str]:
    """Cuts one line into its fields; none if one is too long."""
    if delimiter == " ":
        return line.split()
    if len(delimiter) > 1:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def is_number(text: str, delimiter: str = "") -> bool:
    """Tests if `text` is a number; between semicolons it may have a decimal comma."""
    try:
        float(text.replace(",", ".") if delimiter == ";" else text)
    except ValueError:
        return False
    return True


def required(implicit: bool) -> Sequence[str]:
    """Returns the roles that must have a column."""
    return REQUIRED_OF_EVENTS if implicit else REQUIRED


def parse_columns(
    text: str, format: str = "", one_user: bool = False, implicit: bool = False
) -> dict[str, str]:
    """Reads `--columns user=…,movie=…,rating=…[,time=…]`; where there is `one_user`, that column is added.

    With feedback that is `implicit`, the rating may be left out; else it is a count.

    Raises `UserError` if it is not of that form, or `--format` names a layout whose columns are known.
    """
    columns = parse_roles(text, "--columns", NAMES)
    if columns and one_user:
        columns.setdefault("user", ADDED_USER)
    missing = [role for role in required(implicit) if columns and role not in columns]
    if missing:
        raise UserError(
            f"--columns {text} does not name the {' and the '.join(missing)}; add {missing[0]}=NAME"
        )
    if columns and format and format not in WITH_COLUMNS:
        raise UserError(
            f"--columns goes with --format {', '.join(WITH_COLUMNS)} only: those of {format} are known; "
            "leave one of the two out"
        )
    return columns


PARQUET = "parquet"
# The MovieLens files without a header: ratings.dat and u.data.
_MOVIELENS_ORDER = {"user": 1, "movie": 2, "rating": 3, "time": 4}
# A third number from here on is no count, but the seconds since 1970.
_FIRST_TIME = 1e8
_JSON = ("{", "[")
_PRIZE_MOVIE = re.compile(r"[^,:\s]+:")


class Wanted(NamedTuple):
    """Conditions that a layout is to meet."""

    named: bool = False  # whether the user has named it
    implicit: bool = False  # whether the rows are events, and not stars


# From the first line of a file to its layout, None if it does not fit. Where the user has named a layout
# without a header, any line fits: rows that do not are rejected one by one.
Fit = Callable[[str, Wanted], Layout | None]


def _netflix(line: str, wanted: Wanted) -> Layout | None:
    """Layout of the Netflix files on Kaggle: User_ID,Rating,Movie_ID."""
    known = {"User_ID", "Rating", "Movie_ID"} <= set(line.split(","))
    return _with_header("netflix", line, ",", wanted.implicit, scale=(1, 5)) if known else None


def _netflix_prize(line: str, wanted: Wanted) -> Layout | None:
    """Layout of the Netflix Prize, combined_data_*.txt."""
    if not wanted.named and not _PRIZE_MOVIE.fullmatch(line.strip()):
        return None
    return Layout("netflix-prize", ",", 3, {"user": 1, "rating": 2, "time": 3}, header=False, scale=(1, 5))


def _movielens(line: str, wanted: Wanted) -> Layout | None:
    """Layout of MovieLens with a header, ratings.csv."""
    known = line.startswith("userId,movieId,rating")
    return _with_header("movielens", line, ",", wanted.implicit, scale=(0.5, 5)) if known else None


def _without_header(name: str, delimiter: str) -> Fit:
    """Layout of MovieLens without a header, ratings.dat and u.data, with any delimiter."""

    def fit(line: str, wanted: Wanted) -> Layout | None:
        fields = cut(line, delimiter)
        alike = len(fields) in (3, 4) and is_number(fields[2])
        if not wanted.named and not alike:
            return None
        count = len(fields) if alike else len(_MOVIELENS_ORDER)
        positions = {role: place for role, place in _MOVIELENS_ORDER.items() if place <= count}
        if wanted.implicit and count == 3 and alike and float(fields[2]) >= _FIRST_TIME:
            positions = {"user": 1, "movie": 2, "time": 3}
        return Layout(name, delimiter, count, positions, header=False)

    return fit


def _table(name: str, delimiters: Sequence[str]) -> Fit:
    """Layout of any table with a header that names user, movie and rating."""

    def fit(line: str, wanted: Wanted) -> Layout | None:
        found = (_with_header(name, line, delimiter, wanted.implicit) for delimiter in delimiters)
        return next(filter(None, found), None)

    return fit


def _spaces(line: str, wanted: Wanted) -> Layout | None:
    """Layout of columns with spaces between them, with or without a header."""
    if line.startswith(_JSON):
        return None
    named = _with_header("spaces", line, " ", wanted.implicit)
    return named or _without_header("spaces", " ")(line, wanted)


def _json_lines(line: str, wanted: Wanted) -> Layout | None:
    """Layout of one JSON object a line, by the keys of the first."""
    if not (keys := json_keys(line)):
        return None
    found = _find_columns([plain(key) for key in keys], wanted.implicit)
    counts = _are_counts([plain(key) for key in keys], found)
    return _of_keys("jsonl", {role: keys[place] for role, place in found.items()}, wanted.implicit, counts)


def json_keys(line: str) -> list[str]:
    """Returns the keys of the JSON object in a line; none if it is no such."""
    try:
        found = json.loads(line)
    except ValueError:
        return []
    return list(found) if isinstance(found, dict) else []


def _of_keys(name: str, keys: Mapping[str, str], implicit: bool, counts: bool) -> Layout | None:
    if not all(role in keys for role in required(implicit)):
        return None
    positions = {role: place for place, role in enumerate(keys, start=1)}
    return Layout(name, "", len(keys), positions, header=0, keys=list(keys.values()), counts=counts)


# What `csv` and `tsv` may have between two fields.
_TABLES: Mapping[str, Sequence[str]] = {
    "csv": [delimiter for delimiter in DELIMITERS if delimiter != "\t"],
    "tsv": ["\t"],
}
# In the order in which they are tried; the first one that fits is taken.
_FITS: Mapping[str, Fit] = {
    "jsonl": _json_lines,
    "netflix": _netflix,
    "netflix-prize": _netflix_prize,
    "movielens": _movielens,
    **{name: _table(name, delimiters) for name, delimiters in _TABLES.items()},
    "movielens-dat": _without_header("movielens-dat", "::"),
    "movielens-tab": _without_header("movielens-tab", "\t"),
    "spaces": _spaces,
}
FORMATS = (*_FITS, PARQUET)
# Those whose columns the user may name.
WITH_COLUMNS = (*_TABLES, "jsonl", "spaces", PARQUET)


def layout_of(file: InputFile, name: str, columns: Mapping[str, str], implicit: bool = False) -> Layout:
    """Finds the layout of the ratings file `file`.

    Raises `UserError` if no layout fits, or not the one that is named, or there is nothing below the header.

    Args:
      name: Value of `--format`, one of `FORMATS`; "" finds the layout from the first line.
      columns: Columns of `--columns`; empty if it is not given.
      implicit: Whether the rows are events, which need no rating.
    """
    if name and (name == PARQUET) != file.is_parquet:
        raise UserError(
            f"{file.flag} {file.name} is {'a' if file.is_parquet else 'no'} Parquet file, against --format "
            f"{name}; leave --format out, or name another file"
        )
    if file.is_parquet:
        return _parquet(file, columns, implicit)
    lines = first_lines(file, 3)
    above = int(len(lines) > 1 and bool(DELIMITER_LINE.fullmatch(lines[0].strip())))
    lines = lines[above:]
    if "\ufffd" in lines[0]:
        raise UserError(
            f"{file.flag} {file.name} is not UTF-8; convert it, e.g. with `iconv -f LATIN1 -t UTF-8`"
        )
    line = lines[0]
    layout = _by_columns(line, name, columns, implicit) if columns else _by_name(line, name, implicit)
    if layout is None:
        problem, cure = _misfit(lines[0], name, columns, implicit)
        raise UserError(f"{file.flag} {file.name} {problem}: its first line is {lines[0][:80]!r}; {cure}")
    if layout.header and len(lines) < 2:
        raise UserError(f"{file.flag} {file.name} has a header but no rows; name a file with ratings")
    return replace(layout, header=layout.header + above)


def fits(file: InputFile, name: str, columns: Mapping[str, str], implicit: bool = False) -> bool:
    """Tests if there is a layout for `file`, and its first row is in it."""
    layout = layout_of(file, name, columns, implicit)
    if file.is_parquet or layout.keys:
        return True
    above = layout.header if "movie" in layout.positions else 1
    row = first_lines(file, above + 1)[above:]
    return bool(row) and len(cut(row[0], layout.delimiter)) == layout.fields


def _misfit(line: str, name: str, columns: Mapping[str, str], implicit: bool) -> tuple[str, str]:
    """Says why no layout fits, and the cure."""
    if line.startswith(_JSON) and not json_keys(line):
        return "is JSON, but not one object a line", "write each rating as an object on a line of its own"
    if name and not columns:
        cure = "leave --format out to have the layout found, or name another file"
        return f"is not in the layout of --format {name}", cure
    roles = required(implicit)
    cure = f"name them with --columns {','.join(f'{role}=…' for role in roles)}"
    if columns:
        cure = f"no such columns: --columns {','.join(f'{role}={of}' for role, of in columns.items())}"
    elif not implicit and _by_name(line, name, implicit=True):
        return "has no column for the rating", f"{_IF_EVENTS}; else {cure}"
    return f"has no columns for {', '.join(roles[:-1])} and {roles[-1]}", cure


_IF_EVENTS = "if its rows are plays, likes or purchases, without stars, add --feedback implicit"


def _by_name(line: str, name: str, implicit: bool) -> Layout | None:
    if name:
        return _FITS[name](line, Wanted(True, implicit))
    found = (fit(line, Wanted(False, implicit)) for fit in _FITS.values())
    return next(filter(None, found), None)


def _by_columns(line: str, name: str, columns: Mapping[str, str], implicit: bool) -> Layout | None:
    """Finds the layout that has every column that is asked for, by name or number."""
    if keys := json_keys(line):
        there = all(key in keys for key in columns.values())
        return _of_keys("columns", columns, implicit, counts=implicit) if there else None
    for delimiter in _TABLES.get(name, (*DELIMITERS, " ")):
        fields = [field.strip() for field in cut(line, delimiter)]
        if all(column in fields for column in columns.values()):
            positions = {role: fields.index(column) + 1 for role, column in columns.items()}
            return Layout("columns", delimiter, len(fields), positions, header=True, counts=implicit)
        if all(column.isdecimal() and 0 < int(column) <= len(fields) for column in columns.values()):
            positions = {role: int(column) for role, column in columns.items()}
            header = not is_number(fields[positions.get("rating", positions["movie"]) - 1], delimiter)
            return Layout("columns", delimiter, len(fields), positions, header, counts=implicit)
    return None


def _find_columns(names: Sequence[str], implicit: bool) -> dict[str, int]:
    """Finds the place of each role's column, from 0, by the usual names, else by the others."""
    usual, others = _places(names, NAMES), _places(names, OTHER_NAMES)
    taken = {role for role, accepted in NAMES.items() if any(name in accepted for name in names)}
    if implicit and (counts := _places(names, {"rating": COUNT_NAMES})):
        usual |= counts
    return usual | {role: place for role, place in others.items() if role not in taken}


def _are_counts(names: Sequence[str], places: Mapping[str, int]) -> bool:
    """Tests if the column of the ratings, among `places` from 0, has the name of a count."""
    return "rating" in places and names[places["rating"]] in COUNT_NAMES


def _places(names: Sequence[str], accepted: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """Finds the place of each role's column, from 0. Of two columns that could be it, none is taken."""
    found = {role: [place for place, name in enumerate(names) if name in of] for role, of in accepted.items()}
    return {role: places[0] for role, places in found.items() if len(places) == 1}


def _with_header(
    name: str, line: str, delimiter: str, implicit: bool, scale: tuple[float, float] | None = None
) -> Layout | None:
    names = [plain(field) for field in cut(line, delimiter)]
    places = _find_columns(names, implicit)
    if not all(role in places for role in required(implicit)):
        return None
    positions = {role: place + 1 for role, place in places.items()}
    counts = _are_counts(names, places)
    return Layout(name, delimiter, len(names), positions, header=True, scale=scale, counts=counts)


def _parquet(file: InputFile, columns: Mapping[str, str], implicit: bool) -> Layout:
    names = file.parquet_columns()
    if columns:
        positions = _places(names, {role: [name] for role, name in columns.items()})
    else:
        positions = _find_columns([plain(name) for name in names], implicit)
    missing = [role for role in (columns or required(implicit)) if role not in positions]
    if missing:
        events = f"{_IF_EVENTS}; else " if missing == ["rating"] and not columns else ""
        raise UserError(
            f"{file.flag} {file.name} has no column for the {' or the '.join(missing)}: it has "
            f"{', '.join(names)[:200]}; {events}name them with --columns user=…,movie=…,rating=…"
        )
    kinds = file.parquet_kinds()
    for role, place in positions.items():
        if not kinds[place]:
            raise UserError(
                f"{file.flag} {file.name}: its column {names[place]}, the {role}, holds structures or lists; "
                "name a column of single values with --columns user=…,movie=…,rating=…"
            )
    counts = (implicit and bool(columns)) or _are_counts([plain(name) for name in names], positions)
    return Layout(PARQUET, "", len(names), positions, header=False, counts=counts)

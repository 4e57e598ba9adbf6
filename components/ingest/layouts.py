"""Where the user, the movie, the rating and the time stand in a line of a ratings file."""

import csv
from dataclasses import dataclass

# What a header may call each column; compared without case, spaces, hyphens and underscores.
NAMES = {
    "user": ("userid", "user", "customerid", "uid"),
    "movie": ("movieid", "movie", "itemid", "item"),
    "rating": ("rating", "stars", "score"),
    "time": ("timestamp", "time", "date"),
}
REQUIRED = ("user", "movie", "rating")
DELIMITERS = ("::", "\t", ",", ";", "|")


@dataclass(frozen=True)
class Layout:
    """How the lines of a ratings file are cut.

    Attributes:
      name: for people.
      delimiter: what stands between two fields; "" in a Parquet file.
      fields: how many fields a line has.
      positions: role (user, movie, rating, time) -> its field, from 1, or in a Parquet file its column, from
        0. Without a movie, lines `MOVIE:` stand above the ratings of each movie (the Netflix Prize).
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


def plain(name: str) -> str:
    """A column's name without what people write differently."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def cut(line: str, delimiter: str) -> list[str]:
    """The fields of one line; none if they are beyond all measure."""
    if len(delimiter) > 1:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def is_number(text: str) -> bool:
    """Whether `text` can be read as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True

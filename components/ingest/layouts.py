"""Layouts: which column of a ratings file holds what."""

import csv
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


@dataclass(frozen=True)
class Layout:
    """How the lines of a ratings file are cut.

    Attributes:
      delimiter: what stands between two fields.
      fields: how many fields a line has.
      positions: role (user, movie, rating, time) -> its field, from 1.
      header: whether the first line names the columns.
    """

    delimiter: str
    fields: int
    positions: dict[str, int]
    header: bool


def detect(file: InputFile) -> Layout:
    """The layout of a ratings file, from its first line.

    Raises:
      UserError: if a column that is needed is missing, or there is nothing below the header.
    """
    lines = first_lines(file, 2)
    header = next(csv.reader([lines[0]]))
    positions = {}
    for role, accepted in NAMES.items():
        found = [place for place, name in enumerate(header, start=1) if plain(name) in accepted]
        if len(found) > 1:
            raise UserError(f"{file.flag} {file.name} has two columns for the {role}: rename one of them")
        if found:
            positions[role] = found[0]
    missing = [role for role in REQUIRED if role not in positions]
    if missing:
        raise UserError(
            f"{file.flag} {file.name} has no column for the {' or the '.join(missing)}: its header is "
            f"{lines[0][:80]!r}; name the columns User_ID, Movie_ID and Rating"
        )
    if len(lines) < 2:
        raise UserError(f"{file.flag} {file.name} has a header but no rows; name a file with ratings")
    return Layout(",", len(header), positions, header=True)


def plain(name: str) -> str:
    """A column's name without what people write differently."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())

"""Options of reading users' files: flags of each command that reads such, and `ingest_settings` by name."""

import difflib
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from components.declaration import Choice, inputs_of
from components.errors import UserError

# A whole number as a text, and the part of it that `id_type` "int" keeps.
WHOLE_NUMBER = r"^\+?0*([0-9]+)(?:\.0*)?$"

# What the rows of the ratings files are: stars, or that a user saw, played, bought or liked a movie.
Feedback = Literal["stars", "implicit"]
STARS: Feedback = "stars"
IMPLICIT: Feedback = "implicit"

# Name of the dict that carries the options through the pipeline.
INGEST_SETTINGS = "ingest_settings"


@dataclass(frozen=True)
class ReadOptions:
    """Reading of users' files, where the usual does not fit.

    Args:
      feedback: "stars" reads a rating in each row; "implicit" takes each row as an event (a play, a like, a
        purchase), or as many as its count says: files need no column of ratings, and stars are dropped.
      missing_ids: Ids of users and movies in text files that mean that there is none, several by comma,
        exactly as they are written; "" takes every id as it is.
      id_type: "text" takes the ids as they are; "int" makes 5 of 0000005 and 5.0.
      not_rated: Ratings that mean that there is none, such as "0,-1": their rows are left out, and counted.
      time_format: Form of the times as strptime writes it, such as "%d.%m.%Y %H:%M:%S"; "" reads ISO 8601,
        with or without a zone, and numbers of seconds, milliseconds or microseconds since 1970.
      movie_columns: Columns of the movie tables, names or numbers: id=…,title=…,year=…,genres=…, or some of
        these; "" knows the usual ones.
      user: The user of all ratings, for text files without such a column, such as a person's own export.
      unknown_movies: Ratings of movies that the movie table does not have: "reject" (they count for
        --max-reject-rate), "drop" (they do not) or "keep" (with the id as title).
    """

    feedback: Annotated[str, Choice(STARS, IMPLICIT)] = STARS
    id_type: Annotated[str, Choice("text", "int")] = "text"
    not_rated: str = ""
    time_format: str = ""
    missing_ids: str = "NULL,NaN,None,NA,\\N"
    movie_columns: str = ""
    user: str = ""
    unknown_movies: Annotated[str, Choice("reject", "drop", "keep")] = "reject"

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Makes the options of `values`, by name.

        Raises `UserError` if a name is unknown or a value is not one that the option takes.
        """
        declared = inputs_of(cls)
        for name, value in values.items():
            if name not in declared:
                nearest = difflib.get_close_matches(name, declared, n=1, cutoff=0.0)[0]
                raise UserError(f"--ingest-settings: there is no setting {name!r}; did you mean {nearest!r}?")
            if not isinstance(value, declared[name].type):
                raise UserError(f"--ingest-settings: {name} is {value!r}; give a text in quotes")
            declared[name].check(value)
        options = cls(**values)
        _ = options.movie_roles, options.not_rated_values  # checks them
        options.check_time_format()
        return options

    @property
    def implicit(self) -> bool:
        """True if the rows are events, and not stars."""
        return self.feedback == IMPLICIT

    @property
    def not_rated_values(self) -> list[float]:
        """Ratings that mean that there is none. Raises `UserError` if they are no numbers."""
        try:
            return [float(word) for word in self.not_rated.split(",") if word.strip()]
        except ValueError as error:
            raise UserError(f"--not-rated {self.not_rated}: give numbers, several by comma") from error

    def check_time_format(self) -> None:
        """Raises `UserError` if the form of the times is not understood."""
        if not self.time_format:
            return
        import duckdb

        try:
            duckdb.connect().execute("SELECT try_strptime('', $form)", {"form": self.time_format})
        except duckdb.Error as error:
            raise UserError(
                f"--time-format {self.time_format} is not understood; write it as strptime does, such as "
                "%d.%m.%Y %H:%M:%S"
            ) from error

    def id_of(self, text: str) -> str:
        """Returns the id that `text` means."""
        return re.sub(WHOLE_NUMBER, r"\1", text) if self.id_type == "int" else text

    @property
    def missing(self) -> list[str]:
        """Ids that mean that there is none, the empty one among them."""
        return ["", *filter(None, self.missing_ids.split(","))]

    @cached_property
    def movie_roles(self) -> dict[str, str]:
        """Column of each role (id, title, year, genres) that `movie_columns` names."""
        return parse_roles(self.movie_columns, "--movie-columns", ("id", "title", "year", "genres"))


def check_feedback(options: ReadOptions, rating_scale: str) -> None:
    """Raises `UserError` if a scale of the ratings is named where there are none."""
    if options.implicit and rating_scale:
        raise UserError(
            f"--rating-scale {rating_scale} is of stars, which --feedback implicit drops; leave one of "
            "the two out"
        )


def parse_roles(text: str, flag: str, roles: Collection[str]) -> dict[str, str]:
    """Reads `ROLE=NAME,…`, the value of `flag`. Raises `UserError` if it is not of that form."""
    columns: dict[str, str] = {}
    for word in filter(None, text.split(",")):
        role, separator, column = (part.strip() for part in word.partition("="))
        if role not in roles or not separator or not column or role in columns:
            form = ",".join(f"{role}=NAME" for role in roles)
            raise UserError(f"{flag} {text} is not understood; write {form}, or some of these")
        columns[role] = column
    return columns

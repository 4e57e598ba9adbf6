"""Why a row is not kept."""

from enum import IntEnum


class Reason(IntEnum):
    """The verdict on a line: below 0 if it is no rating, or only left out; above 0 if it is rejected."""

    LEFT_OUT = -4
    MOVIE_LINE = -3
    HEADER = -2
    BLANK = -1
    FINE = 0
    MALFORMED_LINE = 1
    NOT_UTF_8 = 2
    NUL_BYTE = 3
    NO_USER = 4
    NO_MOVIE = 5
    NO_RATING = 6
    RATING_NOT_A_NUMBER = 7
    TIME_NOT_UNDERSTOOD = 8
    RATING_OFF_THE_SCALE = 9
    UNKNOWN_MOVIE = 10
    DUPLICATE = 11
    ALSO_IN_TEST = 12
    LINE_TOO_LONG = 13

    @property
    def text(self) -> str:
        """For people and rejects.csv."""
        return self.name.lower().replace("_", " ")


# Normal in real logs, so they are listed and counted, but do not make a file bad.
HARMLESS = frozenset({Reason.DUPLICATE, Reason.ALSO_IN_TEST})

"""Why a row is not kept."""

from enum import IntEnum


class Reason(IntEnum):
    """The verdict on one line of a ratings file. Lines that are no rows are below 0, rejected rows above."""

    HEADER = -2
    BLANK = -1
    FINE = 0
    WRONG_NUMBER_OF_FIELDS = 1
    NOT_UTF_8 = 2
    NUL_BYTE = 3
    NO_USER = 4
    NO_MOVIE = 5
    NO_RATING = 6
    RATING_NOT_A_NUMBER = 7
    RATING_OFF_THE_SCALE = 8
    UNKNOWN_MOVIE = 9
    TIME_NOT_UNDERSTOOD = 10
    DUPLICATE = 11
    ALSO_IN_TEST = 12

    @property
    def text(self) -> str:
        """For people and rejects.csv."""
        return self.name.lower().replace("_", " ")


# Normal in real logs, so they are listed and counted, but do not make a file bad.
HARMLESS = frozenset({Reason.DUPLICATE, Reason.ALSO_IN_TEST})

"""Which side of the split a rating falls on: decided by its user, its movie and the seed alone."""

import hashlib
from dataclasses import dataclass

from components.errors import UserError

# The engine's md5_number_lower reads the last 8 bytes of an MD5 digest as a little-endian integer.
HASH_SQL = "md5_number_lower(concat($seed::VARCHAR, chr(10), user_id, chr(10), movie_id))"
GREATEST_HASH = (1 << 64) - 1


@dataclass(frozen=True)
class SplitSettings:
    """How rows are divided.

    Attributes:
      seed: another seed, another division.
      test_fraction: share of all rows, 0 to 1; 0 where a test file was given.
      validation_fraction: share of the rows that are not for testing, 0 to 1.
      given: whether the test rows are those of a file.
    """

    seed: int
    test_fraction: float
    validation_fraction: float
    given: bool

    def __post_init__(self) -> None:
        for flag, value in (
            ("--test-fraction", self.test_fraction),
            ("--validation-fraction", self.validation_fraction),
        ):
            if not 0 <= value < 1:
                raise UserError(f"{flag} {value:g} is not a share of the rows; pass one from 0 up to 1")

    @property
    def test_below(self) -> int:
        """Rows whose hash is below this are for testing."""
        return 0 if self.given else int(self.test_fraction * GREATEST_HASH)

    @property
    def validation_below(self) -> int:
        """Rows whose hash is below this, and that are not for testing, are for validation."""
        return self.test_below + int(self.validation_fraction * (GREATEST_HASH - self.test_below))


def row_hash(seed: int, user_id: str, movie_id: str) -> int:
    """What `HASH_SQL` computes: an integer from 0 to 2^64 - 1."""
    digest = hashlib.md5(f"{seed}\n{user_id}\n{movie_id}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little")

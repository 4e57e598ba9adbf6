"""What identifies the input files."""

import hashlib

from components.ingest.inputs import names
from components.storage import identity


def fingerprint_of(ratings: str, movies: str, test_ratings: str) -> str:
    """A string that changes when one of the files does, or another one is named.

    Raises:
      UserError: if a file is absent.
    """
    lines = []
    for flag, text in (("--ratings", ratings), ("--movies", movies), ("--test-ratings", test_ratings)):
        if text:
            lines += [f"{flag} {name} {identity(name)}" for name in names(text, flag)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]

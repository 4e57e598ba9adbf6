"""What `ingest` would make of input files, found out without writing anything."""

import tempfile
import time
from pathlib import Path

from components.ingest.database import database
from components.ingest.dataset import REJECTS_FILE
from components.ingest.fingerprint import fingerprint_of
from components.ingest.prepare import Examined, Sources, examine, open_sources
from components.ingest.settings import Settings


def describe(
    ratings: str, movies: str, test_ratings: str, settings: Settings, memory_gb: float
) -> tuple[Sources, Examined]:
    """Reads the files as `ingest` does, spilling to the directory for temporary files (TMPDIR).

    Returns:
      The files, and what a RatingsDataset of them would hold or why there can be none.

    Raises:
      UserError: if a file cannot be read.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="twotower-describe-") as directory:
        scratch = Path(directory)
        sources = open_sources(ratings, movies, test_ratings, settings, scratch)
        with database(scratch, memory_gb) as connection:
            examined = examine(connection, sources, settings, scratch / REJECTS_FILE)
        examined.statistics["fingerprint"] = fingerprint_of(ratings, movies, test_ratings)
        examined.statistics["seconds"] = round(time.monotonic() - started, 3)
        return sources, examined

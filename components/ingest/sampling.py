"""The rows that are taken, of each split: all that are kept, or samples of them."""

from pathlib import Path
from typing import Any

from components.ingest.database import has_column, one_row
from components.ingest.dataset import SPLITS
from components.ingest.settings import Settings


def take(connection: Any, settings: Settings) -> dict[str, int]:
    """Makes the view `taken` of the rows of `judged` that go into a split; returns how many each has."""
    available = _counts(connection, "judged WHERE reason = 0")
    wanted = _bounded(available, settings)
    samples = "".join(
        f" AND (split <> {place} OR hash <= {_greatest_hash(connection, name, wanted[name])})"
        for place, name in enumerate(SPLITS)
        if wanted[name] < available[name]
    )
    connection.execute(f"CREATE VIEW taken AS SELECT * FROM judged WHERE reason = 0{samples}")
    return _counts(connection, "taken") if samples else available


def shortage(taken: dict[str, int], left_out: int) -> str | None:
    """Why rows so divided are too few to go on with, `left_out` others aside; None if they are enough."""
    short = [name for name in SPLITS if not taken[name]]
    if not short:
        return None
    usable = f"{sum(taken.values()):,} usable ratings"
    cure = "bring more ratings, or raise --validation-fraction and --test-fraction"
    if left_out:
        usable += f" ({left_out:,} were left out)"
        cure += ", or lower --min-user-ratings and --min-movie-ratings"
    return (
        f"too little data: of {usable} none is left for {' and '.join(short)}; at least 1 in each of train, "
        f"validation and test is needed: {cure}"
    )


def write(connection: Any, name: str, file: Path) -> None:
    """Writes the taken rows of one split, by user, then movie."""
    time = ", time" if has_column(connection, "judged", "time") else ""
    connection.execute(
        f"""
        COPY (
            SELECT user_id, movie_id, rating {time}
            FROM taken
            JOIN users ON taken.user = users.index
            JOIN movies ON taken.movie = movies.index
            WHERE split = ?
        ) TO ? (FORMAT parquet)
        """,
        [SPLITS.index(name), str(file)],
    )


def _counts(connection: Any, rows: str) -> dict[str, int]:
    found = dict(connection.execute(f"SELECT split, count(*) FROM {rows} GROUP BY split").fetchall())
    return {name: found.get(place, 0) for place, name in enumerate(SPLITS)}


def _bounded(available: dict[str, int], settings: Settings) -> dict[str, int]:
    """How many rows of each split are taken; validation rows are cut in the proportion of training rows."""
    wanted = dict(available)
    if 0 < settings.max_train_rows < available["train"]:
        wanted["train"] = settings.max_train_rows
        share = settings.max_train_rows / available["train"]
        wanted["validation"] = min(available["validation"], max(1, round(available["validation"] * share)))
    if settings.max_test_rows:
        wanted["test"] = min(settings.max_test_rows, available["test"])
    return wanted


def _greatest_hash(connection: Any, name: str, rows: int) -> int:
    """The hash up to which a split holds `rows` rows: those form a uniform sample, the same at every run."""
    (found,) = one_row(
        connection,
        "SELECT hash FROM judged WHERE split = ? AND reason = 0 ORDER BY hash LIMIT 1 OFFSET ?",
        [SPLITS.index(name), rows - 1],
    )
    return int(found)

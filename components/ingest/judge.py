"""Which rows are kept: joins them with the catalogue, drops duplicates, divides them into splits."""

from pathlib import Path
from typing import Any

from components.ingest.database import one_row
from components.ingest.dataset import SPLITS
from components.ingest.reasons import Reason
from components.ingest.split import HASH_SQL, SplitSettings

_TRAIN, _VALIDATION, _TEST = range(len(SPLITS))


def keep(connection: Any, scale: tuple[float, float], split: SplitSettings) -> None:
    """Makes the tables users(user_id, index), judged and kept from `rows` and `catalogue`.

    judged: one row for each row of `rows` that is fine in itself: user, movie (indices), rating, row (its
    place in `rows`), reason and split (0 train, 1 validation, 2 test), by user, then movie.
    """
    connection.execute(
        """
        CREATE TABLE users AS
        SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS index
        FROM (SELECT DISTINCT user_id FROM rows WHERE reason = 0)
        """
    )
    connection.execute(
        f"""
        CREATE TABLE keyed AS
        SELECT users.index AS user, catalogue.index AS movie, rating, rows.rowid AS row, from_test,
            {HASH_SQL} AS hash
        FROM rows JOIN users USING (user_id) JOIN catalogue USING (movie_id)
        WHERE reason = 0 AND rating BETWEEN $low AND $high
        ORDER BY users.index, catalogue.index, from_test, rows.rowid
        """,
        {"seed": split.seed, "low": scale[0], "high": scale[1]},
    )
    # The last row of a (user, movie) wins; a row of the test file wins over all others.
    connection.execute(
        f"""
        CREATE TABLE judged AS
        SELECT user, movie, rating, row, hash, CASE
                WHEN user <> next_user OR movie <> next_movie OR next_user IS NULL THEN {Reason.FINE:d}
                WHEN from_test = next_from_test THEN {Reason.DUPLICATE:d}
                ELSE {Reason.ALSO_IN_TEST:d} END::TINYINT AS reason,
            CASE
                WHEN from_test OR hash < $test THEN {_TEST:d}
                WHEN hash < $validation THEN {_VALIDATION:d}
                ELSE {_TRAIN:d} END::TINYINT AS split
        FROM (
            SELECT *, lead(user) OVER () AS next_user, lead(movie) OVER () AS next_movie,
                lead(from_test) OVER () AS next_from_test
            FROM keyed
        )
        """,
        {"test": split.test_below, "validation": split.validation_below},
    )
    connection.execute("DROP TABLE keyed")


def greatest_hash(connection: Any, split: str, rows: int) -> int:
    """The hash up to which a split holds `rows` rows: those form a uniform sample, the same at every run."""
    (found,) = one_row(
        connection,
        "SELECT hash FROM judged WHERE split = ? AND reason = 0 ORDER BY hash LIMIT 1 OFFSET ?",
        [SPLITS.index(split), rows - 1],
    )
    return int(found)


def write_split(connection: Any, split: str, up_to_hash: int, file: Path) -> int:
    """Writes the kept rows of a split, by user, then movie; returns how many they are."""
    (rows,) = one_row(
        connection,
        """
        COPY (
            SELECT user_id, movie_id, rating
            FROM judged JOIN users ON judged.user = users.index JOIN catalogue ON judged.movie = catalogue.index
            WHERE split = $split AND reason = 0 AND hash <= $hash
        ) TO $file (FORMAT parquet)
        """,
        {"split": SPLITS.index(split), "hash": up_to_hash, "file": str(file)},
    )
    return int(rows)

"""Which rows are kept, and for which split: joins rows with the catalogue, finds duplicates, divides."""

from typing import Any

from components.ingest import split
from components.ingest.database import has_column, one_row
from components.ingest.dataset import SPLITS
from components.ingest.reasons import Reason
from components.ingest.scale import Scale
from components.ingest.settings import Settings

_TRAIN, _VALIDATION, _TEST = range(len(SPLITS))
# Greater than the number of any row.
_NEVER = (1 << 63) - 1


def judge(connection: Any, scale: Scale, settings: Settings) -> None:
    """Makes the tables users, judged, rejected and blank from `rows`, which is gone then, and `catalogue`.

    users: user_id, index (in the order of the ids). judged: one row for each rating that is fine in itself,
    by user, then movie: user, movie (indices), rating, row (its place among all lines), hash, for_test, split
    (0 train, 1 validation, 2 test), reason, and time if `rows` has it. rejected: row, reason. blank: row.
    """
    _number_users(connection, settings.seed)
    _reject(connection, scale)
    _join(connection, scale)
    _find_duplicates(connection, settings)
    if settings.min_movie_ratings > 1:
        _leave_out(connection, "movie", settings.min_movie_ratings)
    if settings.min_user_ratings > 1:
        _leave_out(connection, "user", settings.min_user_ratings)
    if settings.split == "leave-last-out":
        split.leave_last_out(connection, _given(connection))
    elif settings.split == "time":
        split.by_time(connection, settings, _given(connection))


def _number_users(connection: Any, seed: int) -> None:
    connection.execute(
        f"""
        CREATE TABLE users AS
        SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS index,
            {split.KEYS_SQL.format(id="user_id")}
        FROM (SELECT DISTINCT user_id FROM rows WHERE reason = 0)
        """,
        {"seed": seed},
    )
    connection.execute(
        f"""
        CREATE TABLE movies AS SELECT movie_id, index, {split.KEYS_SQL.format(id="movie_id")} FROM catalogue
        """,
        {"seed": seed},
    )


def _reject(connection: Any, scale: Scale) -> None:
    connection.execute(
        f"""
        CREATE TABLE rejected AS
        SELECT row, reason FROM (
            SELECT rows.rowid AS row, CASE
                WHEN reason <> 0 THEN reason
                WHEN rating NOT BETWEEN $low AND $high THEN {Reason.RATING_OFF_THE_SCALE:d}
                WHEN movies.index IS NULL THEN {Reason.UNKNOWN_MOVIE:d} END::TINYINT AS reason
            FROM rows LEFT JOIN movies USING (movie_id)
        )
        WHERE reason > 0
        """,
        {"low": scale[0], "high": scale[1]},
    )
    connection.execute(f"CREATE TABLE blank AS SELECT rowid AS row FROM rows WHERE reason = {Reason.BLANK:d}")


def _join(connection: Any, scale: Scale) -> None:
    time = ", time" if has_column(connection, "rows", "time") else ""
    connection.execute(
        f"""
        CREATE TABLE keyed AS
        SELECT users.index AS user, movies.index AS movie, rating, rows.rowid AS row, {split.HASH_SQL} AS hash
            {time}
        FROM rows JOIN users USING (user_id) JOIN movies USING (movie_id)
        WHERE reason = 0 AND rating BETWEEN $low AND $high
        ORDER BY users.index, movies.index, rows.rowid
        """,
        {"low": scale[0], "high": scale[1]},
    )
    connection.execute("DROP TABLE rows")


def _find_duplicates(connection: Any, settings: Settings) -> None:
    """The last row of a user and movie wins. Test rows come last, so they win over all others."""
    test_below, validation_below = split.thresholds(settings, _given(connection))
    connection.execute(
        f"""
        CREATE TABLE judged AS
        SELECT * EXCLUDE (next_user, next_movie, next_for_test),
            CASE
                WHEN user = next_user AND movie = next_movie AND for_test = next_for_test
                THEN {Reason.DUPLICATE:d}
                WHEN user = next_user AND movie = next_movie THEN {Reason.ALSO_IN_TEST:d}
                ELSE {Reason.FINE:d} END::TINYINT AS reason,
            CASE
                WHEN for_test OR hash < $test THEN {_TEST:d}
                WHEN hash < $validation THEN {_VALIDATION:d}
                ELSE {_TRAIN:d} END::TINYINT AS split
        FROM (
            SELECT *, lead(user) OVER () AS next_user, lead(movie) OVER () AS next_movie,
                lead(for_test) OVER () AS next_for_test
            FROM (SELECT *, row >= $first_test_row AS for_test FROM keyed)
        )
        """,
        {"test": test_below, "validation": validation_below, "first_test_row": _first_test_row(connection)},
    )
    connection.execute("DROP TABLE keyed")
    connection.execute("INSERT INTO rejected SELECT row, reason FROM judged WHERE reason > 0")


def _leave_out(connection: Any, of: str, least: int) -> None:
    """Marks the ratings of users or movies (`of`) that have fewer than `least`."""
    connection.execute(
        f"""
        UPDATE judged SET reason = {Reason.LEFT_OUT:d}
        WHERE reason = 0 AND {of} IN (
            SELECT {of} FROM judged WHERE reason = 0 GROUP BY {of} HAVING count(*) < ?
        )
        """,
        [least],
    )


def _first_test_row(connection: Any) -> int:
    (row,) = one_row(connection, "SELECT min(first_row) FILTER (for_test) FROM files")
    return _NEVER if row is None else int(row)


def _given(connection: Any) -> bool:
    return _first_test_row(connection) != _NEVER

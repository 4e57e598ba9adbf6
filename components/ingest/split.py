"""Classifies rows as kept or rejected, assigns them to train, validation and test, and samples each."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from components.ingest.database import has_column, one_row
from components.ingest.dataset import SPLITS, IngestSettings, Scale, SplitCounts
from components.ingest.rejects import RejectReason

# A Mersenne prime: the hash of a row is two numbers below it, side by side in 62 bits.
_PRIME = (1 << 31) - 1
HASHES = _PRIME << 31

# Two numbers of 31 bits for each user and each movie, from an MD5 digest.
KEYS_SQL = """
    md5_number_lower($seed::VARCHAR || chr(10) || {id}) & 2147483647 AS key_1,
    md5_number_upper($seed::VARCHAR || chr(10) || {id}) & 2147483647 AS key_2
"""
# For the rows of one user, and for those of one movie, these are independent in pairs, and no digest has to
# be taken for every row: at 17 million rows that alone was a third of the whole work.
HASH_SQL = f"""
    (((users.key_1 * movies.key_1 + users.key_2) % {_PRIME}) * 2147483648
    + (users.key_2 * movies.key_2 + movies.key_1) % {_PRIME})::BIGINT
"""


def _leave_last_out(connection: Any, given: bool) -> None:
    """Divides `classified` again: each user's last rating is for testing, the last but one for validation.

    A user with fewer than three ratings (two, where the test rows are given) keeps them all for training.
    Among ratings of one second the hash decides; a rating without a time is older than all others.
    """
    test = 0 if given else 1
    _redivide(
        connection,
        """
        CASE
            WHEN ratings <= $validation THEN 0
            WHEN age = $test THEN 2
            WHEN age = $validation THEN 1
            ELSE 0 END
        """,
        """
        row_number() OVER (PARTITION BY user ORDER BY time DESC NULLS LAST, hash) AS age,
        count(*) OVER (PARTITION BY user) AS ratings
        """,
        {"test": test, "validation": test + 1},
    )


def _by_time(connection: Any, settings: IngestSettings) -> None:
    """Divides `classified` again: the latest ratings are for testing, those before them for validation.

    Among ratings of one second the hash decides; a rating without a time is older than all others.
    """
    known = 1 - settings.test_fraction
    _redivide(
        connection,
        """
        CASE WHEN age <= round($train * ratings) THEN 0 WHEN age <= round($known * ratings) THEN 1 ELSE 2 END
        """,
        """
        row_number() OVER (ORDER BY time NULLS FIRST, hash) AS age, count(*) OVER () AS ratings
        """,
        {"train": known * (1 - settings.validation_fraction), "known": known},
    )


def _redivide(connection: Any, split: str, windows: str, parameters: dict[str, Any]) -> None:
    connection.execute(
        f"""
        CREATE TABLE redivided AS
        SELECT * EXCLUDE (age, ratings) REPLACE (({split})::TINYINT AS split)
        FROM (SELECT *, {windows} FROM classified WHERE reason = 0 AND NOT for_test)
        UNION ALL SELECT * FROM classified WHERE reason <> 0 OR for_test
        """,
        parameters,
    )
    connection.execute(
        "CREATE OR REPLACE TABLE classified AS SELECT * FROM redivided ORDER BY user, movie, row"
    )
    connection.execute("DROP TABLE redivided")


# The weight of a user's events with a movie, given the sum of their counts. It begins at 1.
WEIGHT = "(1 + ln(1 + {}))"

_TRAIN, _VALIDATION, _TEST = range(len(SPLITS))
# Greater than the number of any row.
_NEVER = (1 << 63) - 1


def classify_rows(connection: Any, scale: Scale, settings: IngestSettings) -> int:
    """Makes the tables users, classified, rejected and blank from `rows`, which it drops, and `catalogue`.

    users: user_id, index (in the order of the ids). classified: one row for each rating that is valid in
    itself, by user, then movie: user, movie (indices), rating, row (its place among all lines), for_test,
    split (0 train, 1 validation, 2 test), reason, hash if it is read, and time if `rows` has it. rejected:
    row, reason. blank: row. unknown_movies: movie_id, and number of its rows. Returns how many events, where
    the feedback is implicit, were added to another of the same user and movie.
    """
    (first_test_row,) = one_row(
        connection, "SELECT coalesce(min(first_row) FILTER (for_test), ?) FROM files", [_NEVER]
    )
    given = first_test_row < _NEVER
    if given:  # no other rows are for testing
        settings = replace(settings, test_fraction=0.0)
    _number_users(connection, settings.seed)
    _reject(connection, scale)
    _list_unknown_movies(connection)
    _join(connection, scale, settings)
    added = _sum_events(connection, first_test_row) if settings.read.implicit else 0
    _find_duplicates(connection, first_test_row)
    if settings.min_movie_ratings > 1:
        _leave_out(connection, "movie", settings.min_movie_ratings)
    if settings.min_user_ratings > 1:
        _leave_out(connection, "user", settings.min_user_ratings)
    if settings.split == "leave-last-out":
        _leave_last_out(connection, given)
    elif settings.split == "time":
        _by_time(connection, settings)
    return added


def _number_users(connection: Any, seed: int) -> None:
    connection.execute(
        f"""
        CREATE TABLE users AS
        SELECT user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS index,
            {KEYS_SQL.format(id="user_id")}
        FROM (SELECT DISTINCT user_id FROM rows WHERE reason = 0)
        """,
        {"seed": seed},
    )
    connection.execute(
        f"""
        CREATE TABLE movies AS SELECT movie_id, index, {KEYS_SQL.format(id="movie_id")} FROM catalogue
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
                WHEN rating NOT BETWEEN $low AND $high THEN {RejectReason.RATING_OFF_THE_SCALE:d}
                WHEN movies.index IS NULL THEN {RejectReason.UNKNOWN_MOVIE:d} END::TINYINT AS reason
            FROM rows LEFT JOIN movies USING (movie_id)
        )
        WHERE reason > 0
        """,
        {"low": scale[0], "high": scale[1]},
    )
    connection.execute(
        f"CREATE TABLE blank AS SELECT rowid AS row FROM rows WHERE reason = {RejectReason.BLANK:d}"
    )


def _list_unknown_movies(connection: Any) -> None:
    connection.execute("CREATE TABLE unknown_movies (movie_id VARCHAR, number BIGINT)")
    unknown = f"reason = {RejectReason.UNKNOWN_MOVIE:d}"
    if one_row(connection, f"SELECT count(*) FROM rejected WHERE {unknown}")[0]:
        connection.execute(
            """
            INSERT INTO unknown_movies
            SELECT movie_id, count(*) FROM rows ANTI JOIN movies USING (movie_id) WHERE reason = 0
            GROUP BY movie_id
            """
        )


# Rows that are sorted at a time. While they are, they take some 40 bytes each beside all rows, sorted or not.
_SORTED_AT_ONCE = 250_000_000
# Of fewer rows, a place takes 4 bytes.
_NARROW_ROWS = 1 << 32


def _join(connection: Any, scale: Scale, settings: IngestSettings) -> None:
    """Makes the table keyed from `rows`, which it drops: `classified` without for_test and reason."""
    time = ", time" if has_column(connection, "rows", "time") else ""
    rows, users = one_row(connection, "SELECT (SELECT count(*) FROM rows), (SELECT count(*) FROM users)")
    place = "rows.rowid::UINTEGER" if rows < _NARROW_ROWS else "rows.rowid"
    test = settings.test_fraction
    not_train = test + settings.validation_fraction * (1 - test)
    query = f"""
        SELECT users.index AS user, movies.index AS movie, rating, {place} AS row,
            CASE
                WHEN {HASH_SQL} < $test THEN {_TEST:d}
                WHEN {HASH_SQL} < $validation THEN {_VALIDATION:d}
                ELSE {_TRAIN:d} END::TINYINT AS split
            {f", {HASH_SQL} AS hash" if _reads_hashes(settings) else ""} {time}
        FROM rows JOIN users USING (user_id) JOIN movies USING (movie_id)
        WHERE reason = 0 AND rating BETWEEN $low AND $high AND users.index BETWEEN $first AND $last
        ORDER BY users.index, movies.index, rows.rowid
    """
    of_splits = {"test": int(test * HASHES), "validation": int(not_train * HASHES)}
    size = max(-(-users // max(-(-rows // _SORTED_AT_ONCE), 1)), 1)
    for first in range(0, max(users, 1), size):
        connection.execute(
            f"{'INSERT INTO keyed' if first else 'CREATE TABLE keyed AS'} {query}",
            {"low": scale[0], "high": scale[1], "first": first, "last": first + size - 1, **of_splits},
        )
    connection.execute("DROP TABLE rows")


def _reads_hashes(settings: IngestSettings) -> bool:
    """Tests if the hashes of rows are read after their split is decided, for which they take 8 bytes each."""
    return settings.split != "random" or settings.max_train_rows > 0 or settings.max_test_rows > 0


def _sum_events(connection: Any, first_test_row: int) -> int:
    """Joins the rows of `keyed` of one user and movie into one, whose rating is the weight of their counts.

    Events of the files from `first_test_row` on are summed apart. Of the row and the time the last counts.
    Returns how many rows there are less.
    """
    (before,) = one_row(connection, "SELECT count(*) FROM keyed")
    time = ", max(time) AS time" if has_column(connection, "keyed", "time") else ""
    hashes = ", any_value(hash) AS hash" if has_column(connection, "keyed", "hash") else ""
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE keyed AS
        SELECT user, movie, {WEIGHT.format("sum(rating::DOUBLE)")}::FLOAT AS rating, max(row) AS row,
            any_value(split) AS split {hashes} {time}
        FROM keyed GROUP BY user, movie, row >= $first_test_row
        ORDER BY user, movie, max(row)
        """,
        {"first_test_row": first_test_row},
    )
    (after,) = one_row(connection, "SELECT count(*) FROM keyed")
    return int(before - after)


def _find_duplicates(connection: Any, first_test_row: int) -> None:
    """Keeps the last row of each user and movie, or the latest. Test rows replace all others."""
    connection.execute(
        f"""
        CREATE TABLE classified AS
        SELECT * EXCLUDE (next_user, next_movie, next_for_test, split),
            CASE
                WHEN user = next_user AND movie = next_movie AND for_test = next_for_test
                THEN {RejectReason.DUPLICATE:d}
                WHEN user = next_user AND movie = next_movie THEN {RejectReason.ALSO_IN_TEST:d}
                ELSE {RejectReason.FINE:d} END::TINYINT AS reason,
            CASE WHEN for_test THEN {_TEST:d} ELSE split END::TINYINT AS split
        FROM (
            SELECT *, lead(user) OVER () AS next_user, lead(movie) OVER () AS next_movie,
                lead(for_test) OVER () AS next_for_test
            FROM (SELECT *, row >= $first_test_row AS for_test FROM keyed)
        )
        """,
        {"first_test_row": first_test_row},
    )
    connection.execute("DROP TABLE keyed")
    if has_column(connection, "classified", "time"):
        _prefer_latest(connection)
    connection.execute("INSERT INTO rejected SELECT row, reason FROM classified WHERE reason > 0")


def _prefer_latest(connection: Any) -> None:
    """Keeps the latest row of each user and movie, where all of them have times, in place of the last one."""
    connection.execute(
        f"""
        CREATE TABLE latest AS
        SELECT max(row) AS last, arg_max(row, (time, row)) AS latest, arg_max(reason, row) AS reason
        FROM classified
        SEMI JOIN (
            SELECT user, movie, for_test FROM classified WHERE reason = {RejectReason.DUPLICATE:d}
        ) AS repeated USING (user, movie, for_test)
        GROUP BY user, movie, for_test
        HAVING count(time) = count(*) AND last <> latest
        """
    )
    connection.execute("UPDATE classified SET reason = latest.reason FROM latest WHERE row = latest.latest")
    connection.execute(
        f"UPDATE classified SET reason = {RejectReason.DUPLICATE:d} FROM latest WHERE row = latest.last"
    )
    connection.execute("DROP TABLE latest")


def _leave_out(connection: Any, of: str, least: int) -> None:
    """Marks the ratings of users or movies (`of`) that have fewer than `least`."""
    connection.execute(
        f"""
        UPDATE classified SET reason = {RejectReason.LEFT_OUT:d}
        WHERE reason = 0 AND {of} IN (
            SELECT {of} FROM classified WHERE reason = 0 GROUP BY {of} HAVING count(*) < ?
        )
        """,
        [least],
    )


def take(connection: Any, settings: IngestSettings) -> SplitCounts:
    """Makes the view `taken` of the rows of `classified` that go into a split; returns their numbers."""
    available = _counts(connection, "classified WHERE reason = 0")
    wanted = _bounded(available, settings)
    samples = "".join(
        f" AND (split <> {place} OR hash <= {_greatest_hash(connection, name, wanted[name])})"
        for place, name in enumerate(SPLITS)
        if wanted[name] < available[name]
    )
    connection.execute(f"CREATE VIEW taken AS SELECT * FROM classified WHERE reason = 0{samples}")
    return SplitCounts(**(_counts(connection, "taken") if samples else available))


def shortage(taken: SplitCounts, left_out: int) -> str | None:
    """Returns a message if a split has no row, `left_out` rows not counted; else None."""
    short = [name for name, count in taken.items() if not count]
    if not short:
        return None
    usable = f"{sum(count for _, count in taken.items()):,} usable ratings"
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
    time = ", time" if has_column(connection, "classified", "time") else ""
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


def _bounded(available: dict[str, int], settings: IngestSettings) -> dict[str, int]:
    """Bounds the rows of each split; validation rows are cut in the proportion of training rows."""
    wanted = dict(available)
    if 0 < settings.max_train_rows < available["train"]:
        wanted["train"] = settings.max_train_rows
        share = settings.max_train_rows / available["train"]
        wanted["validation"] = min(available["validation"], max(1, round(available["validation"] * share)))
    if settings.max_test_rows:
        wanted["test"] = min(settings.max_test_rows, available["test"])
    return wanted


def _greatest_hash(connection: Any, name: str, rows: int) -> int:
    """Finds the hash up to which a split holds `rows` rows, a uniform sample the same at every run."""
    (found,) = one_row(
        connection,
        "SELECT hash FROM classified WHERE split = ? AND reason = 0 ORDER BY hash LIMIT 1 OFFSET ?",
        [SPLITS.index(name), rows - 1],
    )
    return int(found)

"""Which side of the split a rating falls on."""

import hashlib
from typing import Any

from components.ingest.settings import Settings

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


def row_hash(seed: int, user_id: str, movie_id: str) -> int:
    """What `HASH_SQL` computes: an integer from 0 to `HASHES` - 1.

    It depends on nothing but its arguments: a row keeps its side when others are added, on every machine.
    """
    user_1, user_2 = _keys(seed, user_id)
    movie_1, movie_2 = _keys(seed, movie_id)
    high = (user_1 * movie_1 + user_2) % _PRIME
    return (high << 31) + (user_2 * movie_2 + movie_1) % _PRIME


def _keys(seed: int, name: str) -> tuple[int, int]:
    digest = hashlib.md5(f"{seed}\n{name}".encode(), usedforsecurity=False).digest()
    return (
        int.from_bytes(digest[8:], "little") & 0x7FFFFFFF,
        int.from_bytes(digest[:8], "little") & 0x7FFFFFFF,
    )


def thresholds(settings: Settings, given: bool) -> tuple[int, int]:
    """The hashes below which a row is for testing, and below which for validation.

    Args:
      settings: the fractions.
      given: whether the test rows are those of a file; then no others are for testing.
    """
    test = 0.0 if given else settings.test_fraction
    return int(test * HASHES), int((test + settings.validation_fraction * (1 - test)) * HASHES)


def leave_last_out(connection: Any, given: bool) -> None:
    """Divides `judged` anew: each user's last rating is for testing, the last but one for validation.

    A user with fewer than three ratings (two, where the test rows are given) keeps them all for training.
    Among ratings of one second the hash decides; a rating without a time is older than all others.
    """
    places = (0, 1) if given else (1, 2)
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
        dict(zip(("test", "validation"), places, strict=True)),
    )


def by_time(connection: Any, settings: Settings, given: bool) -> None:
    """Divides `judged` anew: the latest ratings are for testing, those before them for validation.

    Among ratings of one second the hash decides; a rating without a time is older than all others.
    """
    test = 0.0 if given else settings.test_fraction
    train = (1 - test) * (1 - settings.validation_fraction)
    _redivide(
        connection,
        """
        CASE WHEN age <= round($train * ratings) THEN 0 WHEN age <= round($known * ratings) THEN 1 ELSE 2 END
        """,
        """
        row_number() OVER (ORDER BY time NULLS FIRST, hash) AS age, count(*) OVER () AS ratings
        """,
        {"train": train, "known": 1 - test},
    )


def _redivide(connection: Any, split: str, windows: str, parameters: dict[str, Any]) -> None:
    connection.execute(
        f"""
        CREATE TABLE redivided AS
        SELECT * EXCLUDE (age, ratings) REPLACE (({split})::TINYINT AS split)
        FROM (SELECT *, {windows} FROM judged WHERE reason = 0 AND NOT for_test)
        UNION ALL SELECT * FROM judged WHERE reason <> 0 OR for_test
        """,
        parameters,
    )
    connection.execute("CREATE OR REPLACE TABLE judged AS SELECT * FROM redivided ORDER BY user, movie, row")
    connection.execute("DROP TABLE redivided")

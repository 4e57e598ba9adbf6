"""Reads ratings files line by line into the table `rows`, each line with its verdict."""

from typing import Any

from components.ingest.database import one_row
from components.ingest.inputs import InputFile, damaged
from components.ingest.layouts import Layout
from components.ingest.reasons import Reason

# Lines are read whole and cut here, not by the engine's CSV parser: one unclosed quote would swallow all
# the rows up to the next one, and a rule that a row breaks could not be traced to its line.
_LINES = """
    read_csv(
        $path, columns = {'line': 'VARCHAR'}, delim = $never, quote = '', escape = '', header = false,
        auto_detect = false, strict_mode = false, store_rejects = true, compression = $compression
    )
"""
# Stands between no two fields: every line is one column.
_NEVER = "\x01\x02\x03\x04"


def create_table(connection: Any) -> None:
    """Makes the empty tables `rows` and `files`.

    rows: user_id, movie_id (strings), rating (float32), reason (see `Reason`), text (the line, where it is
    rejected), file (index into `files`) and from_test (whether it comes from a ready-made test file).
    """
    connection.execute(
        """
        CREATE TABLE rows (
            user_id VARCHAR, movie_id VARCHAR, rating FLOAT, reason TINYINT, text VARCHAR, file SMALLINT,
            from_test BOOLEAN
        );
        CREATE TABLE files (file SMALLINT, name VARCHAR, first_row BIGINT, header BOOLEAN);
        CREATE TABLE unread (file SMALLINT, line BIGINT, reason TINYINT, text VARCHAR);
        """
    )


def append(connection: Any, file: InputFile, layout: Layout, from_test: bool) -> None:
    """Appends every line of `file` to `rows`; what no string can hold goes to `unread`.

    Raises:
      UserError: if the file is cut off.
    """
    import duckdb

    number = one_row(connection, "SELECT count(*)::SMALLINT FROM files")[0]
    first_row = one_row(connection, "SELECT count(*) FROM rows")[0]
    try:
        connection.execute(
            f"""
            INSERT INTO rows
            SELECT user_id, movie_id, rating, reason, CASE WHEN reason > 0 THEN line END, $file, $from_test
            FROM (
                SELECT *, CASE
                    WHEN line IS NULL OR trim(line) = '' THEN {Reason.BLANK:d}
                    WHEN len(fields) <> $fields THEN {Reason.WRONG_NUMBER_OF_FIELDS:d}
                    WHEN contains(line, chr(0)) THEN {Reason.NUL_BYTE:d}
                    WHEN user_id = '' THEN {Reason.NO_USER:d}
                    WHEN movie_id = '' THEN {Reason.NO_MOVIE:d}
                    WHEN rating_text = '' THEN {Reason.NO_RATING:d}
                    WHEN rating IS NULL OR NOT isfinite(rating) THEN {Reason.RATING_NOT_A_NUMBER:d}
                    ELSE {Reason.FINE:d} END AS reason
                FROM (
                    SELECT
                        line, fields, trim(fields[$user]) AS user_id, trim(fields[$movie]) AS movie_id,
                        trim(fields[$rating]) AS rating_text, try_cast(trim(fields[$rating]) AS FLOAT) AS rating
                    FROM (SELECT line, string_split(line, $delimiter) AS fields FROM {_LINES})
                )
            )
            """,
            {
                "path": str(file.path),
                "never": _NEVER,
                "compression": file.compression,
                "file": number,
                "from_test": from_test,
                "fields": layout.fields,
                "delimiter": layout.delimiter,
                **{role: layout.positions[role] for role in ("user", "movie", "rating")},
            },
        )
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise damaged(file.name, file.flag, file.compression) from error
    if layout.header:
        connection.execute(
            "UPDATE rows SET reason = ?, text = NULL WHERE rowid = ?", [int(Reason.HEADER), first_row]
        )
    connection.execute("INSERT INTO files VALUES (?, ?, ?, ?)", [number, file.name, first_row, layout.header])
    connection.execute(
        f"INSERT INTO unread SELECT ?, line, {Reason.NOT_UTF_8:d}, csv_line FROM reject_errors", [number]
    )
    connection.execute("DELETE FROM reject_errors")

"""Reads ratings files into the table `rows`, each line with its reject reason, by SQL."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from components.ingest import times
from components.ingest.database import one_row
from components.ingest.inputs import InputFile
from components.ingest.layouts import Layout, cut
from components.ingest.line_breaks import RowShape, join_rows
from components.ingest.rejects import RejectReason
from components.ingest.settings import WHOLE_NUMBER, ReadOptions

# A scan of a text file: one row a line, in the order of the file; a line that is not UTF-8 goes to the
# engine's table reject_errors instead.
SCAN = """
    read_csv(
        $path, columns = {'line': 'VARCHAR'}, delim = $never, new_line = $line_end, quote = '', escape = '',
        header = false, auto_detect = false, strict_mode = false, store_rejects = true,
        compression = $packing
    )
"""
# No line holds its own end: every line is one column. Any other character may occur in a damaged file.
_NEVER = "\n"

# The fields of a line. Few lines need care: the others are cut at the delimiter, which is fast.
CUT = """
    CASE WHEN NOT contains(line, '"') AND NOT contains(line, ' ') AND NOT contains(line, $tab)
    THEN string_split(line, $delimiter)
    ELSE cut_with_care(line, $delimiter, $whole, $field) END
"""
_MACROS = r"""
    CREATE MACRO unquoted(field) AS
        CASE WHEN starts_with(field, '"') THEN replace(field[2:-2], '""', '"') ELSE field END;
    CREATE MACRO cut_with_care(line, delimiter, whole, field) AS CASE
        WHEN whole = '' OR NOT contains(line, '"')
        THEN list_transform(string_split(line, delimiter), lambda part: trim(part, e' \t'))
        WHEN regexp_full_match(line || delimiter, whole) THEN list_transform(
            regexp_extract_all(line || delimiter, field, 1),
            lambda part: trim(unquoted(trim(part, e' \t')), e' \t')
        )
        ELSE [] END;
"""


def _scan_parameters(file: InputFile) -> dict[str, str]:
    """Returns the parameters of `SCAN`."""
    # Without it, the engine drops the text after a lone CR in a file whose first line ends with CRLF.
    line_end = file.line_end.replace("\r", r"\r").replace("\n", r"\n")
    return {"path": str(file.path), "packing": file.packing, "never": _NEVER, "line_end": line_end}


# The fields of a line between spaces, and those of a JSON object.
_CUT_AT_SPACES = r"regexp_split_to_array(trim(line, e' \t'), '[ \t]+')"
_JSON_FIELDS = r"""
    CASE
        WHEN json_valid(line) AND NOT contains(line, '\u0000') THEN json_extract_string(line, $keys)
        ELSE [] END
"""


def _cut(layout: Layout) -> tuple[str, dict[str, Any]]:
    """Returns the expression for the fields of a line, and its parameters."""
    if layout.keys:  # as JSON pointers
        return _JSON_FIELDS, {"keys": [_pointer(key) for key in layout.keys]}
    if layout.delimiter == " ":
        return _CUT_AT_SPACES, {}
    return CUT, _cut_parameters(layout)


def _pointer(key: str) -> str:
    return "/" + key.replace("~", "~0").replace("/", "~1")


def _cut_parameters(layout: Layout) -> dict[str, str]:
    """Returns the parameters of `CUT`."""
    # A tab around a field is no part of it, unless it is the delimiter.
    tab = '"' if layout.delimiter == "\t" else "\t"
    whole = field = ""
    if layout.delimiter != "::":  # fields may be in quotes
        delimiter = re.escape(layout.delimiter)
        field = rf'("(?:[^"]|"")*"|[^"{delimiter}][^{delimiter}]*|){delimiter}'
        whole = f"(?:{field})+"
    return {"delimiter": layout.delimiter, "tab": tab, "whole": whole, "field": field}


# Class of a line: the first rule that it breaks. No `IN` or `contains` of a list: the engine joins these, and
# the rows lose the order of the lines.
_REASON = f"""
    CASE
        WHEN blank THEN {RejectReason.BLANK:d}
        WHEN movie_line THEN {RejectReason.MOVIE_LINE:d}
        WHEN field_count <> $fields THEN {RejectReason.MALFORMED_LINE:d}
        WHEN nul_byte THEN {RejectReason.NUL_BYTE:d}
        WHEN user_id IS NULL OR list_position($missing, user_id) > 0 THEN {RejectReason.NO_USER:d}
        WHEN movie_id IS NULL OR list_position($missing, movie_id) > 0 THEN {RejectReason.NO_MOVIE:d}
        WHEN rating_text IS NULL OR rating_text = '' THEN {RejectReason.NO_RATING:d}
        WHEN rating IS NULL OR NOT isfinite(rating) THEN {RejectReason.RATING_NOT_A_NUMBER:d}
        WHEN list_position($not_rated::FLOAT[], rating) > 0 THEN {RejectReason.NOT_RATED:d}
        WHEN unit <> 0 AND unit <> $unit THEN {RejectReason.TIME_IN_ANOTHER_UNIT:d}
        WHEN time IS NULL AND time_text <> '' THEN {RejectReason.TIME_NOT_UNDERSTOOD:d}
        ELSE {RejectReason.FINE:d}
    END::TINYINT
"""
# In the Netflix Prize files a line `MOVIE:` stands above the ratings of each movie.
_MOVIE_LINE = "(line LIKE '%:' AND NOT contains(line, ','))"

# The lines that the engine did not take, each once.
_UNREAD = f"""
    SELECT ?, line, min(
        CASE error_type
            WHEN 'LINE SIZE OVER MAXIMUM' THEN {RejectReason.LINE_TOO_LONG:d} ELSE {RejectReason.NOT_UTF_8:d}
        END
    )
    FROM reject_errors GROUP BY line
"""


def create_tables(connection: Any, timed: bool) -> None:
    """Makes the empty tables `rows`, `files` and `unread`, and the macros that `append` needs.

    rows: one row a line: user_id and movie_id (strings), rating (float32), reason (a `RejectReason`) and, if
    `timed`, time (int64, seconds since 1970). files: for each file its name, its first row in `rows` and
    whether it is for testing. unread: the lines that no string can hold, and their reasons.
    """
    connection.execute(_MACROS + times.MACROS)
    connection.execute(
        f"""
        CREATE TABLE rows (
            user_id VARCHAR, movie_id VARCHAR, rating FLOAT, reason TINYINT{", time BIGINT" if timed else ""}
        );
        CREATE TABLE files (file INTEGER, name VARCHAR, first_row BIGINT, for_test BOOLEAN);
        CREATE TABLE unread (file INTEGER, line BIGINT, reason TINYINT);
        """
    )


def append(
    connection: Any, file: InputFile, layout: Layout, options: ReadOptions, timed: bool, for_test: bool
) -> InputFile:
    """Appends all lines to `rows`, in their order.

    Returns the file that was read: a copy where a row over several lines is one line. Raises `UserError` if
    the file is cut off or broken.
    """
    number, first_row = one_row(
        connection, "SELECT (SELECT count(*) FROM files), (SELECT count(*) FROM rows)"
    )
    connection.execute("INSERT INTO files VALUES (?, ?, ?, ?)", [number, file.name, first_row, for_test])
    connection.begin()
    _insert(connection, file, layout, options, timed)
    if layout.may_quote and _any_malformed(connection, first_row):
        copy = file.scratch / f"joined-{number}"
        shape = RowShape(layout.delimiter, layout.fields, layout.positions.values())
        if join_rows(file, shape, copy):
            connection.rollback()
            connection.begin()
            file = replace(file, path=copy, packing="none")
            _insert(connection, file, layout, options, timed)
    connection.commit()
    _check_units(connection, file, layout, first_row)
    if layout.header:
        connection.execute(
            f"""
            UPDATE rows SET reason = {RejectReason.HEADER:d} WHERE rowid IN (
                SELECT rowid FROM rows WHERE rowid >= ? AND reason <> {RejectReason.BLANK:d}
                ORDER BY rowid LIMIT ?
            )
            """,
            [first_row, layout.header],
        )
    if not file.is_parquet:
        connection.execute(f"INSERT INTO unread {_UNREAD}", [number])
        connection.execute("DELETE FROM reject_errors")
    return file


def _insert(connection: Any, file: InputFile, layout: Layout, options: ReadOptions, timed: bool) -> None:
    import duckdb

    columns = f"user_id, movie_id, rating, {_REASON}{', time' if timed else ''}"
    try:
        source, parameters = _source(connection, file, layout)
        source = _with_counts(_with_ids(source, options), options)
        texts = _time_texts(file, layout) if "time" in layout.positions else None
        time_format = "" if _has_typed_times(file, layout) else options.time_format
        with_times, of_times = times.query(connection, texts, time_format)
        parameters |= {"missing": [""] if file.is_parquet else options.missing, **of_times}
        parameters["not_rated"] = options.not_rated_values
        connection.execute(
            f"INSERT INTO rows SELECT {columns} FROM ({with_times.format(source)})", parameters
        )
    except (duckdb.IOException, duckdb.InvalidInputException, OSError) as error:
        raise file.damaged() from error


def _any_malformed(connection: Any, first_row: int) -> bool:
    found = connection.execute(
        f"SELECT 1 FROM rows WHERE rowid >= ? AND reason = {RejectReason.MALFORMED_LINE:d} LIMIT 1",
        [first_row],
    )
    return found.fetchone() is not None


def _has_typed_times(file: InputFile, layout: Layout) -> bool:
    """Tests if the times of a file are no text."""
    if not file.is_parquet or "time" not in layout.positions:
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    types, place = pq.read_schema(file.path).types, layout.positions["time"]
    text = place >= len(types) or pa.types.is_string(types[place]) or pa.types.is_large_string(types[place])
    return not text


def _time_texts(file: InputFile, layout: Layout) -> Iterator[tuple[int, str]]:
    """Yields the times of a file as they stand there, each with its line or row, from 1."""
    place = layout.positions["time"]
    if file.is_parquet:
        name = file.parquet_columns()[place]
        if name in file.hive:  # the same in every row
            yield 1, file.hive[name] or ""
            return
        only_time = replace(layout, positions={"time": place})
        texts = (text for batch in _parquet_reader(file, only_time) for text in batch.column(0).to_pylist())
        yield from ((row, text or "") for row, text in enumerate(texts, start=1))
        return
    for line, content in file.lines():
        fields = _json_texts(content, layout) if layout.keys else cut(content, layout.delimiter)
        if len(fields) == layout.fields:
            yield line, fields[place - 1].strip()


def _json_texts(line: str, layout: Layout) -> list[str]:
    try:
        found = json.loads(line)
        return [str(found[key]) if key in found else "" for key in layout.keys]
    except (ValueError, TypeError):
        return []


def _check_units(connection: Any, file: InputFile, layout: Layout, first_row: int) -> None:
    """Raises `UserError` if times of the file, whose rows begin at `first_row`, are in two units."""
    of_file = f"rowid >= $first AND reason = {RejectReason.TIME_IN_ANOTHER_UNIT:d}"
    if one_row(connection, f"SELECT count(*) FROM rows WHERE {of_file}", {"first": first_row})[0]:
        times.refuse_two_units(connection, _time_texts(file, layout), f"{file.flag} {file.name}")
        connection.execute(
            f"UPDATE rows SET reason = {RejectReason.FINE:d} WHERE {of_file}", {"first": first_row}
        )


def _source(connection: Any, file: InputFile, layout: Layout) -> tuple[str, dict[str, Any]]:
    """Returns a query for the columns that `_REASON` reads, and its parameters."""
    parameters: dict[str, Any] = {"fields": layout.fields}
    timed = "time" in layout.positions
    if file.is_parquet:
        connection.register("parquet_rows", _parquet_reader(file, layout))
        return _parquet_query(timed, "rating" in layout.positions), parameters
    fields, of_fields = _cut(layout)
    parameters |= {**_scan_parameters(file), **of_fields, **layout.positions}
    if "movie" in layout.positions:
        # Between semicolons, a number may have a decimal comma.
        number = "replace({}, ',', '.')" if layout.delimiter == ";" else "{}"
        rating = "fields[$rating]" if "rating" in layout.positions else _ONE_EVENT
        return _lines_query("false", "fields[$movie]", timed, fields, number, rating), parameters
    parameters["heads"] = _prize_heads(connection, file)
    return _prize_query(), parameters


# The count of a row without a column for it.
_ONE_EVENT = "'1'"


def _with_counts(source: str, options: ReadOptions) -> str:
    """Returns `source` with 1 and 0 for true and false, where the numbers may be counts."""
    if not options.implicit:
        return source
    number = "coalesce(rating, CASE lower(rating_text) WHEN 'true' THEN 1 WHEN 'false' THEN 0 END)"
    return f"SELECT * REPLACE ({number} AS rating) FROM ({source})"


def _with_ids(source: str, options: ReadOptions) -> str:
    """Returns `source` with the ids that its texts mean."""
    if options.id_type != "int":
        return source
    ids = ", ".join(
        rf"regexp_replace({name}, '{WHOLE_NUMBER}', '\1') AS {name}" for name in ("user_id", "movie_id")
    )
    return f"SELECT * REPLACE ({ids}) FROM ({source})"


def _lines_query(
    movie_line: str,
    movie_id: str,
    timed: bool,
    fields: str = CUT,
    number: str = "{}",
    rating: str = "fields[$rating]",
) -> str:
    return f"""
        SELECT
            line IS NULL OR trim(line) = '' AS blank, {movie_line} AS movie_line, len(fields) AS field_count,
            contains(line, chr(0)) AS nul_byte, fields[$user] AS user_id, {movie_id} AS movie_id,
            {rating} AS rating_text, try_cast({number.format(rating)} AS FLOAT) AS rating,
            {"fields[$time]" if timed else "''"} AS time_text
        FROM (SELECT line, {fields} AS fields FROM {SCAN})
    """


def _prize_query() -> str:
    """Counts the lines `MOVIE:`, so that each rating knows the number of its movie's line."""
    return f"""
        SELECT * REPLACE (list_extract($heads::VARCHAR[], head) AS movie_id)
        FROM (
            SELECT *, count(*) FILTER (movie_line) OVER (ROWS UNBOUNDED PRECEDING) AS head
            FROM ({_lines_query(movie_line=_MOVIE_LINE, movie_id="NULL::VARCHAR", timed=True)})
        )
    """


def _parquet_query(timed: bool, rated: bool) -> str:
    rating = "rating" if rated else _ONE_EVENT
    return f"""
        SELECT
            false AS blank, false AS movie_line, $fields AS field_count,
            contains(user_id, chr(0)) OR contains(movie_id, chr(0)) AS nul_byte,
            trim(user_id) AS user_id, trim(movie_id) AS movie_id,
            {rating} AS rating_text, try_cast({rating} AS FLOAT) AS rating,
            {"time" if timed else "''"} AS time_text
        FROM parquet_rows
    """


def _prize_heads(connection: Any, file: InputFile) -> list[str]:
    """Lists the movies of the lines `MOVIE:` of the file: a join with a table would lose the order."""
    heads = connection.execute(
        f"SELECT trim(rtrim(trim(line), ':')) FROM {SCAN} WHERE {_MOVIE_LINE}", _scan_parameters(file)
    ).fetchall()
    connection.execute("DELETE FROM reject_errors")
    return [movie_id for (movie_id,) in heads]


def _parquet_reader(file: InputFile, layout: Layout) -> Any:
    """Reads the columns of a Parquet file by their roles, as strings, in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pq.ParquetFile(file.path)
    roles = {"user": "user_id", "movie": "movie_id", "rating": "rating", "time": "time"}
    places = {roles[role]: place for role, place in layout.positions.items()}
    names = source.schema_arrow.names
    read = [names[place] for place in places.values() if place < len(names)]
    of_path = file.parquet_columns()[len(names) :]

    def column(batch: Any, place: int) -> Any:
        if place < len(names):
            return batch.column(names[place]).cast(pa.string())
        return pa.repeat(pa.scalar(file.hive[of_path[place - len(names)]], pa.string()), batch.num_rows)

    def batches() -> Iterator[Any]:
        for batch in source.iter_batches(columns=read):
            columns = [column(batch, place) for place in places.values()]
            record = pa.record_batch(columns, names=list(places))
            record.validate(full=True)  # the engine takes it on trust that text is UTF-8
            yield record

    schema = pa.schema([(name, pa.string()) for name in places])
    return pa.RecordBatchReader.from_batches(schema, batches())

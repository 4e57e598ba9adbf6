"""Cuts the lines of text files into fields, by SQL.

Lines are read whole and cut here, not by the engine's CSV parser: there one unclosed quote swallows all rows
up to the next one, and a rule that a row breaks cannot be traced to its line.
"""

import re
from typing import Any

from components.ingest.inputs import InputFile
from components.ingest.layouts import Layout

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
        WHEN whole = '' THEN list_transform(string_split(line, delimiter), lambda part: trim(part, e' \t'))
        WHEN regexp_full_match(line || delimiter, whole) THEN list_transform(
            regexp_extract_all(line || delimiter, field, 1),
            lambda part: trim(unquoted(trim(part, e' \t')), e' \t')
        )
        ELSE [] END;
"""


def create_macros(connection: Any) -> None:
    """Defines what `CUT` calls."""
    connection.execute(_MACROS)


def scan_parameters(file: InputFile) -> dict[str, str]:
    """The parameters of `SCAN`."""
    # In a file whose first line ends with CRLF, the engine drops what follows a lone CR, unless it is told.
    line_end = file.line_end.replace("\r", r"\r").replace("\n", r"\n")
    return {"path": str(file.path), "packing": file.packing, "never": _NEVER, "line_end": line_end}


def cut_parameters(layout: Layout) -> dict[str, str]:
    """The parameters of `CUT`."""
    # A tab around a field is no part of it, unless it is the delimiter.
    tab = '"' if layout.delimiter == "\t" else "\t"
    if not layout.quoted:
        return {"delimiter": layout.delimiter, "tab": tab, "whole": "", "field": ""}
    delimiter = re.escape(layout.delimiter)
    field = rf'("(?:[^"]|"")*"|[^"{delimiter}][^{delimiter}]*|){delimiter}'
    return {"delimiter": layout.delimiter, "tab": tab, "whole": f"(?:{field})+", "field": field}

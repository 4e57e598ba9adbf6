"""Typed attributes of movies: the columns of a movie table beside id, title, year and genres."""

import ast
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

# The column of movies.parquet that holds them, a struct of one field for each.
ATTRIBUTES = "attributes"
# Arrow's types -> for people.
TYPES = {
    "bool": "true or false",
    "int64": "whole number",
    "double": "number",
    "string": "text",
    "list<item: string>": "texts",
}
# How tables say that a value is not known.
_UNKNOWN = ("", "NULL", "null", "NaN", "nan", "None", "NA", "N/A", "\\N")
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")
# Not `007`, which is a name.
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d*)?([eE][+-]?\d+)?")
_TRUTH = {"true": True, "false": False}
# In a list of objects as Python writes it; to evaluate the casts of 45,000 movies takes minutes.
_NAME = re.compile(r"""['"]name['"]: *(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")""")


def attribute_name(header: str) -> str:
    """Returns the name of the attribute in a column: lower case, with _ for spaces and punctuation."""
    return "_".join(re.findall(r"[^\W_]+", header.casefold()))


def known(text: str) -> str:
    """Returns the text of a cell without spaces around it; "" if it says that the value is not known.

    A list as JSON or Python writes it (`["Drama", "War"]`, `[{'id': 18, 'name': 'Drama'}]`) becomes its texts
    or names, separated by "|".
    """
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        names = _listed(text)
        text = text if names is None else "|".join(names)
    return "" if text in _UNKNOWN else text


def _listed(text: str) -> list[str] | None:
    of_objects = text.startswith("[{")
    for read in (json.loads, _python_names if of_objects else ast.literal_eval):
        try:
            return names_in(read(text))
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return None


def _python_names(text: str) -> list[str]:
    return [re.sub(r"\\(.)", r"\1", single or double) for single, double in _NAME.findall(text)]


def names_in(found: Iterable[Any]) -> list[str]:
    """Returns the texts in a list or, of objects in it, their names."""
    names = (one.get("name", "") if isinstance(one, dict) else one for one in found)
    return [str(name).strip() for name in names if name not in ("", None)]


def typed(texts: Sequence[str]) -> Any:
    """Returns the values of a column as an Arrow array: the narrowest type that fits all of them.

    Booleans (true, false), whole numbers, numbers, lists of texts (separated by "|") or texts; null where a
    text is "".
    """
    import pyarrow as pa

    given = set(texts) - {""}
    if all(text.casefold() in _TRUTH for text in given):
        return pa.array([_TRUTH.get(text.casefold()) for text in texts], pa.bool_())
    if all(map(_WHOLE.fullmatch, given)):
        return pa.array([int(text) if text else None for text in texts], pa.int64())
    if all(map(_NUMBER.fullmatch, given)):
        return pa.array([float(text) if text else None for text in texts], pa.float64())
    if any("|" in text for text in given):
        lists = [[part.strip() for part in text.split("|") if part.strip()] or None for text in texts]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array([text or None for text in texts], pa.string())

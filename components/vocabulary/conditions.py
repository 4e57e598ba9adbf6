"""Conditions on attributes of movies, such as `year>=1990`, and other rules of recommendations.

    condition    = column operator value { "|" value }
    operator     = "=" | "!=" | "<" | "<=" | ">" | ">="
    boost        = condition ":" number

A value may stand in quotes. No value holds a "|", by which tables separate several. An index reads the same
expressions in its graph (components/export/attributes.py), so they are kept to what RE2 and Python share.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

from components.errors import UserError

# The whole text is to match: column, operator, values; a value; a number; a condition and a number.
CONDITION = r"[ \t]*([^=!<>]*?)[ \t]*(==|!=|<=|>=|=|<|>)[ \t]*((?s:.*?))[ \t]*"
VALUE = r"""[ \t]*(?:"((?s:.*))"|'((?s:.*))'|((?s:.*?)))[ \t]*"""
NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?"
BOOST = rf"((?s:.*)):[ \t]*({NUMBER})[ \t]*"
SEPARATOR = "|"
# The operators of numbers and texts, and those that only compare numbers.
EQUAL, SAME, UNEQUAL = "=", "==", "!="
ORDERING = ("<", "<=", ">", ">=")

# The kinds of columns.
NUMBERS: Literal["numbers"] = "numbers"
TEXTS: Literal["texts"] = "texts"
YEAR, GENRE = "year", "genre"
# Further names of columns.
ALIASES = {"genres": GENRE, "years": YEAR}

# Variety is chosen from so many movies for each requested one.
_POOL_FOR_EACH = 5

# Each condition takes memory for every movie.
MOST_CONDITIONS = 20

_FORM = "write a column, one of = != < <= > >=, and a value, such as year>=1990 or genre=Comedy|Drama"
_BOOST_FORM = "write a condition, a colon and a number, such as genre=Comedy:1.5 or year<1950:-1"


class Condition(NamedTuple):
    """A condition that was read: it holds for a movie whose `column` compares so with one of `values`."""

    column: str
    operator: str
    values: list[str]


def read_condition(text: str, flag: str) -> Condition:
    """Parses a condition. Raises `UserError`, which names `flag` and the condition, if it is none."""
    match = re.fullmatch(CONDITION, text)
    if match is None or not match[1]:
        raise UserError(f'{flag} "{text}" is no condition; {_FORM}')
    values = [_unquoted(part) for part in match[3].split(SEPARATOR)]
    if not all(values):
        raise UserError(f'{flag} "{text}" lacks a value; {_FORM}')
    operator = EQUAL if match[2] == SAME else match[2]
    if operator in ORDERING and len(values) > 1:
        raise UserError(f'{flag} "{text}": {operator} takes one value; several are for = and !=')
    return Condition(match[1].lower(), operator, values)


def _unquoted(text: str) -> str:
    match = re.fullmatch(VALUE, text)
    return next(filter(None, match.groups()), "") if match else text


def read_boost(text: str, flag: str) -> tuple[Condition, float]:
    """Parses a condition with a number behind it. Raises `UserError` as `read_condition` does."""
    match = re.fullmatch(BOOST, text)
    if match is None:
        raise UserError(f'{flag} "{text}" is no boost; {_BOOST_FORM}')
    return read_condition(match[1], flag), float(match[2])


@dataclass(frozen=True)
class Rules:
    """Filter, boosts and variety of recommendations; by default none.

    Raises `UserError` where it is made of what is no condition, or of a number out of bounds.
    """

    where: Sequence[str] = ()  # conditions, all of which a movie has to fulfil
    boost: Sequence[str] = ()  # conditions, each with what a movie gains that fulfils it
    diversity: float = 0.0  # 0 to 1
    popularity_discount: float = 0.0  # 0 to 1

    def __post_init__(self) -> None:
        for flag, given in (("--where", self.where), ("--boost", self.boost)):
            if len(given) > MOST_CONDITIONS:
                raise UserError(f"{flag}: {len(given)} are too many; give {MOST_CONDITIONS} at most")
        for flag, number in self._numbers:
            if not 0 <= number <= 1:
                raise UserError(f"{flag} {number:g}: give a number, 0 to 1")
        self._conditions()

    @classmethod
    def of(cls, where: str, boost: str, diversity: float, popularity_discount: float) -> Self:
        """Makes them of texts: a condition, or a JSON list of several."""
        return cls(split_conditions(where), split_conditions(boost), diversity, popularity_discount)

    @property
    def any(self) -> bool:
        """True if there is a rule."""
        return any((self.where, self.boost, self.diversity, self.popularity_discount))

    @property
    def first_flag(self) -> str:
        """The flag of the first rule; "" if there is none."""
        named = (("--where", self.where), ("--boost", self.boost), *self._numbers)
        return next((flag for flag, value in named if value), "")

    def pool(self, k: int, least: int) -> int:
        """Returns how many movies with the best scores k are chosen from, `least` or more."""
        return max(least, _POOL_FOR_EACH * k) if self.diversity else least

    def check(self, columns: Mapping[str, str]) -> None:
        """Raises `UserError` if a condition names none of `columns`, by name their kinds, or does not fit."""
        for flag, text, condition in self._conditions():
            _check(condition, columns, f'{flag} "{text}"')

    def warnings(self, values: Mapping[str, Iterable[str]]) -> list[str]:
        """Returns a line for each text or column that no movie has; `values` are the texts of each column."""
        lines = []
        for flag, text, condition in self._conditions():
            column = _named(condition.column, values)
            there = {value.lower(): value for value in values.get(column, ())}
            if column in values and not there:
                lines.append(f'{flag} "{text}": no movie has a {column}')
            for value in condition.values if there else ():
                if value.lower() not in there:
                    near = difflib.get_close_matches(value.lower(), there, n=3, cutoff=0.6)
                    meant = f"; did you mean {', '.join(there[one] for one in near)}?" if near else ""
                    lines.append(f'{flag} "{text}": no movie has the {condition.column} "{value}"{meant}')
        return lines

    @property
    def _numbers(self) -> list[tuple[str, float]]:
        return [("--diversity", self.diversity), ("--popularity-discount", self.popularity_discount)]

    def _conditions(self) -> list[tuple[str, str, Condition]]:
        """The flag, the text and the condition of each."""
        found = [("--where", text, read_condition(text, "--where")) for text in self.where]
        return found + [("--boost", text, read_boost(text, "--boost")[0]) for text in self.boost]


NO_RULES = Rules()


def split_conditions(text: str) -> list[str]:
    """Returns the conditions in a text: one, or those of a JSON list; none if it is ""."""
    if text.startswith("["):
        try:
            return [str(one) for one in json.loads(text)]
        except ValueError:
            pass  # no condition, as its reader will say
    return [text] if text else []


def _named(column: str, columns: Iterable[str]) -> str:
    """Returns the column of that name or alias."""
    return column if column in columns else ALIASES.get(column, column)


def _check(condition: Condition, columns: Mapping[str, str], what: str) -> None:
    name = _named(condition.column, columns)
    if name not in columns:
        near = difflib.get_close_matches(name, columns, n=1, cutoff=0.5)
        meant = f", did you mean {near[0]}?" if near else ""
        raise UserError(
            f'{what}: there is no column "{condition.column}"{meant}; there are {", ".join(columns)}'
        )
    if columns[name] == TEXTS and condition.operator in ORDERING:
        raise UserError(
            f"{what}: {name} holds texts, and {condition.operator} compares numbers; take = or !="
        )
    if columns[name] == NUMBERS:
        wrong = [value for value in condition.values if not re.fullmatch(NUMBER, value)]
        if wrong:
            raise UserError(f'{what}: {name} holds numbers, and "{wrong[0]}" is none; give a number')

"""The attributes of movies in the graph of an index, which reads conditions on them as conditions.py does."""

import numpy as np
import tensorflow as tf

from components.vocabulary.attributes import Attributes
from components.vocabulary.conditions import (
    ALIASES,
    BOOST,
    CONDITION,
    EQUAL,
    MOST_CONDITIONS,
    NUMBER,
    NUMBERS,
    ORDERING,
    SEPARATOR,
    UNEQUAL,
    VALUE,
)


class AttributeTable(tf.Module):  # type: ignore[misc]
    """Finds the movies that fulfil conditions, which are given as strings.

    A condition takes ranges of a column's values, which are in ascending order, and each value has the list
    of its movies: so a condition is as much work as movies fulfil it.
    """

    def __init__(self, attributes: Attributes) -> None:
        super().__init__(name="attributes")
        self._movies = attributes.movies
        kinds = attributes.columns
        names = [*kinds]
        counts = [len(values) for values in attributes.values.values()]
        firsts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        places = {name: place for place, name in enumerate(names)}
        places |= {
            alias: places[name] for alias, name in ALIASES.items() if name in places and alias not in places
        }
        self._columns = _lookup([*places], [*places.values()], len(names))
        self._names = ", ".join(names)
        self._is_text = tf.constant([*(kinds[name] != NUMBERS for name in names), False])
        # A place more for a column that there is not.
        self._firsts = tf.constant([*firsts, firsts[-1]], tf.int64)
        texts, self._numbers, written, of_column = {}, [], [], []
        for place, (name, values) in enumerate(attributes.values.items()):
            if kinds[name] == NUMBERS:
                self._numbers.append((place, tf.Variable(values, trainable=False, name=f"numbers_{place}")))
                written += [str(value).removesuffix(".0") for value in values.tolist()]
            else:
                for number, text in enumerate(values.tolist()):
                    texts[f"{place}{EQUAL}{text.lower()}"] = int(firsts[place]) + number
                written += values.tolist()
            of_column += [name] * len(values)
        self._texts = _lookup([*texts], [*texts.values()], int(firsts[-1]))
        self._written = tf.Variable(tf.constant([*zip(of_column, written, strict=True)] or [("", "")]))
        # The last of V + 1 values is one that no movie has.
        splits = [*attributes.row_splits.tolist(), len(attributes.rows)]
        self._row_splits = tf.Variable(tf.constant(splits, tf.int64), trainable=False, name="value_splits")
        self._rows = tf.Variable(attributes.rows, trainable=False, name="movies_by_value")

    def describe(self) -> dict[str, tf.Tensor]:
        """Returns the values: column and value (string [V]), and the movies of each, row and row_splits."""
        count = tf.size(self._row_splits) - 2
        return {
            "column": self._written[:count, 0],
            "value": self._written[:count, 1],
            "row": tf.identity(self._rows),
            "row_splits": self._row_splits[:-1],
        }

    def boosted(self, boosts: tf.Tensor) -> tf.Tensor:
        """Adds up the numbers behind the conditions that each movie fulfils, float32 [M].

        `boosts` is string [b]. Raises InvalidArgumentError as `fulfilled` does.
        """
        are_boosts = tf.strings.regex_full_match(boosts, BOOST)
        self._demand(are_boosts, boosts, "boost", "is no boost; write a condition, a colon and a number")
        conditions, numbers = (
            tf.strings.regex_replace(boosts, f"^{BOOST}$", rf"\{group}") for group in (1, 2)
        )
        gains = tf.strings.to_number(tf.where(are_boosts, numbers, "0"), tf.float32)
        marked = tf.cast(self._mark(conditions, "boost"), tf.float32)
        return tf.reduce_sum(gains[:, tf.newaxis] * marked, axis=0)

    def fulfilled(self, conditions: tf.Tensor) -> tf.Tensor:
        """Marks the movies that fulfil all `conditions`, string [c], bool [M].

        Raises InvalidArgumentError for a text that is no condition, an unknown column, and what does not fit.
        """
        return tf.reduce_all(self._mark(conditions, "where"), axis=0)

    def _mark(self, conditions: tf.Tensor, input_name: str) -> tf.Tensor:
        """Marks the movies that fulfil each of `conditions`, string [c], bool [c, M]."""
        few = tf.size(conditions) <= MOST_CONDITIONS
        tf.debugging.Assert(few, [f'the input "{input_name}" takes {MOST_CONDITIONS} conditions at most'])
        are_conditions = tf.strings.regex_full_match(conditions, CONDITION)
        self._demand(are_conditions, conditions, input_name, "is no condition; write column, operator, value")
        name, operator, written = (
            tf.strings.regex_replace(conditions, f"^{CONDITION}$", rf"\{group}") for group in (1, 2, 3)
        )
        column = self._columns.lookup(tf.strings.lower(name, "utf-8"))
        known = column < len(self._names.split(", "))
        self._demand(known, conditions, input_name, f"names no column; there are {self._names}")
        parts = tf.strings.split(written, SEPARATOR)
        values = tf.strings.regex_replace(parts.values, f"^{VALUE}$", r"\1\2\3")
        owner = tf.cast(parts.value_rowids(), tf.int32)
        of_value = tf.gather(column, owner)
        is_text = tf.gather(self._is_text, of_value)
        orders = tf.reduce_any([operator == one for one in ORDERING], axis=0)
        fits = ~(orders & tf.gather(self._is_text, column)) & (~orders | (parts.row_lengths() == 1))
        self._demand(fits, conditions, input_name, "does not fit: only numbers are compared so, with one")
        are_numbers = tf.strings.regex_full_match(values, NUMBER)
        are_values = tf.where(is_text, values != "", are_numbers)
        self._demand(are_values, tf.gather(conditions, owner), input_name, "lacks a value of its column")
        number = tf.strings.to_number(tf.where(are_numbers, values, "0"), tf.float64)
        first, last = self._ranges(of_value, values, number, tf.gather(operator, owner))
        count = tf.size(conditions)
        marked = self._scatter(first, last, owner, count)
        negated = operator == UNEQUAL
        column_first, column_end = tf.gather(self._firsts, column), tf.gather(self._firsts, column + 1)
        whole = tf.where(negated, column_end, column_first)
        anything = self._scatter(column_first, whole, tf.range(count), count)
        return tf.where(negated[:, tf.newaxis], anything & ~marked, marked)

    def _ranges(
        self, column: tf.Tensor, values: tf.Tensor, number: tf.Tensor, operator: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the first of the values that each of `values` stands for, and the one after the last."""
        text = self._texts.lookup(
            tf.strings.join([tf.strings.as_string(column), tf.strings.lower(values, "utf-8")], EQUAL)
        )
        first = last = tf.cast(text, tf.int64)
        last += 1
        for place, numbers in self._numbers:
            low, high = (
                self._firsts[place] + tf.searchsorted(numbers, number, side, tf.int64)
                for side in ("left", "right")
            )
            start, end = self._firsts[place], self._firsts[place + 1]
            here = column == place
            first = tf.where(here, _by(operator, low, {"<": start, "<=": start, ">": high}), first)
            last = tf.where(here, _by(operator, high, {"<": low, ">": end, ">=": end}), last)
        return first, last

    def _scatter(self, first: tf.Tensor, last: tf.Tensor, owner: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """Marks in row `owner` the movies of the values from `first` to before `last`, bool [count, M]."""
        places = tf.ragged.range(tf.gather(self._row_splits, first), tf.gather(self._row_splits, last))
        cells = tf.stack(
            [tf.gather(owner, places.value_rowids()), tf.gather(self._rows, places.values)], axis=1
        )
        return tf.scatter_nd(cells, tf.ones_like(cells[:, 0]), [count, self._movies]) > 0

    @staticmethod
    def _demand(holds: tf.Tensor, texts: tf.Tensor, input_name: str, why: str) -> None:
        faulty = tf.boolean_mask(texts, ~holds)
        tf.debugging.Assert(tf.reduce_all(holds), [f'the input "{input_name}":', faulty[:1], why])


def _lookup(keys: list[str], values: list[int], default: int) -> tf.lookup.StaticHashTable:
    # A table may not be empty; nothing has the key "".
    initializer = tf.lookup.KeyValueTensorInitializer(
        tf.constant(["", *keys]), tf.constant([default, *values], tf.int32)
    )
    return tf.lookup.StaticHashTable(initializer, default)


def _by(operator: tf.Tensor, otherwise: tf.Tensor, cases: dict[str, tf.Tensor]) -> tf.Tensor:
    for name, value in cases.items():
        otherwise = tf.where(operator == name, value, otherwise)
    return otherwise

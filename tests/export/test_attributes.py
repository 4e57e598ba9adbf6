"""Conditions on attributes: what the graph of an index finds is what a loop over movies finds."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import UserError
from components.export.attributes import AttributeTable
from components.vocabulary.attributes import Attributes
from components.vocabulary.conditions import Rules, read_boost, read_condition
from components.vocabulary.vocabulary import Vocabulary

pytestmark = pytest.mark.tensorflow

MOVIES: dict[str, Any] = {
    "year": [1994, 0, 2001, 1994, 1950, 2001],
    "genre": ["Comedy|Drama", "", "Sci-Fi", "comedy", "Drama|War|Drama", "Été, tard"],
    "adult": [True, None, False, False, True, False],
    "budget": [5_000_000_001, None, 0, -3, 7, 7],
    "score": [0.1, 2.5, None, -1e-3, 1e20, 0.1],
    "cast": [["Ann Lee", "Bo"], None, ["bo"], ["Bo: the first"], ["X=Y", "ann lee"], ["Cy"]],
    "studio": ["A", "b", None, 'Say "hi"', "a", "Z" * 101],
}
COUNT = len(MOVIES["year"])


@pytest.fixture(scope="module")
def attributes() -> Attributes:
    names = Vocabulary(
        user_ids=np.array([], object),
        movie_ids=np.array([f"m{row}" for row in range(COUNT)], object),
        titles=np.array([""] * COUNT, object),
        years=np.array(MOVIES["year"], np.int32),
        training_users=0,
        genres=np.array(MOVIES["genre"], object),
    )
    others = {name: pa.array(values) for name, values in MOVIES.items() if name not in ("year", "genre")}
    return Attributes.of(names, others)


class Graph:
    """The table as an index has it: in functions of strings."""

    def __init__(self, table: AttributeTable) -> None:
        strings = [tf.TensorSpec([None], tf.string)]
        self.fulfilled = tf.function(table.fulfilled, input_signature=strings, autograph=False)
        self.boosted = tf.function(table.boosted, input_signature=strings, autograph=False)
        self.table = table


@pytest.fixture(scope="module")
def graph(attributes: Attributes) -> Graph:
    return Graph(AttributeTable(attributes))


def values_of(column: str, row: int) -> list[str | float]:
    """The values of a movie, in lower case; none where it is not known."""
    value = MOVIES[column][row]
    if column == "genre":
        return [part.lower() for part in str(value).split("|") if part]
    if value is None or (column == "year" and value == 0):
        return []
    values = value if isinstance(value, list) else [value]
    return [
        str(one).lower() if isinstance(one, (str, bool)) else float(one)
        for one in values
        if len(str(one)) < 101
    ]


def holds(text: str, row: int) -> bool:
    column, operator, wanted = read_condition(text, "--where")
    column = {"genres": "genre"}.get(column, column)
    there = values_of(column, row)
    if not there:
        return False
    is_text = isinstance(there[0], str)
    given = [one.lower() if is_text else float(one) for one in wanted]
    if operator == "=":
        return any(one in given for one in there)
    if operator == "!=":
        return not any(one in given for one in there)
    compare = {"<": float.__lt__, "<=": float.__le__, ">": float.__gt__, ">=": float.__ge__}[operator]
    return compare(float(there[0]), float(given[0]))


spaces = st.sampled_from(["", " ", "\t "])
texts = st.sampled_from(
    [
        "comedy",
        "DRAMA",
        "Sci-Fi",
        "été, tard",
        "nothing",
        "true",
        "false",
        "ann LEE",
        "BO",
        "bo: the first",
        "x=y",
        "B",
    ]
)
numbers = st.sampled_from(["1994", "2001.0", "0", "-3", "7", "+.1e0", "0.1", "1e20", "5000000001", "-1", "3"])


@st.composite
def conditions(draw: st.DrawFn) -> str:
    """Any condition that fits the columns, written in any way."""
    column = draw(st.sampled_from([*MOVIES, "genres", "YEAR"]))
    is_text = column not in ("year", "YEAR", "budget", "score")
    ordering = not is_text and draw(st.booleans())
    operator = draw(st.sampled_from(["<", "<=", ">", ">="] if ordering else ["=", "!=", "=="]))
    given = draw(st.lists(texts if is_text else numbers, min_size=1, max_size=1 if ordering else 3))
    quoted = [
        draw(st.sampled_from(["{}", '"{}"', "'{}'"])).format(value) if is_text else value for value in given
    ]
    space = draw(spaces)
    return f"{space}{column}{space}{operator}{space}{'|'.join(quoted)}{draw(spaces)}"


@settings(max_examples=150, deadline=None)
@given(where=st.lists(conditions(), max_size=3), boost=st.lists(conditions(), max_size=3))
def test_the_graph_finds_what_a_loop_finds(graph: Graph, where: list[str], boost: list[str]) -> None:
    found = graph.fulfilled(tf.constant(where, tf.string)).numpy().tolist()
    assert found == [all(holds(one, row) for one in where) for row in range(COUNT)]
    gains = [0.5 * (place + 1) for place in range(len(boost))]
    added = graph.boosted(
        tf.constant([f"{one}:{gain}" for one, gain in zip(boost, gains, strict=True)], tf.string)
    )
    expected = [
        sum(gain for one, gain in zip(boost, gains, strict=True) if holds(one, row)) for row in range(COUNT)
    ]
    np.testing.assert_allclose(added, expected)


@settings(max_examples=150, deadline=None)
@given(text=st.one_of(st.text(alphabet="year=!<>|:\"' 19\tgenre-éx", max_size=12), conditions()))
def test_the_graph_refuses_what_python_refuses(attributes: Attributes, graph: Graph, text: str) -> None:
    for rules, ask in (
        (lambda: Rules(where=[text]), graph.fulfilled),
        (lambda: Rules(boost=[f"{text}:2"]), lambda one: graph.boosted(one + ":2")),
    ):
        try:
            rules().check(attributes.columns)
        except UserError:
            with pytest.raises(tf.errors.InvalidArgumentError, match="assertion failed"):
                ask(tf.constant([text]))
        else:
            ask(tf.constant([text]))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("year", r'--where "year" is no condition; write a column, one of = '),
        (">=1990", r'--where ">=1990" is no condition'),
        ("genre=", r'--where "genre=" lacks a value'),
        ("genre=A||B", r'lacks a value'),
        ("yaer>=1990", r'"yaer>=1990": there is no column "yaer", did you mean year\?; there are adult, '),
        ("genre>=Comedy", r'--where "genre>=Comedy": genre holds texts, and >= compares numbers'),
        ("year=199x", r'--where "year=199x": year holds numbers, and "199x" is none'),
        ("year<1990|1991", r"< takes one value"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line(attributes: Attributes, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Rules(where=[text]).check(attributes.columns)


@pytest.mark.parametrize("text", ["genre=Comedy", "genre=Comedy:", "genre=Comedy:much", "genre=Comedy:1e999"])
def test_a_boost_has_a_number(text: str) -> None:
    with pytest.raises(
        UserError, match=rf'--boost "{re.escape(text)}" is no boost; write a condition, a colon'
    ):
        Rules(boost=[text])


def test_a_boost_has_its_number_behind_the_last_colon() -> None:
    assert read_boost("cast=Bo: the first:-1.5", "--boost") == (("cast", "=", ["Bo: the first"]), -1.5)


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"diversity": 1.5}, "--diversity 1.5: give a number, 0 to 1"),
        ({"popularity_discount": float("nan")}, "--popularity-discount nan"),
        ({"where": ["year>1"] * 21}, "--where: 21 are too many; give 20 at most"),
    ],
)
def test_numbers_have_bounds(rules: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Rules(**rules)  # type: ignore[arg-type]


def test_a_value_that_no_movie_has_is_a_warning(attributes: Attributes) -> None:
    values = {name: of.tolist() for name, of in attributes.values.items() if of.dtype == object}
    rules = Rules(where=["genre=Comdy|drama", "year=1800"], boost=["genres=Musical:1"])
    assert rules.warnings(values) == [
        '--where "genre=Comdy|drama": no movie has the genre "Comdy"; did you mean Comedy?',
        '--boost "genres=Musical:1": no movie has the genres "Musical"',
    ]


def test_a_column_that_no_movie_has_is_a_warning() -> None:
    rules = Rules(where=["genres=Drama", "year=1800"])
    assert rules.warnings({"genre": []}) == ['--where "genres=Drama": no movie has a genre']


def test_the_table_describes_itself(graph: Graph) -> None:
    found = {name: values.numpy() for name, values in graph.table.describe().items()}
    splits = found["row_splits"]
    movies = {
        (column.decode(), value.decode()): found["row"][splits[place] : splits[place + 1]].tolist()
        for place, (column, value) in enumerate(zip(found["column"], found["value"], strict=True))
    }
    assert movies["genre", "Drama"] == [0, 4]
    assert movies["year", "1994"] == [0, 3]
    assert movies["score", "0.1"] == [0, 5]
    assert movies["adult", "true"] == [0, 4]
    assert ("studio", "Z" * 101) not in movies
    assert len(splits) == len(movies) + 1

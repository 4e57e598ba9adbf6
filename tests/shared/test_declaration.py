"""Inputs as the functions of steps declare them."""

import math
from typing import Annotated

import click
import pytest
from click.testing import CliRunner

from components.command import subcommand
from components.declaration import (
    REQUIRED,
    Choice,
    NamedNumbers,
    Range,
    argument_texts,
    check_inputs,
    documented_by,
    inputs_of,
    summary,
)
from components.errors import UserError


def weigh(
    *,
    ratings: str,
    share: Annotated[float, Range(0, 1)] = 0.5,
    above: Annotated[float, Range(0, exclusive=True)] = 1.5,
    count: Annotated[int, Range(1)] = 3,
    bound: Annotated[int, Range(0)] = 0,
    kind: Annotated[str, Choice("all", "known", "none")] = "all",
    settings: dict = {},  # noqa: B006
    strict: bool = False,
    old_metadata: dict | None = None,
) -> None:
    """Weighs ratings.

    More is said here.

    Args:
      ratings: The file; "" for
        none: it may be absent.
      share, above: A share.
      count: How many.
      bound: At most so many.
      kind: Which ones.
      settings: By name.
      strict: Whether to be strict.

    Raises:
      UserError: never.
    """


def test_the_signature_is_the_source_of_names_types_and_defaults():
    inputs = inputs_of(weigh)
    assert {name: (one.type, one.default) for name, one in inputs.items()} == {
        "ratings": (str, REQUIRED),
        "share": (float, 0.5),
        "above": (float, 1.5),
        "count": (int, 3),
        "bound": (int, 0),
        "kind": (str, "all"),
        "settings": (dict, {}),
        "strict": (bool, False),
    }


def test_the_docstring_is_the_source_of_help_texts():
    inputs = inputs_of(weigh)
    assert inputs["ratings"].description == 'The file; "" for none: it may be absent.'
    assert inputs["share"].description == "A share (0 to 1)."
    assert inputs["bound"].description == "At most so many."
    assert inputs["above"].description == "A share (more than 0)."
    assert inputs["strict"].description == "Whether to be strict."
    assert summary(weigh.__doc__) == "Weighs ratings.\n\nMore is said here."
    assert summary(None) == ""


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("share", 1.5, "--share 1.5: give a number, 0 to 1"),
        ("share", math.nan, "--share nan: give a number, 0 to 1"),
        ("above", 0.0, "--above 0: give a number, more than 0"),
        ("above", math.inf, "--above inf: give a number, more than 0"),
        ("count", 0, "--count 0: give a whole number, at least 1"),
        ("kind", "some", "--kind some: give all, known or none"),
    ],
)
def test_a_value_out_of_bounds_is_one_line(name, value, message):
    with pytest.raises(UserError) as error:
        check_inputs(weigh, {"ratings": "x", name: value})
    assert str(error.value) == message


def test_bounds_belong_to_the_range_unless_they_are_exclusive():
    check_inputs(weigh, {"share": 0, "count": 1, "unknown": None})
    check_inputs(weigh, {"share": 1.0, "above": 1e-9, "kind": "none"})


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_a_text_that_is_no_json_object(text):
    with pytest.raises(UserError, match=r"--settings .*: not a JSON object"):
        inputs_of(weigh)["settings"].parse(text)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("share", "0.25", 0.25),
        ("count", "7", 7),
        ("strict", "Yes", True),
        ("strict", "0", False),
        ("settings", '{"a": 1}', {"a": 1}),
    ],
)
def test_a_text_is_read_as_the_inputs_type(name, text, value):
    assert inputs_of(weigh)[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "cure"),
    [
        ("share", "half", "a number, 0 to 1"),
        ("count", "2.5", "a whole number"),
        ("strict", "?", "true or false"),
    ],
)
def test_a_text_that_is_of_another_type(name, text, cure):
    with pytest.raises(UserError, match=cure):
        inputs_of(weigh)[name].parse(text, "--param x=")


def called_with(*arguments: str) -> dict:
    found = {}
    command = subcommand(
        weigh, renamed={"--portion": "--share"}, defaults={"kind": "none"}, short={"count": "-n"}
    )(lambda **inputs: found.update(inputs))
    command.main([*arguments], standalone_mode=False)
    return found


def test_the_subcommand_has_a_flag_for_each_input():
    assert called_with("--ratings", "r") == {
        "ratings": "r",
        "share": 0.5,
        "above": 1.5,
        "count": 3,
        "bound": 0,
        "kind": "none",
        "settings": {},
        "strict": False,
    }
    found = called_with("--ratings", "r", "--strict", "-n", "4", "--settings", '{"a": 1}', "--share=0.25")
    assert (found["strict"], found["count"], found["settings"], found["share"]) == (True, 4, {"a": 1}, 0.25)
    assert called_with("--ratings", "r", "--no-strict")["strict"] is False
    with pytest.raises(UserError, match="--share 2"):
        called_with("--ratings", "r", "--share", "2")
    with pytest.raises(click.MissingParameter):
        called_with()


@pytest.mark.parametrize("words", [["--portion", "0.75"], ["--portion=0.75"]])
def test_the_old_name_of_a_flag_is_accepted_with_a_line(words, capsys):
    assert called_with("--ratings", "r", *words)["share"] == 0.75
    assert capsys.readouterr().err == (
        "twotower: --portion is now --share; the old name goes with the next release\n"
    )


def test_the_help_shows_ranges_choices_and_defaults():
    text = CliRunner().invoke(subcommand(weigh)(lambda **_: None), ["--help"]).output
    for words in ("Weighs ratings.", "(0 to 1)", "[all|known|none]", "[default: 0.5]", "[required]"):
        assert words in text
    assert "Args" not in text


def test_a_component_takes_its_documentation_from_the_step():
    @documented_by(weigh, dataset="What was weighed.")
    def component(ratings: str, dataset: str, share: float = 0.5):
        pass

    assert argument_texts(component.__doc__) == {
        "ratings": 'The file; "" for none: it may be absent.',
        "dataset": "What was weighed.",
        "share": "A share (0 to 1).",
    }
    assert summary(component.__doc__) == "Weighs ratings.\n\nMore is said here."


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("", {}),
        ("one=0.5", {"one": 0.5}),
        (" two = 2 , one=1e-3,", {"two": 2.0, "one": 0.001}),
        ("three=1", None),
        ("one=1,one=2", None),
        ("one", None),
        ("one=", None),
        ("one=much", None),
        ("one=0", None),
        ("one=-1", None),
        ("one=inf", None),
        ("one=nan", None),
    ],
)
def test_numbers_by_name(text, numbers):
    names = NamedNumbers("one", "two")
    assert names.read(text) == numbers
    assert (text in names) == (numbers is not None)
    assert str(names) == "one=NUMBER,two=NUMBER, each more than 0, or some of them"

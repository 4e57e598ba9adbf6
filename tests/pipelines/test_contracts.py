"""The contract of each KFP component, and the subcommand of each step, are those of the step's function."""

import ast
import importlib
import inspect
import sys
import textwrap
from types import SimpleNamespace
from typing import Any

import click
import pytest

from components.declaration import REQUIRED, inputs_of
from components.step import command_line
from pipelines.cli import COMMANDS, twotower
from pipelines.resources import REQUESTS

# Parameters that take what is sent under an input's name of the last release.
_OLD = ("old_index_kind", "old_k")

_TYPES = (str, int, float, bool, dict)


def _parts(name: str):
    module = COMMANDS[name][0].partition(":")[0]
    component = getattr(importlib.import_module(module.replace(".step", ".component")), name).python_func
    step = getattr(importlib.import_module(module), name)
    return component, step


def _call(component) -> dict[str, ast.expr]:
    """The arguments of the one call in a component's body."""
    function: Any
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(component))).body
    calls = [one for one in function.body if not isinstance(one, ast.ImportFrom)]
    assert len(calls) == 1, "imports and one call, nothing else"
    return {keyword.arg: keyword.value for keyword in calls[0].value.keywords}


@pytest.mark.parametrize("name", REQUESTS)
def test_names_types_and_defaults_are_the_steps(name):
    component, step = _parts(name)
    declared = inputs_of(step)
    for parameter in inspect.signature(component).parameters.values():
        if parameter.annotation not in _TYPES or parameter.name in _OLD:
            continue
        assert parameter.annotation is declared[parameter.name].type, parameter.name
        assert parameter.default == declared[parameter.name].default, parameter.name


@pytest.mark.parametrize("name", REQUESTS)
def test_the_call_passes_every_input_on_or_its_help_says_why_not(name):
    component, step = _parts(name)
    call, parameters = _call(component), inspect.signature(component).parameters
    for declared in inputs_of(step).values():
        if declared.name not in call:
            assert "By hand only" in declared.help, declared.name
        elif declared.name in parameters and parameters[declared.name].annotation in _TYPES:
            assert declared.name in ast.unparse(call[declared.name])


@pytest.mark.parametrize("name", REQUESTS)
def test_the_step_returns_what_the_component_says(name):
    component, step = _parts(name)
    promised = inspect.signature(component).return_annotation
    given = inspect.signature(step).return_annotation
    if hasattr(promised, "_fields"):
        assert promised.__annotations__ == given.__annotations__
    elif promised not in (None, REQUIRED):
        assert promised is given


@pytest.mark.parametrize("name", REQUESTS)
def test_the_line_that_a_step_logs_is_one_that_the_command_line_takes(name):
    _, step = _parts(name)
    command = twotower.get_command(click.Context(twotower, **twotower.context_settings), name)
    flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    values = {str: "x", int: 7, float: 0.5, bool: True, dict: {"a": 1}}
    arguments = {name: values[declared.type] for name, declared in inputs_of(step).items()}
    line = command_line(step, arguments).split()
    assert line[:2] == ["twotower", name]
    assert {word for word in line if word.startswith("--")} <= flags


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("export", {}, {"index_kind": "brute-force"}),
        ("export", {"old_index_kind": "scann"}, {"index_kind": "scann"}),
        ("batch", {"k": 7}, {"k": 7}),
        ("batch", {"k": 0, "old_k": 5}, {"k": 5}),
    ],
)
def test_a_component_takes_what_is_sent_under_an_old_name(name, given, expected, monkeypatch, capsys):
    component, step = _parts(name)
    called = {}
    monkeypatch.setattr(sys.modules[step.__module__], name, lambda **inputs: called.update(inputs))
    names = inspect.signature(component).parameters
    artifacts = {one: SimpleNamespace(path=one) for one in ("model", "vocabulary", "interactions", "index")}
    artifacts["recommendations"] = SimpleNamespace(path="recommendations")
    component(**{one: value for one, value in artifacts.items() if one in names}, **given)
    assert called.items() >= expected.items()
    assert ("goes with the next release" in capsys.readouterr().err) == any("old" in one for one in given)

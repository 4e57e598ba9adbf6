"""The contract of each KFP component is that of the step behind it."""

import ast
import importlib
import inspect
import textwrap
from typing import Any

import pytest

from components.declaration import REQUIRED, inputs_of

_PACKAGES = {
    "fingerprint": "ingest",
    "ingest": "ingest",
    "vocabulary": "vocabulary",
    "train": "train",
    "champion": "registry",
    "evaluate": "evaluate",
    "report": "report",
    "export": "export",
    "publish": "publish",
    "refuse": "publish",
    "skip": "publish",
    "notify": "publish",
    "batch": "recommend",
}

# What an older release called an input.
_OLD = ("old_index_kind", "old_k")

_TYPES = (str, int, float, bool, dict)


def _parts(name: str):
    package = f"components.{_PACKAGES[name]}"
    component = getattr(importlib.import_module(f"{package}.component"), name).python_func
    step = getattr(importlib.import_module(f"{package}.step"), name)
    return component, step


def _call(component) -> dict[str, ast.expr]:
    """The arguments of the one call in a component's body."""
    function: Any
    (function,) = ast.parse(textwrap.dedent(inspect.getsource(component))).body
    calls = [one for one in function.body if not isinstance(one, ast.ImportFrom)]
    assert len(calls) == 1, "imports and one call, nothing else"
    return {keyword.arg: keyword.value for keyword in calls[0].value.keywords}


@pytest.mark.parametrize("name", _PACKAGES)
def test_names_types_and_defaults_are_the_steps(name):
    component, step = _parts(name)
    declared = inputs_of(step)
    for parameter in inspect.signature(component).parameters.values():
        if parameter.annotation not in _TYPES or parameter.name in _OLD:
            continue
        assert parameter.annotation is declared[parameter.name].type, parameter.name
        assert parameter.default == declared[parameter.name].default, parameter.name


@pytest.mark.parametrize("name", _PACKAGES)
def test_the_call_passes_every_input_on_or_its_help_says_why_not(name):
    component, step = _parts(name)
    call, parameters = _call(component), inspect.signature(component).parameters
    for declared in inputs_of(step).values():
        if declared.name not in call:
            assert "By hand only" in declared.help, declared.name
        elif declared.name in parameters and parameters[declared.name].annotation in _TYPES:
            assert declared.name in ast.unparse(call[declared.name])


@pytest.mark.parametrize("name", _PACKAGES)
def test_the_step_returns_what_the_component_says(name):
    component, step = _parts(name)
    promised = inspect.signature(component).return_annotation
    given = inspect.signature(step).return_annotation
    if hasattr(promised, "_fields"):
        assert promised.__annotations__ == given.__annotations__
    elif promised not in (None, REQUIRED):
        assert promised is given

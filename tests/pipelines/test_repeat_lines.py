"""The line that a step logs, by which it can be repeated by hand, is one that the command line takes."""

import importlib

import click
import pytest

from components.declaration import inputs_of
from components.step import command_line
from pipelines.cli import twotower

_STEPS = {
    "fingerprint": "components.ingest.step",
    "ingest": "components.ingest.step",
    "vocabulary": "components.vocabulary.step",
    "train": "components.train.step",
    "champion": "components.registry.step",
    "evaluate": "components.evaluate.step",
    "report": "components.report.step",
    "export": "components.export.step",
    "batch": "components.recommend.step",
    "publish": "components.publish.step",
    "refuse": "components.publish.step",
    "notify": "components.publish.step",
}


@pytest.mark.parametrize("name", _STEPS)
def test_every_argument_of_a_step_is_a_flag_of_its_subcommand(name):
    step = getattr(importlib.import_module(_STEPS[name]), name)
    command = twotower.get_command(click.Context(twotower), name)
    flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    values = {str: "x", int: 7, float: 0.5, bool: True, dict: {"a": 1}}
    arguments = {name: values[declared.type] for name, declared in inputs_of(step).items()}
    line = command_line(step, arguments).split()
    assert line[:2] == ["twotower", name]
    assert {word for word in line if word.startswith("--")} <= flags

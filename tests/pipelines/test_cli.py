"""The command line as a whole."""

import os
import subprocess
import sys

import pytest

from pipelines.cli import COMMANDS

pytestmark = pytest.mark.process

_IMPORTED = """
import sys
from click.testing import CliRunner
from pipelines.cli import twotower
result = CliRunner().invoke(twotower, {arguments})
assert result.exit_code == 0, result.output
print(result.output)
print([m for m in ("tensorflow", "kfp", "duckdb", "pandas") if m in sys.modules])
"""


def _run(arguments: list[str]) -> str:
    code = _IMPORTED.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_subcommand_documents_every_flag_and_loads_nothing_heavy(command):
    output = _run([command, "--help"])
    assert output.rstrip().endswith("[]"), output.rstrip().splitlines()[-1]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_flag_has_a_help_text(command):
    from pipelines.cli import twotower

    parameters = twotower.get_command(None, command).params
    silent = [p.opts for p in parameters if p.param_type_name == "option" and not p.help]
    assert not silent


def test_help_lists_every_subcommand():
    output = _run(["--help"])
    assert all(f"\n  {name} " in output for name in COMMANDS)


def test_a_mistake_is_one_line_and_status_2(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "compile", "--output", str(tmp_path / "pipeline.txt")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --output ")
    assert done.stderr.count("\n") == 1


def _processor_seconds(arguments: list[str]) -> float:
    before = os.times()
    subprocess.run([sys.executable, "-m", "pipelines.cli", *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize("command", ["compile", "submit --help", "schedule --help", "run --help"])
def test_what_loads_no_model_answers_in_two_seconds(command, tmp_path):
    arguments = ["compile", "--output", str(tmp_path / "p.yaml")] if command == "compile" else command.split()
    # Of the processor's time, and once in three: the machine has other things to do.
    assert any(_processor_seconds(arguments) < 2 for _ in range(3))

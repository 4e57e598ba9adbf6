"""The command line as a whole."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from pipelines.cli import COMMANDS
from pipelines.run_cli import run

pytestmark = pytest.mark.process

# Libraries that take long to import, and that no `--help` needs.
_HEAVY = (
    "tensorflow",
    "kfp",
    "duckdb",
    "pandas",
    "numpy",
    "pyarrow",
    "scipy",
    "matplotlib",
    "rich",
    "google.cloud",
    "boto3",
)

_HELP = """
import sys
from click.testing import CliRunner
from pipelines.cli import COMMANDS, twotower
for command in [[], *([name] for name in COMMANDS)]:
    result = CliRunner().invoke(twotower, [*command, "--help"])
    assert result.exit_code == 0, (command, result.output)
    loaded = [name for name in {heavy} if name in sys.modules]
    assert not loaded, f"{{command}} loads {{loaded}}"
"""


def test_no_help_loads_anything_heavy():
    code = _HELP.format(heavy=_HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_flag_has_a_help_text(command):
    from pipelines.cli import twotower

    parameters = twotower.get_command(None, command).params
    silent = [p.opts for p in parameters if p.param_type_name == "option" and not p.help]
    assert not silent


def test_help_lists_every_subcommand():
    from pipelines.cli import twotower

    output = CliRunner().invoke(twotower, ["--help"]).output
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


_AT_ONCE = {"compile": 1.5, **dict.fromkeys(("train", "evaluate", "schedule", "run"), 0.4)}


@pytest.mark.parametrize(("command", "seconds"), _AT_ONCE.items())
def test_what_loads_no_model_answers_at_once(command, seconds, tmp_path):
    rest = ["--output", str(tmp_path / "p.yaml")] if command == "compile" else ["--help"]
    # Of the processor's time, and once in three: beside other work it takes half as much again as alone.
    assert any(_processor_seconds([command, *rest]) < seconds for _ in range(3))


def test_compiling_leaves_kfps_client_to_be_imported(tmp_path):
    code = (
        "import sys; from pipelines.compiled import compile_pipeline; "
        f"compile_pipeline({str(tmp_path / 'p.yaml')!r}); assert 'kfp.client' not in sys.modules; "
        "from kfp.client import Client; assert Client.__init__"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _program(*words, **options):
    command = [sys.executable, "-m", "pipelines.cli", *words]
    return subprocess.run(command, check=False, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize("words", [["--help"], ["runs", "--registry", "registry"]])
def test_a_full_disk_behind_the_output_is_one_line(words, tmp_path):
    registry = Registry(str(tmp_path / "registry"))
    registry.runs.write(RunRecord(run_id="run-1", outcome="failed", reason="ingest: no ratings"), {})
    with Path("/dev/full").open("w") as full:
        done = _program(*words, stdout=full, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "error: standard output: No space left on device; make room\n",
    )


def test_a_terminal_without_the_letter_gets_a_question_mark(tmp_path):
    registry = Registry(str(tmp_path / "registry"))
    registry.runs.write(RunRecord(run_id="run-1", outcome="failed", reason="✗ Λ"), {})
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    done = _program("runs", "--registry", "registry", stdout=subprocess.PIPE, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert "? ?" in done.stdout


def test_a_name_that_is_no_text_is_one_line(tmp_path):
    done = _program("describe", "--ratings", os.fsencode(tmp_path) + b"/\xff.csv")
    assert done.returncode == 2
    assert done.stderr.endswith("udcff.csv: this is no UTF-8; rename the file\n")
    assert done.stderr.count("\n") == 1


def test_a_shell_completes_subcommands_and_flags():
    def completed(*words):
        asked = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        environment = {**os.environ, "_TWOTOWER_COMPLETE": "bash_complete", **asked}
        return _program(stdout=subprocess.PIPE, env=environment).stdout.split()

    assert completed("twotower", "ver") == ["plain,versions", "plain,verify"]
    assert "plain,--dry-run" in completed("twotower", "prune", "--")


def test_run_accepts_the_names_of_the_last_release(capsys):
    arguments = ["--ratings", "r.csv", "--index", "scann", "--batch=5"]
    inputs = run.make_context("run", arguments).params
    assert (inputs["index_kind"], inputs["batch_k"]) == ("scann", 5)
    assert capsys.readouterr().err.splitlines() == [
        "twotower: --index is now --index-kind; the old name goes with the next release",
        "twotower: --batch is now --batch-k; the old name goes with the next release",
    ]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--train-settings", "rubbish"], "--train-settings rubbish"),
        (["--train-settings", '{"stepps": 5}'], "--train-settings: there is no setting 'stepps'"),
        (["--gate", "off"], "--gate off"),
        (["--batch-k", "-3"], "--batch-k -3"),
        (["--columns", "foo"], "--columns foo"),
        (["--rating-scale", "5"], "--rating-scale 5"),
        (["--time-budget", "2"], "--time-budget 2"),
    ],
)
def test_a_run_refuses_an_input_before_its_first_step(flags, says, tmp_path):
    words = ["--ratings", "r.csv", "--work-dir", str(tmp_path / "work"), *flags]
    with pytest.raises(UserError, match=f"^{re.escape(says)}"):
        CliRunner().invoke(run, words, catch_exceptions=False, standalone_mode=False)
    assert not (tmp_path / "work").exists()

"""The lists of places in CONTRIBUTING.md are complete: an addition to a copy of the code works everywhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "CONTRIBUTING.md").read_text("utf-8")

# Heading of a list -> file -> the lines before which something is inserted, and what.
_ADDITIONS = {
    "A flag of a step": {
        "components/train/step.py": [
            ("    workers: Annotated[", "    dummy: Annotated[int, Range(0, 5)] = 3,\n"),
            ("      workers: Pods that", "      dummy: Stands for any input.\n"),
        ],
        "components/train/component.py": [
            ("    workers: int", "    dummy: int = 3,\n"),
            ("        workers=workers", "        dummy=dummy,\n"),
        ],
        "pipelines/training.py": [
            ("    workers: int", "    dummy: int = 3,\n"),
            ("                workers=workers", "                dummy=dummy,\n"),
        ],
    },
    "A setting": {
        "components/train/settings.py": [
            (
                '    hidden_units: int = _setting(256, Range(1, 65_536), "Width of the query',
                '    dummy: int = _setting(3, Range(0, 5), "Stands for any setting.", unit="units")\n',
            ),
        ],
    },
    "A layout": {
        "components/ingest/layouts.py": [
            ('    "movielens-dat": ', '    "dummy": _without_header("dummy", "~"),\n'),
        ],
        "tests/ingest/test_ingest_layouts.py": [
            ('    "MovieLens, tabs": (joined(', '    "dummy": (joined("~", time=str(SECONDS)), {}),\n'),
        ],
    },
    "A metric": {
        "components/metrics.py": [
            (
                '        Metric(family=MRR, label="mean',
                '        Metric(family="dummy", label="dummy share", short="dummy", over="users"),\n',
            ),
        ],
        "components/evaluate/user_sums.py": [
            (
                "@_metric(MRR, of=",
                '@_metric("dummy", of="unseen_ranks")\ndef _dummy(ranks, held_out, k, counts):\n'
                "    return sum_by_user(ranks < 2, held_out)\n\n\n",
            ),
        ],
    },
    "A baseline": {
        "components/metrics.py": [
            (
                "        _tuned(name=EASE, label=",
                '        Baseline(name="dummy", label="the dummy", column="dummy"),\n',
            ),
        ],
        "components/evaluate/baselines.py": [
            ("@_baseline(GLOBAL_MEAN)", '@_baseline("dummy")\nclass Dummy(Popularity):\n    pass\n\n\n'),
        ],
    },
}

_SAID = """
import pytest
from click.testing import CliRunner
from pipelines.cli import twotower

def said(*words):
    result = CliRunner().invoke(twotower, words)
    return f"{result.output} {result.exception}"

def passed(file, name):
    return pytest.main([file, "-k", name, "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]) == 0
"""

_MEASURED = """
from held_out_world import held_out_of
from components.evaluate.baselines import applicable
from components.evaluate.scoring import score
from components.evaluate.user_sums import user_sums
from components.metrics import label

held_out = held_out_of({(0, 0): 2.0, (1, 0): 3.0, (1, 1): 5.0}, {(0, 1): 1.0, (0, 2): 4.0, (1, 2): 4.0}, 2, 9)
measured = {
    name: user_sums(score(fit(held_out.known, 9), held_out, name), held_out).metrics()
    for name, fit in applicable(held_out.known).items()
}
"""

# What shows that the addition works.
_PROOFS = {
    "A flag of a step": """
from pipelines.compiled import CHECKED_IN, compile_pipeline
from pipelines.kubeflow.submit import parse_arguments

compile_pipeline(CHECKED_IN)
assert "Stands for any input (0 to 5)" in said("train", "--help")
assert "Stands for any input (0 to 5)" in said("run", "--help")
assert "--dummy 9: give a whole number, 0 to 5" in said("run", "--ratings", "r.csv", "--dummy", "9")
""",
    "A setting": """
import runpy
from components.errors import UserError
from components.train.settings import PRESETS, override

assert override(PRESETS["default"], {"dummy": 4.0}).dummy == 4
with pytest.raises(UserError, match="dummy is 9; give 0 to 5"):
    override(PRESETS["default"], {"dummy": 9})
row = "| `dummy` | 3 | whole number, 0 to 5 | units | Stands for any setting. |"
assert row in runpy.run_path("docs/settings.py")["reference"]()
""",
    "A layout": """
assert "dummy" in said("ingest", "--help")
assert passed("tests/ingest/test_ingest_layouts.py", "dummy or every_layout")
""",
    "A metric": f"""
{_MEASURED}
assert 0 < measured["popularity"]["dummy"] <= 1
assert label("dummy") == "dummy share"
""",
    "A baseline": f"""
{_MEASURED}
assert measured["dummy"] == measured["popularity"]
assert label("dummy") == "the dummy"
""",
}


def _copy(directory: Path, edits: dict[str, list[tuple[str, str]]]) -> None:
    """Copies the code to `directory`, and inserts what an addition takes."""
    for name in ("components", "pipelines", "docs", "tests/ingest", "tests/support"):
        shutil.copytree(_ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(_ROOT / "pyproject.toml", directory)
    for name, insertions in edits.items():
        text = (directory / name).read_text("utf-8")
        for line, inserted in insertions:
            assert text.count(f"\n{line}") == 1, f"{name} has another number of lines {line!r}"
            text = text.replace(f"\n{line}", f"\n{inserted}{line}")
        (directory / name).write_text(text, "utf-8")


@pytest.mark.parametrize("heading", _ADDITIONS)
@pytest.mark.process
def test_an_addition_takes_the_places_that_the_page_lists(heading: str, tmp_path: Path) -> None:
    (section,) = re.findall(rf"^### {heading}.*?\n(.*?)^##", _PAGE, re.MULTILINE | re.DOTALL)
    assert len(re.findall(r"^\| \d\. ", section, re.MULTILINE)) == len(_ADDITIONS[heading])
    _copy(tmp_path, _ADDITIONS[heading])
    done = subprocess.run(
        [sys.executable, "-c", _SAID + _PROOFS[heading]],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{tmp_path}/tests/support", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""Answers of an index in a fresh process, kept beside it: `publish` asks once more and compares."""

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from components.documents import Document, plain, read_document
from components.errors import UserError
from components.export.manifest import SCANN, read_manifest
from components.outputs import write_text

# Greatest difference between two figures; relative where they are greater than 1.
TOLERANCE = 1e-4
# The least share of a list's movies to be found again. Another processor rounds otherwise, so of movies with
# nearly the same score another one may end the list: one of a short list, too.
_LEAST_SHARE = 0.9

_TIMEOUT_SECONDS = 600

# The outputs of lists of movies by which one list is ordered, and by which movies are told apart.
_ORDERED_BY = ("score", "similarity", "fall", "rating")
_NAMED_BY = ("movie_id", "row")


class RecordedQuestion(Document):
    """Call of a signature."""

    signature: str
    inputs: dict[str, Any]


class RecordedAnswers(Document):
    """`answers.json` of an index."""

    _written_by: ClassVar[str] = "twotower export"

    format: Literal[1] = 1
    questions: list[RecordedQuestion]
    answers: list[dict[str, list[Any]]]  # to each question: the outputs by name, nested lists

    def __post_init__(self) -> None:
        """Refuses questions without an answer."""
        if len(self.questions) != len(self.answers):
            raise ValueError(f"{len(self.questions)} questions, and {len(self.answers)} answers")


ANSWERS_FILE = "answers.json"


def record_answers(index: Path, questions: Sequence[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
    """Keeps what an index answered to `questions`, each a signature and its inputs."""
    recorded = RecordedAnswers(questions=[RecordedQuestion(**one) for one in questions], answers=answers)
    write_text(index / ANSWERS_FILE, json.dumps(plain(recorded)))


def check_answers(index: str | Path) -> None:
    """Asks an index in a fresh process what `export` asked it.

    Raises `UserError` if it does not load, or answers otherwise than it did then.
    """
    manifest = read_manifest(index)
    recorded = read_document(Path(index) / ANSWERS_FILE, RecordedAnswers)
    questions = [{"signature": one.signature, "inputs": one.inputs} for one in recorded.questions]
    answers = ask_in_fresh_process(Path(index), questions, manifest.search)["answers"]
    for question, found, before in zip(recorded.questions, answers, recorded.answers, strict=True):
        try:
            output = _differing_output(found, before, manifest.search)
        except (ValueError, TypeError, LookupError):
            output = "of another shape"
        if output:
            raise UserError(
                f"{index} does not answer as it did when it was exported ({question.signature}: {output}); "
                "export it again with `twotower export`"
            )


def ask_in_fresh_process(
    index: Path, questions: Sequence[dict[str, Any]], search: str, timed: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Asks an index in a process without this project's code, as a server would; see fresh_process.py.

    `timed` is a question to repeat. Raises `UserError` if the index does not load or answer.
    """
    script = Path(__file__).with_name("fresh_process.py")
    asked = {
        "questions": questions,
        "timed": timed or {"signature": "", "inputs": [], "repeats": 0},
        "libraries": ["scann"] if search == SCANN else [],
    }
    with tempfile.TemporaryDirectory() as scratch:
        asks, answers = Path(scratch, "questions.json"), Path(scratch, "answers.json")
        asks.write_text(json.dumps(asked), encoding="utf-8")
        command = [sys.executable, "-I", str(script), str(index.resolve()), str(asks), str(answers)]
        try:
            subprocess.run(
                command, cwd=scratch, env=_plain_environment(), check=True, capture_output=True, text=True,
                timeout=_TIMEOUT_SECONDS,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            last_line = (error.stderr.strip().splitlines() or [f"exit status {error.returncode}"])[-1]
            raise UserError(f"the index does not load in a fresh process: {last_line}") from error
        except subprocess.TimeoutExpired as error:
            raise UserError(
                f"the index did not answer within {_TIMEOUT_SECONDS} s in a fresh process; "
                "give the step more processors or memory"
            ) from error
        result: dict[str, Any] = json.loads(answers.read_text(encoding="utf-8"))
        return result


def _plain_environment() -> dict[str, str]:
    ours = ("TF_USE_LEGACY_KERAS", "ONEDNN_PRIMITIVE_CACHE_CAPACITY", "PYTHONPATH", "PYTHONSAFEPATH")
    return {name: value for name, value in os.environ.items() if name not in ours}


def _differing_output(found: dict[str, Any], before: dict[str, Any], search: str) -> str:
    """Returns the name of an output that is not as it was; "" if there is none."""
    if found.keys() != before.keys():
        return ", ".join(sorted(found.keys() ^ before.keys()))
    lists = {name for name in before if np.ndim(before[name]) == 2}
    for name in before.keys() - lists:
        if not _alike(found[name], before[name]):
            return name
    if lists and len({len(answer[name]) for name in lists for answer in (found, before)}) > 1:
        return ", ".join(sorted(lists))
    for row in range(len(before[min(lists)]) if lists else 0):
        one, other = ({name: answer[name][row] for name in sorted(lists)} for answer in (found, before))
        if name := _differing_column(one, other, search):
            return name
    return ""


def _differing_column(found: dict[str, list[Any]], before: dict[str, list[Any]], search: str) -> str:
    """Returns the name of a column of a list of movies that is not as it was; "" if there is none."""
    key = next(name for name in _NAMED_BY if name in before)
    mine, theirs = ({movie: place for place, movie in enumerate(one[key])} for one in (found, before))
    both = [movie for movie in theirs if movie in mine]
    if len(mine) != len(theirs) or len(both) < max(1, int(_LEAST_SHARE * len(theirs))):
        return key
    for name in before:
        if not _alike([found[name][mine[one]] for one in both], [before[name][theirs[one]] for one in both]):
            return name
    ordered = (name for name in _ORDERED_BY if name in before and _descends(before[name]))
    # An approximate search may pass a movie over, and all that come after it take another place.
    name = next(ordered, "") if search != SCANN else ""
    return "" if not name or _alike(found[name], before[name]) else f"order by {name}"


def _descends(values: list[float]) -> bool:
    return all(one >= other for one, other in itertools.pairwise(values))


def _alike(found: Any, before: Any) -> bool:
    one, other = np.asarray(found), np.asarray(before)
    if one.shape != other.shape or other.dtype.kind != "f":
        return np.array_equal(one, other)
    return bool(np.all(np.abs(one - other) <= TOLERANCE * np.maximum(1.0, np.abs(other))))

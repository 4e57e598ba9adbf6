"""Documents that are none of ours: a line that names the file, from every reader of an artifact."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tampered_registry import HOSTILE, VALUES
from verdicts import write_verdict

from components.documents import read_document
from components.errors import UserError
from components.evaluate.verdict import VERDICT_FILE, load_verdict
from components.export.manifest import MANIFEST_FILE, read_manifest
from components.ingest.dataset import STATISTICS_FILE, Statistics
from components.registry.champion_log import CHAMPION_FILE, ServedChampion
from components.step import step_records
from components.train.artifact import read_record

READERS: dict[str, Callable[[Path], object]] = {
    VERDICT_FILE: load_verdict,
    STATISTICS_FILE: lambda directory: read_document(directory / STATISTICS_FILE, Statistics),
    MANIFEST_FILE: read_manifest,
    "model.json": read_record,
    CHAMPION_FILE: lambda directory: read_document(directory / CHAMPION_FILE, ServedChampion),
    "step.json": lambda directory: step_records([directory]),
}


def read(name: str, directory: Path) -> None:
    """Reads a document, or finds out in a line that it is none."""
    try:
        READERS[name](directory)
    except UserError as error:
        assert str(directory / name) in str(error), error  # noqa: PT017


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("content", HOSTILE, ids=lambda content: repr(content[:20]))
def test_what_is_no_document_is_a_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    read(name, tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_directory_in_the_place_of_a_document_is_a_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    read(name, tmp_path)


def documents(artifacts: Callable[..., dict[str, str]], directory: Path) -> dict[str, Any]:
    """A good document for each reader that has one here."""
    made = artifacts("run-1")
    write_verdict(directory, rules=[{"value": 1.0, "bound": 0.5, "interval": [0.9, 1.1]}])
    return {
        VERDICT_FILE: json.loads((directory / VERDICT_FILE).read_text()),
        STATISTICS_FILE: json.loads(Path(made["dataset"], STATISTICS_FILE).read_text()),
        "model.json": json.loads(Path(made["model"], "model.json").read_text()),
        "step.json": json.loads(Path(made["model"], "step.json").read_text()),
        CHAMPION_FILE: {"exists": True, "version": "v", "sequence": 1, "registry": "r"},
    }


def places(document: Any) -> list[tuple[Any, ...]]:
    """The paths of all values, at every depth."""
    found = []
    for key in document if isinstance(document, dict) else range(len(document)):
        found.append((key,))
        if isinstance(document[key], dict | list):
            found += [(key, *below) for below in places(document[key])]
    return found


def test_any_value_in_the_place_of_another_is_a_line(tmp_path: Path, artifacts) -> None:
    chance = random.Random(5)
    for name, good in documents(artifacts, tmp_path).items():
        for place in places(good):
            for value in chance.sample(VALUES, 8):
                document = copy.deepcopy(good)
                holder = document
                for key in place[:-1]:
                    holder = holder[key]
                holder[place[-1]] = value
                (tmp_path / name).write_text(json.dumps(document))
                read(name, tmp_path)

"""docs/registry.md: its examples are documents that the registry reads, and its drill works."""

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.documents import Document, decode, encode
from components.registry.champion_log import ChampionEntry
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.registry.versions import Manifest
from pipelines.cli import twotower

PAGE = (Path(__file__).parents[2] / "docs" / "registry.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("kind", "example"), list(zip([Manifest, ChampionEntry, RunRecord], blocks("json"), strict=True))
)
def test_the_examples_are_what_the_registry_writes(kind: type, example: str) -> None:
    document: Document = decode(example.encode(), kind, "docs/registry.md")
    assert json.loads(encode(document)) == json.loads(example)
    assert list(json.loads(encode(document))) == list(json.loads(example)), "in another order"


def test_every_outcome_has_its_row() -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", PAGE, flags=re.MULTILINE))
    assert rows == {"published", "superseded", "refused", "failed", "skipped", "cancelled"}


def test_the_drill_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, promote) -> None:
    monkeypatch.chdir(tmp_path)
    registry = Registry("registry")
    first, second = (promote(registry, f"run-{number}").version for number in (1, 2))
    champions = []
    for line in "".join(blocks("sh")).splitlines():
        _, *words = shlex.split(line.replace("20261124-105900-3f9a1c02", second))
        CliRunner().invoke(twotower, words, catch_exceptions=False)
        champions.append(registry.champion_log.entries()[-1].version)
    assert champions == [second] * 5 + [first, second]
    assert sorted(key for key in registry.storage.list("serving/") if key.endswith("saved_model.pb")) == [
        f"serving/{number}/saved_model.pb" for number in (1, 2, 3, 4)
    ]


def test_the_layout_is_the_one_that_is_written(tmp_path: Path, promote) -> None:
    registry = Registry(str(tmp_path / "registry"))
    version = promote(registry, "run-1").version
    tops = {key.split("/")[0] for key in registry.storage.list()}
    assert tops == {"versions", "champion", "serving"}
    assert {key.split("/")[2] for key in registry.storage.list(f"versions/{version}/")} == {
        "model",
        "index",
        "report.html",
        "manifest.json",
    }
    for name in (*tops, "runs"):
        assert re.search(rf"^  {name}/", PAGE, flags=re.MULTILINE)

"""Damaged registries: no traceback, no wrong answer, and a line that names the file."""

import contextlib
import os
import random
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tampered_registry import Damage, build, without_checksums

from components.errors import UserError
from components.registry import verification
from components.registry.registry import Registry, published_index
from pipelines.cli import twotower

REGISTRIES = int(os.environ.get("TWOTOWER_REGISTRIES", "2000"))

CHAMPION = {
    "saved_model.pb": "the index of run-2",
    "variables/variables.index": "the numbers of run-2",
    "manifest.json": "{}",
}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A registry, and the version that it serves."""
    root = tmp_path_factory.mktemp("whole")
    return root / "registry", build(root / "registry", root / "work")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(60, 60 + REGISTRIES))
def test_a_damaged_registry_at_length(whole, tmp_path: Path, seed: int) -> None:
    test_a_damaged_registry(whole, tmp_path, seed)


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_registry(whole: tuple[Path, str], tmp_path: Path, seed: int) -> None:
    chance, root = random.Random(seed), tmp_path / "registry"
    shutil.copytree(whole[0], root)
    if chance.random() < 0.5:
        without_checksums(root)
    damage = Damage(root, chance).do()
    try:
        clean = check_readers(root, whole[1])
        check_repair(root, clean)
        check_writers(root, chance)
    except (Exception, pytest.fail.Exception) as error:
        raise AssertionError(f"after the damage: {damage}") from error


def call(root: Path, *words: str) -> Result:
    """Calls a command, which succeeds or ends with a line about a file."""
    result = CliRunner().invoke(twotower, [*words, "--registry", str(root)])
    if result.exception and not isinstance(result.exception, SystemExit):
        if not isinstance(result.exception, UserError):
            raise AssertionError(f"{words} failed by {result.exception!r}") from result.exception
        message = str(result.exception)
        assert str(root) in message, f"{words} names no file: {message}"
        assert "\n" not in message
    return result


def check_readers(root: Path, version: str) -> bool:
    """Tries all that only reads; returns whether `verify` calls the registry whole."""
    for words in (
        ["versions"],
        ["runs"],
        ["runs", "--json"],
        ["show"],
        ["show", version, "--json"],
        ["compare", "run-1", "champion"],
        ["compare", "run-1", version, "--json"],
        ["report"],
        ["report", "run-2"],
        ["prune", "--dry-run", "--keep", "1"],
    ):
        call(root, *words)
    clean = call(root, "verify").exception is None
    if clean:
        check_index(published_index(str(root)))
        # What TensorFlow Serving would take.
        numbers = [int(path.name) for path in (root / "serving").iterdir() if path.name.isdecimal()]
        check_index(root / "serving" / str(max(numbers)))
    else:
        with contextlib.suppress(UserError):
            check_index(published_index(str(root)))
    return clean


def check_index(index: Path) -> None:
    assert {name: (index / name).read_text() for name in CHAMPION} == CHAMPION, "the wrong index is served"


def check_repair(root: Path, clean: bool) -> None:
    repaired = call(root, "verify", "--repair")
    if clean:
        assert repaired.exception is None
    if repaired.exception is None:
        check_index(published_index(str(root)))


def check_writers(root: Path, chance: random.Random) -> None:
    """Tries all that writes; if a rollback has succeeded, what it says is served is."""
    call(root, "prune", "--keep", str(chance.choice([1, 2, 10])))
    if call(root, "rollback").exception is None:
        registry = Registry(str(root))
        champion = registry.champion("")
        assert (published_index(str(root)) / "saved_model.pb").read_text() != CHAMPION["saved_model.pb"]
        assert registry.serving.is_complete(champion)
    call(root, "verify")

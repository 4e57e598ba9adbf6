"""A registry that may not be written, or not be read in part: every command works, or says so in a line."""

import ctypes
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tampered_registry import build

from components.errors import UserError
from components.registry import verification
from components.registry.registry import Registry, published_index
from pipelines.cli import twotower

pytestmark = pytest.mark.process

FILES = ["manifest.json", "run.json", "verdict.json", "index/saved_model.pb", "serving/*/saved_model.pb"]
READING = [
    "versions",
    "runs",
    "show",
    "report run-1",
    "verify",
    "compare run-1 champion",
    "prune --dry-run --keep 1",
]
WRITING = ["rollback", "prune --keep 1", "verify --repair"]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A registry, which can be read again in the end."""
    build(tmp_path / "registry", tmp_path / "work")
    yield tmp_path / "registry"
    for path in (tmp_path / "registry", *(tmp_path / "registry").rglob("*")):
        path.chmod(0o755)


def _drop_capabilities() -> None:
    """Makes the superuser a user whom modes stop."""
    version_3, this_process = 0x20080522, 0
    header, none = (ctypes.c_uint32 * 2)(version_3, this_process), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0


def as_user(action: Callable[[], object]) -> str:
    """The message of an action's error, with its type unless it is a `UserError`; "" for none."""
    output, inlet = os.pipe()
    child = os.fork()
    if not child:
        try:
            _drop_capabilities()
            action()
            said = ""
        except UserError as error:
            said = str(error)
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(inlet, json.dumps(said).encode())
        os._exit(0)
    os.close(inlet)
    with os.fdopen(output, "rb") as file:
        said = json.loads(file.read())
    os.waitpid(child, 0)
    return str(said)


def call(root: Path, words: str) -> str:
    def run() -> None:
        verification._PAUSE_SECONDS = 0.0
        result = CliRunner().invoke(twotower, [*words.split(), "--registry", str(root)])
        if result.exception:
            raise result.exception

    return as_user(run)


def test_what_cannot_be_written_can_be_read(root: Path) -> None:
    for path in [*root.rglob("*"), root]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert {words: call(root, words) for words in READING} == dict.fromkeys(READING, "")
    assert as_user(lambda: published_index(str(root))) == ""
    for words in ("rollback", "prune --keep 1"):
        assert f"cannot write {root}" in (said := call(root, words)) or f"cannot delete {root}" in said, said
    assert call(root, "verify --repair") == "", "there is nothing to mend"
    said = as_user(Registry(str(root)).storage.check_writable)
    assert said.startswith(f"cannot write {root}: Permission denied")


@pytest.mark.parametrize("mode", [0o000, 0o444])
@pytest.mark.parametrize(
    "place", ["", "versions", "champion", "serving", "runs", "versions/*", "versions/*/index"]
)
def test_a_directory_that_cannot_be_read_is_named(root: Path, place: str, mode: int) -> None:
    directory = sorted(root.glob(place))[-1] if place else root
    directory.chmod(mode)
    said = {words: call(root, words) for words in [*READING, *WRITING]}
    said["recommend"] = as_user(lambda: published_index(str(root)))
    assert any(said.values())
    for words, message in said.items():
        assert not message or str(root) in message, (words, message)
        assert "Error: " not in message, (words, message)


@pytest.mark.parametrize("name", ["champion/*.json", *FILES])
def test_a_file_that_cannot_be_read_is_named(root: Path, name: str) -> None:
    path = sorted(root.glob(name) if "*" in name else root.rglob(name))[-1]
    path.chmod(0o000)
    said = {words: call(root, words) for words in [*READING, *WRITING]}
    said["recommend"] = as_user(lambda: published_index(str(root)))
    assert str(path) in said["verify"] or "faults" in said["verify"]
    for words, message in said.items():
        assert not message or str(root) in message, (words, message)
        assert "Error: " not in message, (words, message)

"""The artifacts of version 0.1.0, unpacked."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import twotower


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what README.md lists; nothing may be written to it."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).with_name("artifacts.tar.xz")) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def registry(old: Path, tmp_path: Path) -> Path:
    """A copy of the registry."""
    return Path(shutil.copytree(old / "registry", tmp_path / "registry"))


@pytest.fixture
def call(registry: Path) -> Callable[..., Result]:
    """Calls a subcommand on the copy of the registry; it must succeed."""

    def run(*arguments: object) -> Result:
        words = [*map(str, arguments), "--registry", str(registry)]
        result = CliRunner().invoke(twotower, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result

    return run


@pytest.fixture
def call_json(call: Callable[..., Result]) -> Callable[..., Any]:
    """Calls a subcommand with --json; returns what it printed."""
    return lambda *arguments: json.loads(call(*arguments, "--json").stdout)

"""A server over a registry of a small world, in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from running_server import BODY_KB, Server, add_version, promote
from serving_world import World, small_world

from components.registry.registry import Registry


@pytest.fixture(scope="session")
def world() -> World:
    """A small world with titles that try to be more than text."""
    plain = small_world(seed=3)
    titles = [*plain.titles]
    titles[3:6] = ["<script>document.title = 'taken'</script>", "Tom & Jerry", 'The "Matrix"']
    return replace(plain, titles=titles)


@pytest.fixture(scope="session")
def index_directory(world: World, made_once: Callable[..., Path]) -> Path:
    return made_once("serve-world", world.write_with_index) / "index"


@pytest.fixture(scope="session")
def server(index_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = Registry(str(tmp_path_factory.mktemp("serve") / "registry"))
    promote(registry, add_version(registry, index_directory, "run-1").version)
    command = [sys.executable, "-m", "pipelines.cli", "serve", "--registry", registry.root, "--port", "0"]
    command += ["--poll-seconds", "0.1", "--max-body-kb", str(BODY_KB)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if found := re.search(r"serving \S+, number 1: http://127\.0\.0\.1:(\d+)/ ", line):
            break
    assert found, said
    try:
        yield Server(process.pid, int(found[1]), registry, index_directory)
    finally:
        process.terminate()
        assert process.wait(timeout=30) in (0, -15)
        process.stderr.close()

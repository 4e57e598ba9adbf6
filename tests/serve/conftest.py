"""A server over a registry of a small world, in a process of its own."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from running_server import BODY_KB, Server, add_version, promote, running_server
from serving_world import World, small_world

from components.registry.registry import Registry


@pytest.fixture(scope="session")
def world() -> World:
    """A small world with genres and an attribute, and titles that try to be more than text."""
    plain = small_world(seed=3)
    titles = [*plain.titles]
    titles[3:6] = ["<script>document.title = 'taken'</script>", "Tom & Jerry", 'The "Matrix"']
    genres = ["Comedy|Drama" if row % 4 == 0 else "Comedy" if row % 2 else "<b>War" for row in range(40)]
    return replace(plain, titles=titles, genres=genres, attributes={"minutes": [*range(60, 100)]})


@pytest.fixture(scope="session")
def index_directory(world: World, made_once: Callable[..., Path]) -> Path:
    return made_once("serve-world", world.write_with_index) / "index"


@pytest.fixture(scope="session")
def server(index_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    registry = Registry(str(tmp_path_factory.mktemp("serve") / "registry"))
    promote(registry, add_version(registry, index_directory, "run-1").version)
    with running_server(registry, index_directory, "--max-body-kb", str(BODY_KB)) as server:
        yield server

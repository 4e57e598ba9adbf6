"""Worlds small enough to train on in seconds."""

from collections.abc import Callable
from pathlib import Path

import pytest
from training_world import World, two_genres


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return two_genres().write(tmp_path_factory.mktemp("world"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[World], World]:
    return lambda world: world.write(tmp_path / "data")

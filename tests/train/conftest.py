"""Worlds small enough to train on in seconds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from training_pods import TrainingPods, training_pods
from training_world import World, two_genres

from components.train.pods import cleanup, launch


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return two_genres().write(tmp_path_factory.mktemp("world"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[[World], World]:
    return lambda world: world.write(tmp_path / "data")


@pytest.fixture
def pods(
    httpserver: HTTPServer, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrainingPods]:
    """A pod of the step `train` in a cluster, where nothing waits."""
    monkeypatch.setattr(launch, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(cleanup, "SECONDS_BETWEEN_LOOKS", 0.01)
    with training_pods(httpserver, world, tmp_path) as started:
        yield started

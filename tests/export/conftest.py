import pytest
from serving_world import small_world


@pytest.fixture(scope="session")
def world():
    return small_world()


@pytest.fixture(scope="session")
def artifacts(world, made_once):
    """The directory with the world's model, vocabulary, interactions and index."""
    return made_once("export-world", world.write_with_index)


@pytest.fixture(scope="session")
def inputs(artifacts):
    """The paths that the step takes."""
    return {name: str(artifacts / name) for name in ("model", "vocabulary", "interactions")}


@pytest.fixture(scope="session")
def index(artifacts):
    """The directory of the world's exported index."""
    return artifacts / "index"

import pytest
from serving_world import small_world


@pytest.fixture(scope="session")
def world():
    return small_world()


@pytest.fixture(scope="session")
def artifacts(world, tmp_path_factory):
    """The directory with the world's model, vocabulary and interactions."""
    return world.write(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def inputs(artifacts):
    """The paths that the step takes."""
    return {name: str(artifacts / name) for name in ("model", "vocabulary", "interactions")}


@pytest.fixture(scope="session")
def index(inputs, tmp_path_factory):
    """The directory of the world's exported index."""
    from components.export.step import export

    output = tmp_path_factory.mktemp("exported") / "index"
    export(**inputs, output=str(output))
    return output

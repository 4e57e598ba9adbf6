import pytest
from evaluation_world import evaluation_world


@pytest.fixture(scope="session")
def world():
    return evaluation_world()


@pytest.fixture(scope="session")
def data(world, tmp_path_factory):
    """A directory with `vocabulary` and `interactions` of `world`."""
    return world.write_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def good_model(world, made_once):
    return made_once("evaluate-good", world.write_model)

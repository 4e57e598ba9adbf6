import numpy as np
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


@pytest.fixture(scope="session")
def mapped_world(made_once):
    """A world with ids and titles that are no ASCII, and the directory with its artifacts and an index.

    Its model has profiles; every seventh movie has no parameters, so these are all alike.
    """
    world = small_world(users=30, movies=90)
    world.titles[:3] = ["", "Amélie", "七人の侍"]
    world.known["ünïq"] = {4: 5.0, 11: 1.0}

    def fill(folder):
        from random_model import SAMPLED, random_scoring

        from components.export.step import export
        from components.saved_models import SAVED_MODEL
        from components.train.artifact import read_record, write_record
        from components.train.scoring import save

        world.write(folder)
        rated = np.arange(90) % 7 > 0
        save(random_scoring(rated, world.movie_ids, head=SAMPLED), folder / "model" / SAVED_MODEL)
        write_record(folder / "model", read_record(folder / "model"))  # with the digest of the new one
        inputs = {name: str(folder / name) for name in ("model", "vocabulary", "interactions")}
        export(**inputs, output=str(folder / "index"))

    return world, made_once("mapped-world", fill)

from dataclasses import replace

import pytest
from serving_world import small_world


@pytest.fixture(scope="session")
def world():
    """A small world with a title that three movies share, one with markup, and an id that is a title too."""
    plain = small_world(seed=1)
    titles = [*plain.titles]
    titles[3:6] = ["Hamlet", "Hamlet", "hamlet "]
    titles[6:10] = ["The Matrix", "Toy Story", "[red]Dot\x1b[31m\n", "m11"]
    years = [*plain.years]
    years[3:6], years[7], years[8] = [1948, 1990, 0], 1995, 1999
    return replace(plain, titles=titles, years=years)


@pytest.fixture(scope="session")
def index_directory(world, made_once):
    return made_once("recommend-world", world.write_with_index) / "index"


@pytest.fixture(scope="session")
def index(index_directory):
    from components.recommend.index import PublishedIndex

    return PublishedIndex.load(index_directory)

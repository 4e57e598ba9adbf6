from dataclasses import replace

import pytest
from serving_world import small_world


@pytest.fixture(scope="session")
def world():
    """A small world with genres and an attribute, a title that three movies share, and one with markup."""
    plain = small_world(seed=1)
    titles = [*plain.titles]
    titles[3:6] = ["Hamlet", "Hamlet", "hamlet "]
    titles[6:10] = ["The Matrix", "Toy Story", "[red]Dot\x1b[31m\n", "m11"]
    years = [*plain.years]
    years[3:6], years[7], years[8] = [1948, 1990, 0], 1995, 1999
    genres = ["|".join(name for name, every in _GENRES.items() if row % every == 0) for row in range(40)]
    return replace(
        plain,
        titles=titles,
        years=years,
        genres=genres,
        attributes={"minutes": [60 + row for row in range(40)]},
    )


# Each has one in so many movies.
_GENRES = {"Comedy": 2, "Drama": 3, "War": 7}


@pytest.fixture(scope="session")
def index_directory(world, made_once):
    return made_once("recommend-world", world.write_with_index) / "index"


@pytest.fixture(scope="session")
def index(index_directory):
    from components.recommend.index import PublishedIndex

    return PublishedIndex.load(index_directory)

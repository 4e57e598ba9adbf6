"""The benchmarks' data sets are drawn as they say."""

import gzip
from pathlib import Path

import data_sets
import numpy as np
import pytest

from components.vocabulary.vocabulary import load_encoded


@pytest.fixture
def folder(tmp_path):
    """A folder with a data set of 2,000 training and 200 test rows in the place of MovieLens 1M."""
    data = tmp_path / "movielens-1m"
    data.mkdir()
    for name, rows in (("train", 2000), ("test", 200)):
        lines = [f"{1 + row % 50},{1 + row % 5},{1 + row}\n" for row in range(rows)]
        with gzip.open(data / f"{name}.csv.gz", "wt") as target:
            target.writelines(["User_ID,Rating,Movie_ID\n", *lines])
    return tmp_path


def test_thinning_draws_train_rows_then_test_rows(folder):
    files = data_sets.DATA["thinned-10"].files(folder, folder)
    random = np.random.default_rng(7)
    for argument, rows in (("ratings", 2000), ("test_ratings", 200)):
        kept = np.flatnonzero(random.random(rows) < 0.1)
        header, *lines = Path(files[argument]).read_text("utf-8").splitlines()
        assert header == "User_ID,Rating,Movie_ID"
        assert [int(line.split(",")[2]) for line in lines] == [1 + row for row in kept]


@pytest.mark.parametrize("name", ["thinned-3", "thinned-5", "thinned-10"])
def test_a_thinned_set_has_a_share_of_the_rows(folder, name):
    files = data_sets.DATA[name].files(folder, folder)
    share = (len(Path(files["ratings"]).read_text("utf-8").splitlines()) - 1) / 2000
    assert share == pytest.approx(int(name.removeprefix("thinned-")) / 100, abs=0.02)


def test_draws_users_and_then_their_rows():
    owners = np.random.default_rng(0).integers(1, 200, 10_000)
    kept = data_sets.draw_rows(owners, users=30, rows=600)
    assert len(np.unique(kept)) == 600
    assert len(np.unique(owners[kept])) == 30
    assert np.all(np.diff(kept) > 0)
    assert np.array_equal(kept, data_sets.draw_rows(owners, users=30, rows=600))


def test_the_real_data_are_of_the_sizes_that_are_known(research_data, tmp_path):
    sizes = {"thinned-5": (44_709, 5015, 5549), "100k-like": (90_200, 9800, 943)}
    for name, expected in sizes.items():
        place = tmp_path / name
        place.mkdir()
        interactions, _ = load_encoded(*data_sets.encode(name, research_data, place))
        known = interactions.known()
        found = len(known.movies), len(interactions.split("test").movies), np.count_nonzero(known.counts)
        assert found == expected

"""Vocabulary and Interactions: what is written is what was in the dataset, and damage is noticed."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from ratings_files import MOVIE_IDS, Dataset, full, ingest_text, netflix, write

from components.command import command_of
from components.documents import plain
from components.errors import UserError
from components.ingest.dataset import SPLITS, RatingsDataset
from components.outputs import scratch_file
from components.vocabulary.interactions import Interactions
from components.vocabulary.step import vocabulary
from components.vocabulary.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Users in training and, from a test file, two who are not."""
    folder = tmp_path_factory.mktemp("dataset")
    test = write(
        folder / "test.csv",
        netflix([("new-b", 4, "m3"), ("u1", 5, "m7"), ("new-a", 2, "m0"), ("new-a", 3, "m9")]),
    )
    rows = [row for row in full() if row[::2] != ("u1", "m7")]
    return ingest_text(folder, netflix(rows), test_ratings=test, fingerprint="the files")


@pytest.fixture(scope="module")
def encoded(dataset: Dataset) -> Path:
    folder = dataset.path.parent
    vocabulary(dataset=str(dataset.path), vocabulary_output=str(folder / "v"), output=str(folder / "i"))
    return folder


def test_every_rating_comes_back(dataset: Dataset, encoded: Path) -> None:
    names, interactions = Vocabulary.load(encoded / "v"), Interactions.load(encoded / "i")
    for split in SPLITS:
        ratings = interactions.split(split)
        found = {
            (names.user_ids[user], names.movie_ids[movie]): float(rating)
            for user, movie, rating in zip(ratings.owners, ratings.movies, ratings.ratings, strict=True)
        }
        assert found == {(row["user_id"], row["movie_id"]): row["rating"] for row in dataset.split(split)}
        assert len(ratings.movies) == len(found)


def test_training_users_come_first_and_movies_are_the_catalogue(encoded: Path) -> None:
    names = Vocabulary.load(encoded / "v")
    assert names.training_users == 20
    assert list(names.user_ids[20:]) == ["new-a", "new-b"]
    assert list(names.user_ids[:20]) == sorted(f"u{user}" for user in range(20))
    assert list(names.movie_ids) == MOVIE_IDS
    assert names.titles[3] == "Movie m3"
    assert names.years.dtype == np.int32
    assert set(names.years) == {1999}


def test_genres_of_the_movie_table_come_through(tmp_path: Path) -> None:
    rows = "".join(f"u{user},m{user % 2 + 1},3\n" for user in range(200))
    table = "movieId,title,genres\nm1,A,X|Y\nm2,B,\n"
    dataset = ingest_text(tmp_path, "User_ID,Movie_ID,Rating\n" + rows, table)
    output = tmp_path / "v"
    vocabulary(dataset=str(dataset.path), vocabulary_output=str(output), output=str(tmp_path / "i"))
    names = Vocabulary.load(output)
    assert names.genres is not None
    assert list(names.genres) == ["X|Y", ""]


def test_a_vocabulary_of_an_earlier_version_has_no_genres(encoded: Path, tmp_path: Path) -> None:
    old = Path(shutil.copytree(encoded / "v", tmp_path / "v"))
    table = pq.read_table(old / "movies.parquet").drop_columns(["genres"])
    pq.write_table(table, old / "movies.parquet")
    assert Vocabulary.load(old).genres is None


def test_movies_ascend_within_a_user(encoded: Path) -> None:
    interactions = Interactions.load(encoded / "i")
    for ratings in (*map(interactions.split, SPLITS), interactions.known()):
        order = ratings.owners.astype(np.int64) * interactions.movies + ratings.movies
        assert np.all(np.diff(order) > 0)


def test_what_is_told_beside_the_ratings(dataset: Dataset, encoded: Path) -> None:
    interactions = Interactions.load(encoded / "i")
    assert (interactions.training_users, interactions.users, interactions.movies) == (20, 22, 20)
    assert interactions.rating_scale == (1, 5)
    assert interactions.rating_mean == pytest.approx(
        np.mean([row["rating"] for row in dataset.split("train")])
    )
    assert interactions.fingerprint == "the files"
    assert plain(interactions.split_settings) == dataset.statistics["split"]


def test_known_ratings_are_those_of_train_and_validation(encoded: Path) -> None:
    interactions = Interactions.load(encoded / "i")
    known = interactions.known()
    parts = [interactions.split("train"), interactions.split("validation")]
    users = np.concatenate([part.owners for part in parts])
    movies = np.concatenate([part.movies for part in parts])
    order = np.lexsort((movies, users))
    np.testing.assert_array_equal(known.owners, users[order])
    np.testing.assert_array_equal(known.movies, movies[order])
    np.testing.assert_array_equal(known.ratings, np.concatenate([part.ratings for part in parts])[order])


def test_known_ratings_in_a_file_are_merged_piece_by_piece_and_the_file_is_gone(
    encoded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sizes = encoded / "i", []
    whole, files = Interactions.load(path).known(), sorted(path.iterdir())

    def counted(directory: Path | None, size: int) -> AbstractContextManager[IO[bytes]]:
        assert directory == path
        sizes.append(size)
        return scratch_file(directory, size)

    module = "components.vocabulary.interactions"
    monkeypatch.setattr(f"{module}.scratch_file", counted)
    monkeypatch.setattr(f"{module}._LARGEST_IN_MEMORY", 0)
    monkeypatch.setattr(f"{module}.PIECE", 50)
    known = Interactions.load(path).known()
    for one, other in zip(known.arrays, whole.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    assert sizes == [known.movies.nbytes, known.ratings.nbytes]
    assert sorted(path.iterdir()) == files


def test_the_same_dataset_gives_the_same_bytes(dataset: Dataset, encoded: Path, tmp_path: Path) -> None:
    vocabulary(dataset=str(dataset.path), vocabulary_output=str(tmp_path / "v"), output=str(tmp_path / "i"))
    for file in (encoded / "i").glob("*.npy"):
        assert file.read_bytes() == (tmp_path / "i" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("interactions.json", lambda path: path.unlink()),
        ("interactions.json", lambda path: path.write_text("{")),
        ("interactions.json", lambda path: path.write_text('{"format": 99}')),
        ("train.movies.npy", lambda path: path.unlink()),
        ("train.movies.npy", lambda path: path.write_bytes(path.read_bytes()[:-4])),
        ("train.movies.npy", lambda path: np.save(path, np.load(path)[:-1])),
        ("train.movies.npy", lambda path: np.save(path, np.load(path).astype(np.int64))),
        ("train.movies.npy", lambda path: np.save(path, np.load(path) + 1)),
        ("train.movies.npy", lambda path: np.save(path, np.load(path) - 1)),
        ("test.offsets.npy", lambda path: np.save(path, np.load(path) + 1)),
        ("test.offsets.npy", lambda path: np.save(path, np.load(path)[::-1].copy())),
        ("test.ratings.npy", lambda path: path.write_bytes(b"")),
    ],
)
def test_damaged_interactions_are_refused(encoded: Path, tmp_path: Path, file: str, change) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(encoded / "i", tmp_path / "i")
    change(tmp_path / "i" / file)
    with pytest.raises(UserError, match=r"twotower vocabulary|this one"):
        Interactions.load(tmp_path / "i")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("vocabulary.json", lambda path: path.unlink()),
        ("vocabulary.json", lambda path: path.write_text('{"format": 0}')),
        ("users.parquet", lambda path: path.write_bytes(path.read_bytes()[:-9])),
        ("vocabulary.json", lambda path: path.write_text(path.read_text().replace("22", "23"))),
    ],
)
def test_a_damaged_vocabulary_is_refused(encoded: Path, tmp_path: Path, file: str, change) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(encoded / "v", tmp_path / "v")
    change(tmp_path / "v" / file)
    with pytest.raises(UserError, match=r"twotower vocabulary|this one"):
        Vocabulary.load(tmp_path / "v")


def test_no_dataset_no_output(tmp_path: Path) -> None:
    arguments = [
        "--dataset",
        str(tmp_path),
        "--vocabulary-output",
        str(tmp_path / "v"),
        "--output",
        str(tmp_path / "i"),
    ]
    result = CliRunner().invoke(command_of(vocabulary), arguments)
    assert isinstance(result.exception, UserError)
    assert "statistics.json" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["train.parquet", "movies.parquet"])
def test_a_dataset_that_lacks_a_file_is_refused(dataset: Dataset, tmp_path: Path, file: str) -> None:
    shutil.copytree(dataset.path, tmp_path / "dataset")
    (tmp_path / "dataset" / file).unlink()
    with pytest.raises(UserError, match=f"lacks {file}"):
        vocabulary(
            dataset=str(tmp_path / "dataset"),
            vocabulary_output=str(tmp_path / "v"),
            output=str(tmp_path / "i"),
        )
    assert {path.name for path in tmp_path.iterdir()} == {"dataset"}


def test_a_split_that_does_not_hold_what_the_statistics_say_is_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(dataset.path, tmp_path / "dataset")
    statistics = json.loads((tmp_path / "dataset" / "statistics.json").read_text())
    for change in (-1, 1):
        changed = {**statistics["splits"], "train": statistics["splits"]["train"] + change}
        (tmp_path / "dataset" / "statistics.json").write_text(json.dumps({**statistics, "splits": changed}))
        with pytest.raises(UserError, match="train split of the ratings dataset is damaged"):
            vocabulary(
                dataset=str(tmp_path / "dataset"),
                vocabulary_output=str(tmp_path / "v"),
                output=str(tmp_path / "i"),
            )
    assert {path.name for path in tmp_path.iterdir()} == {"dataset"}


@pytest.mark.parametrize(
    ("file", "field", "load"),
    [
        ("dataset/statistics.json", "splits.validation", RatingsDataset.load),
        ("dataset/statistics.json", "split.seed", RatingsDataset.load),
        ("i/interactions.json", "splits.test", Interactions.load),
        ("i/interactions.json", "split.kind", Interactions.load),
        ("v/vocabulary.json", "users", Vocabulary.load),
    ],
)
def test_a_missing_or_wrong_field_is_named(
    encoded: Path, dataset: Dataset, tmp_path: Path, file: str, field: str, load: Callable[[Path], object]
) -> None:
    source = dataset.path if file.startswith("dataset") else encoded / file.partition("/")[0]
    path = Path(shutil.copytree(source, tmp_path / "copy")) / file.partition("/")[2]
    *outer, name = field.split(".")
    for change in ("missing", "wrong"):
        document = json.loads((source / path.name).read_text())
        inner = document[outer[0]] if outer else document
        if change == "missing":
            del inner[name]
        else:
            inner[name] = ["no", "such", "type"]
        path.write_text(json.dumps(document))
        with pytest.raises(UserError, match=f"{path.name}: field `{field}`"):
            load(path.parent)

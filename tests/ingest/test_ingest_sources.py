"""Where files come from, and what identifies them."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest
from ratings_files import MOVIES, Dataset, full, netflix, write

from components.errors import UserError
from components.ingest.dataset import RatingsDataset
from components.ingest.inputs import fingerprint_of
from components.ingest.step import ingest
from components.storage import identity, open_storage


def fingerprint(ratings: str, movies: str = "", test_ratings: str = "") -> str:
    return fingerprint_of(ratings, movies, test_ratings)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    return {
        "ratings": write(tmp_path / "ratings.csv", netflix(full())),
        "movies": write(tmp_path / "movies.csv", MOVIES),
    }


def test_the_fingerprint_changes_with_each_file_and_with_nothing_else(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    test = write(tmp_path / "test.csv", netflix(full()[:9]))
    seen = {
        fingerprint(**files),
        fingerprint(ratings=files["ratings"]),
        fingerprint(**files, test_ratings=test),
    }
    assert len(seen) == 3
    assert fingerprint(**files) in seen
    for file in (*files.values(), test):
        status = Path(file).stat()
        content = Path(file).read_text()
        write(Path(file), content[::-1])
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))  # all that tells is the content
        changed = fingerprint(**files, test_ratings=test)
        assert changed not in seen
        seen.add(changed)


def test_the_fingerprint_is_of_the_content_and_its_order(
    tmp_path: Path, files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fingerprint(**files)
    os.utime(files["ratings"])
    monkeypatch.chdir(tmp_path)
    assert fingerprint("./ratings.csv", "movies.csv") == first
    Path("ratings.csv").rename("other.csv")
    assert fingerprint("other.csv", "movies.csv") == first
    write(tmp_path / "more.csv", netflix(full()[:3]))
    assert fingerprint("other.csv,more.csv") != fingerprint("more.csv,other.csv")


def test_blocks_of_a_huge_file_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.storage.locations._READ_WHOLE", 1000)
    monkeypatch.setattr("components.storage.locations._BLOCK_BYTES", 100)
    monkeypatch.setattr("components.storage.locations._BLOCKS", 3)
    file = Path(write(tmp_path / "huge.csv", "x" * 10_000))
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)

    def changed(place: int, moved: int = 0) -> str:
        write(file, "x" * place + "y" + "x" * (9_999 - place))
        os.utime(file, ns=(times[0], times[1] + moved))
        return identity(str(file))

    between = changed(200)
    assert changed(300) == between
    assert changed(300, moved=1) != between
    assert len({between, changed(0), changed(5000), changed(9999)}) == 4


def test_the_fingerprint_covers_every_file_of_a_pattern(tmp_path: Path, files: dict[str, Any]) -> None:
    first = fingerprint(ratings=f"{tmp_path}/rat*.csv")
    write(tmp_path / "ratings-2.csv", netflix(full()))
    assert fingerprint(ratings=f"{tmp_path}/rat*.csv") != first


def test_the_dataset_holds_the_fingerprint_of_its_files(tmp_path: Path, files: dict[str, Any]) -> None:
    ingest(**files, output=str(tmp_path / "dataset"))
    seen = RatingsDataset.load(tmp_path / "dataset").statistics.fingerprint
    assert seen == fingerprint(**files)
    assert len(seen) == 32


def test_a_given_fingerprint_is_kept(tmp_path: Path, files: dict[str, Any]) -> None:
    ingest(**files, output=str(tmp_path / "dataset"), fingerprint="given")
    assert RatingsDataset.load(tmp_path / "dataset").statistics.fingerprint == "given"


def test_no_file_no_fingerprint(files: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"absent\.csv does not exist"):
        fingerprint(ratings=files["ratings"], movies="absent.csv")


def test_files_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    storage = open_storage(f"{bucket}/in")
    storage.write_bytes("ratings.csv.gz", gzip.compress(netflix([("u1", "x", "m1"), *full()]).encode()))
    storage.write_bytes("movies.csv", MOVIES.encode())
    ratings = f"{bucket}/in/ratings.csv.gz"
    ingest(ratings=ratings, movies=f"{bucket}/in/movies.csv", output=str(tmp_path / "dataset"))
    dataset = Dataset(tmp_path / "dataset")
    assert len(dataset.ratings()) == 400
    assert (dataset.rejects[0]["file"], dataset.rejects[0]["line"]) == (ratings, "2")
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]
    before = fingerprint(ratings=ratings)
    storage.write_bytes("ratings.csv.gz", gzip.compress(netflix(full()).encode()))
    assert fingerprint(ratings=ratings) != before
    with pytest.raises(UserError, match=r"--ratings (gs|s3)://.*absent"):
        ingest(ratings=f"{bucket}/in/absent.csv", output=str(tmp_path / "dataset"))


def test_a_pattern_of_objects_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    storage = open_storage(f"{bucket}/in")
    rows = full()
    storage.write_bytes("part-1.csv", netflix(rows[:100]).encode())
    storage.write_bytes("part-2.csv.gz", gzip.compress(netflix([("u1", "x", "m1"), *rows[100:]]).encode()))
    storage.write_bytes("below/part-3.csv", netflix([("u1", 1, "m1")] * 9).encode())
    ratings = f"{bucket}/in/part-*"
    ingest(ratings=ratings, output=str(tmp_path / "dataset"))
    dataset = Dataset(tmp_path / "dataset")
    assert len(dataset.ratings()) == 400
    assert [(row["file"], row["line"]) for row in dataset.rejects] == [(f"{bucket}/in/part-2.csv.gz", "2")]
    before = fingerprint(ratings=ratings)
    storage.write_bytes("part-4.csv", netflix(rows).encode())
    assert fingerprint(ratings=ratings) != before
    with pytest.raises(UserError, match=r"--ratings (gs|s3)://.*none\* matches no file"):
        fingerprint(ratings=f"{bucket}/in/none*")


@pytest.mark.parametrize("statistics", ["", "[]", "{", '{"format": 7}'])
def test_a_directory_that_is_no_dataset_is_refused(tmp_path: Path, statistics: str) -> None:
    write(tmp_path / "statistics.json", statistics)
    with pytest.raises(UserError, match="twotower ingest"):
        RatingsDataset.load(tmp_path)


def test_nothing_is_left_beside_the_output(tmp_path: Path, files: dict[str, Any]) -> None:
    ingest(**files, output=str(tmp_path / "below" / "dataset"), memory_gb=0.7)
    assert [path.name for path in (tmp_path / "below").iterdir()] == ["dataset"]
    assert {path.name for path in (tmp_path / "below" / "dataset").iterdir()} == {
        "train.parquet", "validation.parquet", "test.parquet", "movies.parquet",
        "rejects.csv", "statistics.json", "step.json",
    }  # fmt: skip
    assert json.loads((tmp_path / "below" / "dataset" / "step.json").read_text())["step"] == "ingest"

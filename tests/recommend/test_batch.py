"""Recommendations for many users in one file."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from components.errors import UserError
from components.recommend import batch as batch_module
from components.recommend.batch import read_users
from components.recommend.batch import write_recommendations as batch
from components.recommend.index import PublishedIndex
from components.recommend.step import batch as batch_step
from components.storage import open_storage
from components.vocabulary.conditions import Rules
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(batch_module, "_BATCH", 2)
    monkeypatch.setattr(batch_module, "_PART", 4)


def test_writes_what_each_user_should_watch_best_first(world, index, tmp_path):
    users = [*world.user_ids, "stranger"]
    summary = batch(index, users, 3, tmp_path / "x.parquet", known="train")
    rows = pq.read_table(tmp_path / "x.parquet").to_pandas()
    assert (summary.users, summary.rows, summary.unknown_users) == (len(users), len(rows), 1)
    assert list(dict.fromkeys(rows["user_id"])) == [user for user in users if user != "user1"]
    for user, own in rows.groupby("user_id"):
        history = world.history(user, "train")
        best = world.best(history, 3)
        assert own["rank"].tolist() == [1, 2, 3]
        assert own["movie_id"].tolist() == [world.movie_ids[movie] for movie in best]
        stars = [world.stars(history, movie) for movie in best]
        np.testing.assert_allclose(own["rating"], stars, rtol=1e-4)
        assert set(own["known_user"]) == {user != "stranger"}
    assert [path.name for path in tmp_path.iterdir()] == ["x.parquet"]


def test_goes_on_after_a_kill_where_it_was(world, index, tmp_path, monkeypatch):
    users = world.user_ids
    batch(index, users, 3, tmp_path / "whole.parquet")
    asked = []
    ranking = index.ranking

    def dying(some, *rest):
        asked.extend(some)
        if len(asked) > 6:
            raise KeyboardInterrupt
        return ranking(some, *rest)

    monkeypatch.setattr(index, "ranking", dying)
    with pytest.raises(KeyboardInterrupt):
        batch(index, users, 3, tmp_path / "x.parquet")
    assert not (tmp_path / "x.parquet").exists()

    asked_again = []
    monkeypatch.setattr(
        index, "ranking", lambda some, *rest: asked_again.extend(some) or ranking(some, *rest)
    )
    batch(index, users, 3, tmp_path / "x.parquet")
    assert sorted(asked_again) == sorted(users[4:])
    assert pq.read_table(tmp_path / "x.parquet").equals(pq.read_table(tmp_path / "whole.parquet"))


def test_an_index_of_an_earlier_release_is_ranked_as_well(world, index, tmp_path, monkeypatch):
    users = [*world.user_ids, "stranger"]
    batch(index, users, 35, tmp_path / "new.parquet")
    older = {name: signature for name, signature in index.manifest.signatures.items() if name != "rank"}
    monkeypatch.setattr(index, "manifest", msgspec.structs.replace(index.manifest, signatures=older))
    batch(index, users, 35, tmp_path / "old.parquet")
    assert pq.read_table(tmp_path / "old.parquet").equals(pq.read_table(tmp_path / "new.parquet"))


def test_parts_of_another_call_are_not_taken_over(world, index, tmp_path, monkeypatch):
    users = world.user_ids
    with monkeypatch.context() as patched:
        patched.setattr(batch_module, "_join", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            batch(index, users, 3, tmp_path / "x.parquet")
    summary = batch(index, users, 2, tmp_path / "x.parquet")
    # user1 has rated everything.
    assert summary.rows == 2 * (len(users) - 1)


def test_nobody_is_an_empty_file(index, tmp_path):
    assert batch(index, [], 3, tmp_path / "x.parquet").rows == 0
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 0


def test_a_pipeline_that_asks_for_none_gets_none(tmp_path, capsys):
    assert batch_step(index=str(tmp_path / "not read"), output=str(tmp_path / "x.parquet"), k=0) is None
    assert not list(tmp_path.iterdir())
    assert "no recommendations are asked for" in capsys.readouterr().err


def _read(file):
    if file.suffix == ".csv":
        return pd.read_csv(file, dtype={"movie_id": str, "year": "Int64"})
    if file.suffix == ".jsonl":
        return pd.read_json(file, lines=True, dtype={"movie_id": str}, convert_axes=False)
    return pq.read_table(file).to_pandas()


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_what_people_read_has_titles(world, index, tmp_path, name):
    users = [*world.user_ids, "stranger"]
    batch(index, users, 3, tmp_path / name)
    batch(index, users, 3, tmp_path / "x.parquet")
    found, expected = _read(tmp_path / name), _read(tmp_path / "x.parquet")
    assert list(found.columns) == [*expected.columns, "title", "year"]
    pd.testing.assert_frame_equal(found[expected.columns], expected, check_dtype=False, rtol=1e-6)
    titles = dict(zip(index.catalogue["movie_id"], index.catalogue["title"], strict=True))
    assert found["title"].tolist() == [titles[movie] for movie in expected["movie_id"]]
    years = dict(zip(index.catalogue["movie_id"], index.catalogue["year"], strict=True))
    assert found["year"].fillna(0).tolist() == [years[movie] for movie in expected["movie_id"]]


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_nobody_is_a_text_file_without_rows(index, tmp_path, name):
    batch(index, [], 3, tmp_path / name)
    assert len((tmp_path / name).read_text("utf-8").splitlines()) == (1 if name == "x.csv" else 0)


def test_the_best_by_score_come_in_the_order_of_their_ratings(world, index, tmp_path):
    batch(index, world.user_ids, 4, tmp_path / "x.parquet", order="rating")
    rows = _read(tmp_path / "x.parquet")
    for user, own in rows.groupby("user_id"):
        expected = index.recommend([user], 4, order="rating").movies(0)
        assert own["movie_id"].tolist() == [movie["movie_id"] for movie in expected]
        np.testing.assert_allclose(own["rating"], [movie["rating"] for movie in expected], rtol=1e-5)


def test_users_come_from_the_standard_input(index_directory, tmp_path):
    words = ["batch", "--users", "-", "--output", str(tmp_path / "x.csv"), "--index", str(index_directory)]
    result = CliRunner().invoke(twotower, words, input="\ufeffuser3\nstranger\n")
    assert result.exit_code == 0, result.output
    assert list(dict.fromkeys(_read(tmp_path / "x.csv")["user_id"])) == ["user3", "stranger"]


def test_reads_users_from_a_file_or_takes_all(world, index, tmp_path):
    (tmp_path / "users.txt").write_text("user3\n\n  stranger \n")
    assert read_users(str(tmp_path / "users.txt"), index) == ["user3", "stranger"]
    assert read_users("all", index) == world.user_ids


@pytest.mark.parametrize(
    ("content", "message"), [(None, "cannot be read"), (b"\n", "no user"), (b"\xff", "read")]
)
def test_refuses_a_file_without_users(index, tmp_path, content, message):
    file = tmp_path / "users.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_users(str(file), index)


def test_refuses_an_output_that_cannot_be_written(index, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        batch(index, ["user2"], 3, tmp_path / "file" / "x.parquet")
    with pytest.raises(UserError, match="is a directory"):
        batch(index, ["user2"], 3, tmp_path)


@pytest.mark.parametrize("place", ["gcs", "s3"], indirect=True)
def test_the_file_may_lie_in_a_bucket(index, world, place, tmp_path, monkeypatch):
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))
    batch(index, world.user_ids, 3, f"{place}/out/x.parquet")
    batch(index, world.user_ids, 3, tmp_path / "x.parquet")
    open_storage(place).download_file("out/x.parquet", tmp_path / "copy.parquet")
    assert pq.read_table(tmp_path / "copy.parquet").equals(pq.read_table(tmp_path / "x.parquet"))
    assert open_storage(place).list() == ["out/x.parquet"]
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("place", ["gcs", "s3"], indirect=True)
def test_what_cannot_be_uploaded_is_kept_for_the_next_call(index, world, place, tmp_path, monkeypatch):
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))
    storage = type(open_storage(place))

    def fail(*_):
        raise UserError("no network")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "upload_file", fail)
        with pytest.raises(UserError, match="no network"):
            batch(index, world.user_ids, 3, f"{place}/x.parquet")
    monkeypatch.setattr(batch_module, "_write_part", fail)
    summary = batch(index, world.user_ids, 3, f"{place}/x.parquet")
    open_storage(place).download_file("x.parquet", tmp_path / "copy.parquet")
    assert len(pq.read_table(tmp_path / "copy.parquet")) == summary.rows


@pytest.mark.parametrize("place", ["gcs", "s3"], indirect=True)
def test_a_bucket_that_is_not_there_is_found_before_the_first_user(index, place, monkeypatch):
    monkeypatch.setattr(batch_module, "_write_part", None)
    absent = f"{place.partition('://')[0]}://absent-{'x' * 9}"
    with pytest.raises(UserError, match="there is no bucket absent-x"):
        batch(index, ["user2"], 3, f"{absent}/x.parquet")
    with pytest.raises(UserError, match="is a directory"):
        batch(index, ["user2"], 3, f"{place}/")


def test_the_command_writes_the_file_and_says_how_much(index_directory, tmp_path):
    (tmp_path / "users.txt").write_text("user3\nstranger\n")
    words = ["--users", str(tmp_path / "users.txt"), "--output", str(tmp_path / "x.parquet"), "--k", "5"]
    result = CliRunner().invoke(twotower, ["batch", *words, "--index", str(index_directory)])
    assert result.exit_code == 0
    assert "10 recommendations for 2 users, 1 of them unknown" in result.stdout
    assert pq.read_table(tmp_path / "x.parquet").num_rows == 10


def test_a_byte_order_mark_is_no_part_of_an_id(tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("\ufeff7\n8\n", encoding="utf-8")
    assert read_users(str(tmp_path / "users.txt"), None) == ["7", "8"]  # type: ignore[arg-type]


def test_rules_hold_for_every_user(world, index, index_directory, tmp_path, capsys):
    conditions = json.dumps(["genre=Comedy", "minutes<95"])
    inputs = {"where": conditions, "boost": "genre=Drama:0.5", "diversity": 0.3, "popularity_discount": 0.2}
    output = tmp_path / "x.parquet"
    batch_step(index=str(index_directory), output=str(output), k=4, **inputs)
    rows = pq.read_table(output).to_pandas()
    rules = Rules(["genre=Comedy", "minutes<95"], ["genre=Drama:0.5"], 0.3, 0.2)
    answer = index.recommend(index.user_ids, 4, rules=rules)
    expected = [movie for of_user in answer.movie_id for movie in of_user if movie]
    assert rows["movie_id"].tolist() == expected
    assert {int(movie[1:]) % 2 for movie in expected} == {0}
    assert "the rules leave 18 of 40 movies" in capsys.readouterr().err


def test_rules_that_the_index_cannot_follow_are_found_before_it_is_loaded(
    index_directory, tmp_path, monkeypatch
):
    monkeypatch.setattr(PublishedIndex, "load", lambda *_: pytest.fail("was loaded"))
    with pytest.raises(UserError, match="no column"):
        batch_step(index=str(index_directory), output=str(tmp_path / "x.csv"), where="yaer>1")

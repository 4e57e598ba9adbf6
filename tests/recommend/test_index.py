"""The published index from Python."""

import json
import shutil
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import UserError
from components.recommend import index as index_module
from components.recommend.index import PublishedIndex
from components.recommend.showcase import showcase

pytestmark = pytest.mark.tensorflow


def test_the_gates_figures_come_out_of_the_index_alone(world, index):
    """Top-5 accuracy among unseen movies and RMSE over the held-out rows, as the evaluation defines them."""
    pairs = [(user, movie, stars) for user, rated in world.held_out.items() for movie, stars in rated.items()]
    hits = [movie in world.best(world.history(user, "train"), 5) for user, movie, _ in pairs]
    errors = [world.stars(world.history(user, "train"), movie) - stars for user, movie, stars in pairs]

    users = [user for user, _, _ in pairs]
    ids = [world.movie_ids[movie] for _, movie, _ in pairs]
    answer = index.recommend(users, 5, known="train")
    found = [movie_id in answer.movie_id[row] for row, movie_id in enumerate(ids)]
    predicted = index.rate(users, ids, known="train")

    assert 0 < sum(hits) < len(hits)
    assert found == hits
    rmse = np.sqrt(np.mean((predicted - np.array([stars for *_, stars in pairs])) ** 2))
    assert rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))), abs=1e-4)


def test_the_rating_asked_for_is_not_read(world, index):
    ratings = world.history("user3", "all")
    movie = next(iter(ratings))
    expected = {stars: world.stars({**ratings, movie: stars}, movie) for stars in (1.0, 5.0)}
    assert expected[1.0] == expected[5.0]
    assert index.rate(["user3"], [world.movie_ids[movie]])[0] == pytest.approx(expected[1.0], abs=1e-4)


def test_many_users_are_answered_in_batches(world, index, monkeypatch):
    users = [*world.user_ids, "stranger"]
    ids = [world.movie_ids[row] for row in range(len(users))]
    whole, stars = index.recommend(users, 7), index.rate(users, ids)
    monkeypatch.setattr(index_module, "_BATCH", 3)
    monkeypatch.setattr(index_module, "_PAIRS_BATCH", 3)
    np.testing.assert_array_equal(index.recommend(users, 7).movie_id, whole.movie_id)
    np.testing.assert_allclose(index.rate(users, ids), stars, rtol=1e-5)


def test_no_users_and_no_pairs(index):
    assert index.recommend([], 5).movie_id.shape == (0, 5)
    assert index.rate([], []).shape == (0,)


def test_movies_leaves_the_padding_out(world, index):
    answer = index.recommend(["user1", "user2"], 1000)
    assert answer.movies(0) == []
    assert len(answer.movies(1)) == len(world.movie_ids) - len(world.history("user2", "all"))
    assert answer.movies(1)[0].keys() == {"movie_id", "title", "year", "score", "rating"}


@settings(max_examples=60, deadline=None)
@given(history=st.dictionaries(st.integers(0, 39), st.sampled_from([1.0, 3.0, 5.0])), k=st.integers(0, 45))
def test_what_was_rated_never_comes_back(world, index, history, k):
    found = index.recommend_from_history({world.movie_ids[row]: stars for row, stars in history.items()}, k)
    movie_ids = [movie["movie_id"] for movie in found]
    assert len(movie_ids) == len(set(movie_ids)) == min(k, 40 - len(history))
    assert not {world.movie_ids[row] for row in history} & set(movie_ids)


def test_a_history_with_unknown_movies_is_read_without_them(index):
    assert index.recommend_from_history({"m1": 5.0, "no such movie": 1.0}, 3) == (
        index.recommend_from_history({"m1": 5.0}, 3)
    )


def test_history_puts_the_best_rated_first(world, index):
    movies = index.history("user5")
    rated = {world.movie_ids[movie]: stars for movie, stars in world.history("user5", "all").items()}
    assert {movie["movie_id"]: movie["rating"] for movie in movies} == rated
    assert [movie["rating"] for movie in movies] == sorted(rated.values(), reverse=True)
    held_out = {world.movie_ids[movie] for movie in world.held_out["user5"]}
    assert {movie["movie_id"] for movie in movies if movie["held_out"]} == held_out


def test_history_of_a_stranger_names_users_that_are_known(world, index):
    with pytest.raises(UserError, match=f'"stranger".*{world.user_ids[0]}'):
        index.history("stranger")


def test_similar_movies_leave_the_movie_itself_out(index):
    near = index.similar("m7", 5)
    assert len(near) == 5
    assert "m7" not in {movie["movie_id"] for movie in near}
    assert [movie["similarity"] for movie in near] == sorted((m["similarity"] for m in near), reverse=True)
    assert index.similar("no such movie", 5) == []


def test_finds_a_movie(index):
    assert index.find_movie("toy story") == {"movie_id": "m7", "title": "Toy Story", "year": 1995}


def test_there_is_no_index(tmp_path):
    with pytest.raises(UserError, match=r"there is no index at .*twotower export"):
        PublishedIndex.load(tmp_path / "absent")


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "null"])
def test_a_directory_that_is_no_index(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json.*is not an index"):
        PublishedIndex.load(tmp_path)


def test_an_index_of_a_later_format(tmp_path):
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(UserError, match="`format`: expected 1, got 99"):
        PublishedIndex.load(tmp_path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda manifest: manifest["validation"].pop("users"), r"field `validation\.users`: it is missing"),
        (lambda manifest: manifest.update(rating_scale=[1]), r"field `rating_scale`: expected"),
        (lambda manifest: manifest["ratings"].update(known="many"), r"field `ratings\.known`: expected int"),
    ],
)
def test_a_broken_manifest_is_one_line_that_names_file_and_field(index_directory, tmp_path, damage, message):
    manifest = json.loads((index_directory / "manifest.json").read_text("utf-8"))
    damage(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=rf"manifest\.json: {message}[^\n]*twotower export"):
        PublishedIndex.load(tmp_path)


def test_an_index_that_searches_by_scann_where_there_is_none(index_directory, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py.scann_ops", None)
    manifest = json.loads((index_directory / "manifest.json").read_text("utf-8"))
    (tmp_path / "manifest.json").write_text(json.dumps({**manifest, "search": "scann"}))
    with pytest.raises(UserError, match=r"ScaNN is not installed.*twotower\[scann\]"):
        PublishedIndex.load(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.unlink(), lambda path: path.write_bytes(b"x"), lambda path: path.write_bytes(b"")],
)
@pytest.mark.parametrize("file", ["saved_model.pb", "variables/variables.index"])
def test_a_damaged_index(index_directory, tmp_path, file, damage):
    copy = shutil.copytree(index_directory, tmp_path / "index")
    damage(copy / file)
    with pytest.raises(UserError, match="is damaged"):
        PublishedIndex.load(copy)


def test_the_showcase_shows_a_user_with_a_history(world, index_directory):
    shown = showcase(index_directory, k=3)
    rated = world.history(shown.user_id, "all")
    assert shown.rated == len(rated)
    assert [movie["rating"] for movie in shown.liked] == sorted(rated.values(), reverse=True)[:3]
    # The order of the predicted ratings, among the hundred best by score: here, among all.
    unseen = [movie for movie in range(len(world.movie_ids)) if movie not in rated]
    expected = sorted((world.stars(rated, movie) for movie in unseen), reverse=True)[:3]
    np.testing.assert_allclose([movie["rating"] for movie in shown.recommended], expected, rtol=1e-4)
    # Neither the user who rated everything, the same, nor one who has rated next to nothing.
    assert shown.user_id != "user1"
    assert shown.rated >= np.median([len(world.history(user, "all")) for user in world.user_ids])

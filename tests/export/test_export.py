"""The exported index against numpy, in this process and in a fresh one."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from serving_world import small_world

from components.errors import UserError
from components.export import validation
from components.export.inputs import Inputs
from components.export.manifest import LOWEST_SCORE, read_manifest
from components.export.serving import assemble, choose_search
from components.export.step import export
from components.train.artifact import model_digest

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def signatures(index):
    return tf.saved_model.load(str(index)).signatures


def ask(signatures, name, **inputs):
    function = signatures[name]
    specs = function.structured_input_signature[1]
    answer = function(**{key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()})
    return {key: text(value.numpy()) for key, value in answer.items()}


def text(array):
    return np.vectorize(bytes.decode, otypes=[object])(array) if array.dtype == object else array


@pytest.mark.parametrize("ratings", ["all", "train"])
def test_recommends_what_numpy_ranks_first_among_unseen_movies(world, signatures, ratings):
    users = [*world.user_ids, "stranger"]
    answer = ask(signatures, "recommend", user_id=users, k=5, ratings=ratings)
    for row, user in enumerate(users):
        history = world.history(user, ratings)
        best = world.best(history, 5)
        assert [*answer["movie_id"][row]][: len(best)] == [world.movie_ids[movie] for movie in best]
        assert [*answer["title"][row]][: len(best)] == [world.titles[movie] for movie in best]
        assert [*answer["year"][row]][: len(best)] == [world.years[movie] for movie in best]
        scores, stars = world.scores(history)[best], [world.stars(history, movie) for movie in best]
        np.testing.assert_allclose(answer["score"][row][: len(best)], scores, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(answer["rating"][row][: len(best)], stars, rtol=1e-4)


def test_knows_whom_it_knows(world, signatures):
    answer = ask(signatures, "recommend", user_id=["user3", "stranger", "user0"], k=1, ratings="train")
    assert answer["known_user"].tolist() == [True, False, True]
    # user0 has held-out ratings only.
    assert not world.known["user0"]
    assert world.held_out["user0"]


def test_a_stranger_gets_the_order_of_popularity(world, signatures):
    answer = ask(signatures, "recommend", user_id=["stranger"], k=40, ratings="all")
    assert answer["movie_id"][0].tolist() == [world.movie_ids[row] for row in np.argsort(-world.biases)]


def test_pads_when_movies_run_out(world, signatures):
    answer = ask(signatures, "recommend", user_id=["user1", "user2"], k=1000, ratings="all")
    left = len(world.movie_ids) - len(world.history("user2", "all"))
    assert answer["movie_id"].shape == (2, len(world.movie_ids))
    for name, padding in {
        "movie_id": "",
        "title": "",
        "year": 0,
        "score": LOWEST_SCORE,
        "rating": 0.0,
    }.items():
        assert set(answer[name][0].tolist()) == {padding}
        assert set(answer[name][1][left:].tolist()) == {padding}
        assert padding not in set(answer[name][1][:left].tolist()) - {0}
    assert (np.diff(answer["score"], axis=1) <= 0).all()


@pytest.mark.parametrize(("users", "k"), [([], 5), (["user2"], 0), (["user2"], -1), ([], 0)])
def test_nothing_asked_is_nothing_answered(signatures, users, k):
    answer = ask(signatures, "recommend", user_id=users, k=k, ratings="all")
    assert answer["movie_id"].shape == answer["score"].shape == (len(users), max(k, 0))
    assert answer["known_user"].shape == (len(users),)


def test_refuses_another_word_for_ratings(signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'must be .*"all.* or .*"train'):
        ask(signatures, "recommend", user_id=["user2"], k=5, ratings="validation")


def test_serving_default_takes_a_hundred_of_all(world, signatures):
    answer = ask(signatures, "serving_default", user_id=["user2", "user3"])
    expected = ask(signatures, "recommend", user_id=["user2", "user3"], k=100, ratings="all")
    assert answer.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(answer[name], values)


@pytest.mark.parametrize("ratings", ["all", "train"])
def test_rates_as_numpy_does(world, signatures, ratings):
    pairs = [(user, movie) for user in [*world.user_ids, "stranger"] for movie in range(0, 40, 3)]
    users, movies = zip(*pairs, strict=True)
    ids = [world.movie_ids[movie] for movie in movies]
    answer = ask(signatures, "rate", user_id=users, movie_id=ids, ratings=ratings)
    expected = [world.stars(world.history(user, ratings), movie) for user, movie in pairs]
    np.testing.assert_allclose(answer["rating"], expected, rtol=1e-4)
    assert len(set(np.round(expected, 3))) > 20


def test_rates_an_unknown_movie_as_one_nothing_is_known_of(signatures):
    answer = ask(signatures, "rate", user_id=["user2"], movie_id=["no such movie"], ratings="all")
    assert answer["rating"].tolist() == [3.0]


def test_rates_no_pairs(signatures):
    assert ask(signatures, "rate", user_id=[], movie_id=[], ratings="all")["rating"].shape == (0,)


def test_recommends_from_a_history_in_the_request(world, signatures):
    known = world.history("user4", "all")
    answer = ask(
        signatures,
        "recommend_from_history",
        movie_id=["no such movie", *(world.movie_ids[movie] for movie in known), "nor this one"],
        rating=[5.0, *known.values(), 1.0],
        row_splits=[0, len(known) + 1, len(known) + 1, len(known) + 2],
        k=4,
    )
    expected = ask(signatures, "recommend", user_id=["user4", "stranger", "stranger"], k=4, ratings="all")
    assert answer["ignored"].tolist() == [1, 0, 1]
    assert answer["movie_id"].tolist() == expected["movie_id"].tolist()
    np.testing.assert_allclose(answer["rating"], expected["rating"], rtol=1e-5)


def test_finds_the_movies_with_the_smallest_angle(world, signatures):
    answer = ask(signatures, "similar", movie_id=["m7", "no such movie"], k=3)
    unit = world.vectors / np.linalg.norm(world.vectors, axis=1, keepdims=True)
    cosines = unit @ unit[7]
    nearest = [movie for movie in np.argsort(-cosines, kind="stable") if movie != 7][:3]
    assert answer["movie_id"][0].tolist() == [world.movie_ids[movie] for movie in nearest]
    np.testing.assert_allclose(answer["similarity"][0], cosines[nearest], rtol=1e-5)
    assert answer["known_movie"].tolist() == [True, False]
    assert answer["movie_id"][1].tolist() == [""] * 3
    assert answer["similarity"][1].tolist() == [0.0] * 3


def test_a_movie_that_nobody_has_rated_is_like_no_other(world, tmp_path):
    unrated = {7, 9}
    known = {
        user: {movie: stars for movie, stars in rated.items() if movie not in unrated}
        for user, rated in world.known.items()
    }
    artifacts = replace(world, known=known).write(tmp_path)
    inputs = Inputs.load(*(str(artifacts / name) for name in ("model", "vocabulary", "interactions")))
    answer = assemble(inputs, choose_search(inputs, "brute-force")).similar(tf.constant(["m7", "m8"]), 40)
    assert answer["known_movie"].numpy().tolist() == [True, True]
    assert set(text(answer["movie_id"].numpy()[0])) == {""}
    found = set(text(answer["movie_id"].numpy()[1])) - {""}
    assert found == {f"m{movie}" for movie in range(40)} - {"m7", "m8", "m9"}


def test_tells_what_users_rated(world, signatures):
    answer = ask(signatures, "history", user_id=["user3", "stranger", "user0"])
    splits = answer["row_splits"]
    for row, user in enumerate(["user3", "stranger", "user0"]):
        part = slice(splits[row], splits[row + 1])
        rated = dict(zip(answer["movie_id"][part], answer["rating"][part], strict=True))
        expected = world.history(user, "all")
        assert rated == {world.movie_ids[movie]: stars for movie, stars in expected.items()}
        held_out = {world.movie_ids[movie] for movie in world.held_out.get(user, {})}
        assert set(answer["movie_id"][part][answer["held_out"][part]]) == held_out
    assert answer["known_user"].tolist() == [True, False, True]


def test_holds_the_catalogue_and_the_users(world, signatures):
    catalogue = ask(signatures, "catalogue")
    assert catalogue["movie_id"].tolist() == world.movie_ids
    assert catalogue["title"].tolist() == world.titles
    assert catalogue["year"].tolist() == world.years
    assert ask(signatures, "users")["user_id"].tolist() == world.user_ids


def test_the_manifest_tells_what_is_inside(world, artifacts, index, signatures):
    manifest = read_manifest(index)
    known, held_out = (sum(map(len, part.values())) for part in (world.known, world.held_out))
    assert (manifest.ratings.known, manifest.ratings.held_out) == (known, held_out)
    assert (manifest.users, manifest.movies) == (len(world.user_ids), len(world.movie_ids))
    assert (manifest.rating_scale, manifest.fingerprint) == ((1.0, 5.0), "world")
    assert manifest.model.preset == "simple"
    assert manifest.model.digest == model_digest(artifacts / "model")
    assert manifest.validation.largest_difference < 1e-4
    assert manifest.validation.answers > 100
    assert manifest.signatures.keys() == set(signatures)
    assert manifest.signatures["recommend"].inputs == {
        "user_id": "string[?]", "k": "int32[]", "ratings": "string[]",
    }  # fmt: skip


def test_is_the_same_directory_after_a_copy_that_drops_empty_directories(index):
    assert all(any(path.iterdir()) for path in Path(index).rglob("*") if path.is_dir())


def test_loads_with_plain_tensorflow_in_a_fresh_process(world, index):
    code = f"""
import sys, tensorflow as tf
index = tf.saved_model.load({str(index)!r})
answer = index.signatures["serving_default"](user_id=tf.constant(["user5"]))
assert not {{"components", "tensorflow_recommenders"}} & set(sys.modules)
print(answer["movie_id"][0, 0].numpy().decode())
"""
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == world.movie_ids[world.best(world.history("user5", "all"), 1)[0]]


def test_refuses_a_vocabulary_of_another_catalogue(inputs, tmp_path):
    other = small_world(movies=50).write(tmp_path)
    paths = {**inputs, "vocabulary": str(other / "vocabulary"), "interactions": str(other / "interactions")}
    with pytest.raises(UserError, match="trained on another catalogue"):
        export(**paths, output=str(tmp_path / "index"))
    assert not (tmp_path / "index").exists()


def test_refuses_interactions_of_another_vocabulary(inputs, tmp_path):
    other = small_world(users=20).write(tmp_path)
    with pytest.raises(UserError, match="was not made with"):
        export(**{**inputs, "interactions": str(other / "interactions")}, output=str(tmp_path / "index"))


def test_refuses_another_kind_of_index(inputs, tmp_path):
    with pytest.raises(UserError, match="--index-kind annoy: give brute-force, scann or auto"):
        export(**inputs, output=str(tmp_path / "index"), index_kind="annoy")
    assert not list(tmp_path.iterdir())


def test_refuses_a_model_without_a_record(inputs, tmp_path):
    model = shutil.copytree(inputs["model"], tmp_path / "model")
    (model / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json"):
        export(**{**inputs, "model": str(model)}, output=str(tmp_path / "index"))
    assert not (tmp_path / "index").exists()


def test_keeps_the_old_index_when_the_new_one_is_refused(inputs, tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("answers otherwise")

    monkeypatch.setattr(validation, "validate", refuse)
    old = tmp_path / "index"
    old.mkdir()
    (old / "manifest.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(UserError, match="answers otherwise"):
        export(**inputs, output=str(old))
    assert json.loads((old / "manifest.json").read_text()) == {"format": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def filtered(signatures, world, user="user3", **changed):
    plain = {"k": 5, "ratings": "all", "include_rated": False, "exclude": [], "only": []}
    inputs = {**plain, "order": "score", "pool": 10, **changed}
    answer = ask(signatures, "recommend_filtered", user_id=[user, "stranger"], **inputs)
    assert answer["known_user"].tolist() == [True, False]
    unknown = sum(movie_id not in world.movie_ids for movie_id in [*inputs["exclude"], *inputs["only"]])
    assert answer["ignored"].tolist() == [unknown] * 2
    return [world.movie_ids.index(movie_id) for movie_id in answer["movie_id"][0] if movie_id]


def test_filters_that_filter_nothing_change_nothing(world, signatures):
    assert filtered(signatures, world) == world.best(world.history("user3", "all"), 5)


def test_excludes_movies_and_skips_unknown_ids(world, signatures):
    history = world.history("user3", "all")
    first, second, *rest = world.best(history, 7)
    exclude = [world.movie_ids[first], "no such movie", world.movie_ids[second]]
    assert filtered(signatures, world, exclude=exclude) == rest


def test_keeps_to_a_choice_of_movies(world, signatures):
    history = world.history("user3", "all")
    choice = list(range(0, 40, 4))
    expected = [movie for movie in world.best(history, 40) if movie in choice][:5]
    ids = [world.movie_ids[movie] for movie in choice]
    assert filtered(signatures, world, only=[*ids, "no such movie"]) == expected
    assert filtered(signatures, world, only=["no such movie"]) == []
    assert filtered(signatures, world, only=ids, exclude=ids) == []


def test_includes_rated_movies_on_request(world, signatures):
    expected = np.argsort(-world.scores(world.history("user3", "all")))[:5].tolist()
    assert filtered(signatures, world, include_rated=True) == expected
    assert set(expected) & set(world.history("user3", "all"))


def test_orders_the_best_scored_by_predicted_rating(world, signatures):
    history = world.history("user3", "all")
    pool = world.best(history, 10)
    expected = sorted(pool, key=lambda movie: -world.stars(history, movie))
    assert filtered(signatures, world, order="rating") == expected[:5]
    assert expected[:5] != pool[:5]
    # A pool smaller than k is as large as k.
    assert set(filtered(signatures, world, order="rating", pool=1)) == set(world.best(history, 5))


def test_the_padding_stays_last_when_ordered_by_rating(world, signatures):
    history = world.history("user3", "all")
    found = filtered(signatures, world, order="rating", pool=100, k=100)
    assert set(found) == set(range(40)) - set(history)


def test_refuses_another_word_for_order(world, signatures):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r'must be .*"score.* or .*"rating'):
        filtered(signatures, world, order="title")

"""Reasons of recommendations against a plain loop, and against a world where they are known."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from serving_world import small_world
from training_world import QUICK, two_genres

from components.export import reasons
from components.export.inputs import Inputs
from components.export.manifest import LOWEST_SCORE
from components.export.serving import assemble, choose_search
from components.train.step import train

pytestmark = pytest.mark.tensorflow


def asker(signatures):
    def ask(name, **inputs):
        function = signatures[name]
        specs = function.structured_input_signature[1] or {
            spec.name: spec for spec in function.structured_input_signature[0]
        }
        answer = function(**{key: tf.constant(value, specs[key].dtype) for key, value in inputs.items()})
        return {key: value.numpy() for key, value in answer.items()}

    return ask


@pytest.fixture(scope="module")
def ask(index):
    loaded = tf.saved_model.load(str(index))
    yield asker(loaded.signatures)
    del loaded


def found(answer, row):
    """The reasons in a row of an answer: movie id -> rating and fall."""
    columns = (answer[name][row].tolist() for name in ("movie_id", "rating", "fall"))
    return {movie.decode(): (rating, fall) for movie, rating, fall in zip(*columns, strict=True) if movie}


def by_loop(world, history, movie):
    """The three movies of `history` without which numpy's score of `movie` falls most."""
    score = world.scores(history)[movie]
    falls = {}
    for left_out in set(history) - {movie}:
        others = {other: stars for other, stars in history.items() if other != left_out}
        falls[left_out] = score - world.scores(others)[movie]
    greatest = sorted((other for other in falls if falls[other] > 1e-4), key=lambda other: -falls[other])[:3]
    return {world.movie_ids[other]: (history[other], falls[other]) for other in greatest}


@pytest.mark.parametrize("ratings", ["all", "train"])
def test_the_reasons_are_those_of_a_plain_loop(world, ask, ratings):
    for user in world.user_ids:
        history = world.history(user, ratings)
        answer = ask("explain", user_id=user, recommended=world.movie_ids, ratings=ratings)
        for movie in range(len(world.movie_ids)):
            expected = by_loop(world, history, movie)
            assert list(found(answer, movie)) == list(expected)
            for name, pair in found(answer, movie).items():
                assert pair == pytest.approx(expected[name], abs=1e-4)
        assert set(answer["rated"]) == set(answer["considered"]) == {len(history)}
        np.testing.assert_allclose(answer["score"], world.scores(history), rtol=1e-4, atol=1e-4)


def test_they_are_as_many_ratings_of_the_request(world, ask):
    history = world.history("user5", "all")
    stored = ask("explain", user_id="user5", recommended=["m3", "m8"], ratings="all")
    # An unknown movie is left out, and of two ratings of a movie the last one counts.
    first = next(iter(history))
    rated = {"movie_id": ["m?", world.movie_ids[first]], "rating": [5.0, 6.0 - history[first]]}
    rated["movie_id"] += [world.movie_ids[movie] for movie in history]
    rated["rating"] += list(history.values())
    given = ask("explain_from_history", **rated, recommended=["m3", "m8"])
    assert stored.keys() == given.keys()
    for name in ("movie_id", "title", "year", "rating", "rated", "considered"):
        assert stored[name].tolist() == given[name].tolist()
    np.testing.assert_allclose(stored["fall"], given["fall"], rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def known_reasons(tmp_path_factory):
    """A user who loves two movies of one kind, likes a third less, and hates one of the opposite kind."""
    plain = small_world(users=2, movies=12)
    east, north = [1.0, 0.0], [0.0, 1.0]
    vectors = np.array([east] * 4 + [[-1.0, 0.0]] * 2 + [north] * 6)
    known = {"user0": {0: 5.0, 1: 4.5, 2: 4.0, 4: 1.0, 6: 5.0, 7: 1.0}, "user1": {6: 5.0}}
    biases = np.zeros(12)
    biases[5] = 50.0  # popular, and of the hated kind
    world = replace(plain, vectors=vectors, biases=biases, known=known, held_out={"user0": {}, "user1": {}})
    loaded = tf.saved_model.load(str(world.write_with_index(tmp_path_factory.mktemp("known")) / "index"))
    yield asker(loaded.signatures)
    del loaded


def test_what_was_hated_of_the_opposite_kind_is_a_reason_too(known_reasons):
    answer = known_reasons("explain", user_id="user0", recommended=["m3"], ratings="all")
    assert found(answer, 0) == {"m0": (5.0, 2.0), "m4": (1.0, 2.0), "m1": (4.5, 1.5)}
    assert answer["score"].tolist() == [2.0 + 1.5 + 1.0 + 2.0]


def test_only_what_lowers_the_score_is_a_reason(known_reasons):
    answer = known_reasons("explain", user_id="user0", recommended=["m8", "m5"], ratings="all")
    # The user's only good rating of a movie of the kind of m8; and m5 is first by popularity alone.
    assert found(answer, 0) == {"m6": (5.0, 2.0)}
    assert found(answer, 1) == {}
    assert answer["title"].tolist() == [[b"Movie 6", b"", b""], [b"", b"", b""]]
    assert answer["year"].tolist() == [[1956, 0, 0], [0, 0, 0]]


def test_a_movie_is_no_reason_for_itself(known_reasons):
    answer = known_reasons("explain", user_id="user1", recommended=["m6"], ratings="all")
    assert found(answer, 0) == {}


def test_nobody_and_nothing_have_no_reasons(known_reasons):
    answer = known_reasons("explain", user_id="nobody", recommended=["m3"], ratings="all")
    assert (found(answer, 0), answer["rated"].tolist(), answer["considered"].tolist()) == ({}, [0], [0])
    answer = known_reasons("explain", user_id="user0", recommended=["m?"], ratings="all")
    assert (found(answer, 0), answer["score"].tolist()) == ({}, [LOWEST_SCORE])
    answer = known_reasons("explain", user_id="user0", recommended=[], ratings="all")
    assert answer["movie_id"].shape == (0, 3)
    empty = known_reasons("explain_from_history", movie_id=[], rating=[], recommended=["m3"])
    assert found(empty, 0) == {}


def test_a_request_for_too_many_is_refused(known_reasons):
    with pytest.raises(tf.errors.InvalidArgumentError, match="may have 100 movies at most"):
        known_reasons("explain", user_id="user0", recommended=["m3"] * 101, ratings="all")


def loaded_index(inputs):
    """An index that is not written."""
    loaded = Inputs.load(*(inputs[name] for name in ("model", "vocabulary", "interactions")))
    module = assemble(loaded, choose_search(loaded, "brute-force"))
    return module, asker(module.signatures())


@pytest.mark.parametrize(("most_left_out", "most_read", "considered"), [(4, 1 << 17, 4), (200, 41, 1)])
def test_of_a_long_history_the_nearest_and_the_most_opposite_are_considered(
    world, inputs, monkeypatch, most_left_out, most_read, considered
):
    monkeypatch.setattr(reasons, "MOST_LEFT_OUT", most_left_out)
    monkeypatch.setattr(reasons, "_MOST_READ", most_read)
    _, ask = loaded_index(inputs)
    user = "user1"  # has rated all 40 movies
    history, movie = world.history(user, "all"), 7
    answer = ask("explain", user_id=user, recommended=["m7"], ratings="all")
    assert (answer["rated"].tolist(), answer["considered"].tolist()) == ([40], [considered])
    units = world.vectors / np.linalg.norm(world.vectors, axis=1, keepdims=True)
    nearest = np.argsort(-np.abs(units @ units[movie]))[:considered]
    falls = {
        other: world.scores(history)[movie] - world.scores({**history, other: 3.0})[movie]
        for other in nearest.tolist()
        if other != movie
    }
    expected = [
        world.movie_ids[other] for other in sorted(falls, key=lambda other: -falls[other]) if falls[other] > 0
    ]
    assert list(found(answer, 0)) == expected[:3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The inputs of `export`, of a trained model of the default kind."""
    root = tmp_path_factory.mktemp("trained")
    world = two_genres(users=100).write(root)
    places = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    train(**places, output=str(root / "model"), train_settings=QUICK)
    return {**places, "model": str(root / "model")}


def test_a_trained_models_reasons_are_those_of_a_plain_loop(trained):
    _, ask = loaded_index(trained)
    for user in ("u1", "u2"):
        history = ask("history", user_id=[user])
        pairs = list(zip(history["movie_id"].tolist(), history["rating"].tolist(), strict=True))
        best = ask("recommend", user_id=[user], k=5, ratings="all")

        def scores(pairs):
            columns = {"movie_id": [one for one, _ in pairs], "rating": [stars for _, stars in pairs]}
            answer = ask("recommend_from_history", **columns, row_splits=[0, len(pairs)], k=500)
            return dict(zip(answer["movie_id"][0], answer["score"][0], strict=True))

        whole = scores(pairs)
        without = [scores(pairs[:place] + pairs[place + 1 :]) for place in range(len(pairs))]
        answer = ask("explain", user_id=user, recommended=best["movie_id"][0], ratings="all")
        for row, movie in enumerate(best["movie_id"][0]):
            falls = {pairs[place][0].decode(): whole[movie] - one[movie] for place, one in enumerate(without)}
            greatest = sorted(falls.values(), reverse=True)[:3]
            assert greatest[0] > 0.01
            for (name, (_, fall)), expected in zip(found(answer, row).items(), greatest, strict=True):
                assert fall == pytest.approx(expected, abs=1e-4)
                assert falls[name] == pytest.approx(expected, abs=1e-4)

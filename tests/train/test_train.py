"""The step: a world with a known answer, its SavedModel, and what may go wrong."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from training_world import QUICK, World

from components.errors import UserError
from components.saved_models import SAVED_MODEL, saved_model_digest
from components.train.scoring import ScoringModel
from components.train.settings import PRESETS
from components.train.step import train, train_command
from components.vocabulary.interactions import UserRatings

pytestmark = pytest.mark.tensorflow

NOBODY = UserRatings.group(np.array([], int), [], [], users=1)


def _train(world, output, **arguments):
    paths = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    return train(**paths, output=str(output), **{"train_settings": QUICK, **arguments})


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained") / "model"
    return output, _train(world, output)


@pytest.fixture(scope="module")
def scoring(trained):
    return ScoringModel.load(trained[0])


def _scores(scoring, history):
    queries = scoring.query([""] * history.users, history)
    return queries @ scoring.vectors.T + scoring.biases


def test_recommends_the_genre_that_a_user_likes(world, scoring):
    users = list(range(40))
    scores = _scores(scoring, world.history(users))
    own_genre = np.arange(world.movies) % 2 == np.array(users)[:, np.newaxis] % 2
    best = np.argsort(-scores, axis=1)[:, :60]
    assert np.take_along_axis(own_genre, best, axis=1).mean() > 0.62


def test_a_movie_that_nobody_rated_is_for_those_who_like_its_genre(world, scoring):
    users, unrated = list(range(world.users)), world.movies - 1
    fans = np.array(users) % 2 == unrated % 2
    scores = _scores(scoring, world.history(users))
    # The share of the other genre's movies that come before it.
    other = np.arange(world.movies) % 2 != unrated % 2
    before = (scores > scores[:, [unrated]])[:, other].mean(axis=1)
    assert np.median(before[fans]) < 0.35
    assert np.median(before[~fans]) > 0.85
    pairs = np.array(users), np.full(len(users), unrated)
    stars = scoring.rate([""] * len(users), world.history(users), *pairs)
    assert stars[fans].min() > stars[~fans].max()


def test_no_question_makes_later_reads_of_whole_tables_copies(world, trained):
    """Rows gathered from a variable itself would: of a million movies each `recommend` took 11 ms longer."""
    loaded = tf.saved_model.load(str(trained[0] / SAVED_MODEL))
    signatures = loaded.signatures
    users, pairs = list(range(4)), (np.arange(4), np.array([0, 1, world.movies - 2, world.movies - 1]))
    scoring = ScoringModel(signatures)
    scoring.query([""] * 4, world.history(users))
    scoring.rate([""] * 4, world.history(users), *pairs)
    scoring.star_table()
    tables = [*signatures["candidates"].variables, *signatures["rating_candidates"].variables]
    numbers = [table for table in tables if table.dtype == tf.float32]
    assert len(numbers) == 4
    for table in numbers:
        one, other = (table.read_value() for _ in range(2))
        assert np.shares_memory(np.asarray(one), np.asarray(other))


def test_a_movie_that_came_after_training_is_placed_by_its_features(world, scoring, trained):
    place = tf.saved_model.load(str(trained[0] / SAVED_MODEL)).signatures["candidate_from_features"]
    features = {
        "title": tf.constant(["Movie 120", "Film", "!"]),
        "year": tf.constant([2000, 0, 0]),
        "genres": tf.constant(["Even", "Odd|new", ""]),
    }
    placed = {name: value.numpy() for name, value in place(**features).items()}
    assert list(placed["features"]) == [4, 1, 0]
    # It differs from the unrated movie of the catalogue in how high it may come.
    unrated = scoring.vectors[world.movies - 1]
    np.testing.assert_allclose(placed["vector"][0, :-1], unrated[:-1], rtol=1e-5)
    assert placed["vector"][0, -1] >= unrated[-1]
    assert not placed["bias"].any(), "users without a history are shown what is popular"
    assert not placed["vector"][2].any(), "nothing is known of it"
    users = list(range(40))
    scores = scoring.query([""] * 40, world.history(users)) @ placed["vector"][:2].T
    assert np.array_equal(scores[:, 0] > scores[:, 1], np.array(users) % 2 == 0)


def test_predicts_what_a_user_will_give(world, scoring):
    users = list(range(world.users))
    asked = world.history(users, "test")
    predicted = scoring.rate([""] * len(users), world.history(users), asked.owners, asked.movies)
    assert np.sqrt(np.mean((predicted - asked.ratings) ** 2)) < 0.5 * np.std(asked.ratings)


def test_a_user_who_was_not_in_training_is_known_by_history(world, scoring):
    history = UserRatings.group([0] * 4, [1, 3, 5, 7], [5] * 4, users=1)
    stars = scoring.rate(["new"], history, np.array([0, 0]), np.array([9, 8]))
    assert stars[0] > stars[1] + 0.5


def test_an_empty_history_gets_the_order_of_popularity(world, scoring):
    known = np.concatenate(
        [world.history(list(range(world.users)), name).movies for name in ("train", "validation")]
    )
    counts = np.bincount(known, minlength=world.movies)
    scores = _scores(scoring, NOBODY)[0]
    np.testing.assert_array_equal(np.argsort(-scores, kind="stable"), np.argsort(-counts, kind="stable"))


def test_what_the_catalogue_does_not_have_is_ignored(world, scoring):
    history = world.history([4])
    strange = UserRatings(
        np.append(history.movies, [-1, world.movies, 10**6]),
        np.append(history.ratings, [1, 1, 1]),
        history.offsets + np.array([0, 3]),
    )
    np.testing.assert_allclose(_scores(scoring, strange), _scores(scoring, history), rtol=1e-5)
    pairs = np.zeros(2, np.int32), np.array([-1, world.movies])
    unknown = scoring.rate([""], strange, *pairs)
    assert unknown[0] == unknown[1]
    assert 1 <= unknown[0] <= 5


def test_a_rating_is_predicted_without_itself(world, scoring):
    history = world.history([4, 5])
    pairs = history.owners, history.movies
    before = scoring.rate(["", ""], history, *pairs)
    history.ratings[3] = 6.0 - history.ratings[3]
    after = scoring.rate(["", ""], history, *pairs)
    assert after[3] == pytest.approx(before[3], abs=1e-4)
    assert abs(after[4] - before[4]) > 1e-4


def test_pairs_may_come_in_any_order(world, scoring):
    history = world.history([4, 5, 6])
    rows, movies = np.array([2, 0, 1, 0, 2]), np.array([3, 50, 7, 9, 200])
    together = scoring.rate([""] * 3, history, rows, movies)
    order = np.array([4, 2, 0, 3, 1])
    np.testing.assert_allclose(
        scoring.rate([""] * 3, history, rows[order], movies[order]), together[order], rtol=1e-5
    )


def test_of_a_movie_rated_twice_the_last_rating_counts(world, scoring):
    once = UserRatings(np.array([3, 8]), np.array([5.0, 2.0]), np.array([0, 2]))
    twice = UserRatings(np.array([8, 3, 8]), np.array([5.0, 5.0, 2.0]), np.array([0, 3]))
    np.testing.assert_allclose(_scores(scoring, twice), _scores(scoring, once), rtol=1e-4, atol=1e-5)


def test_the_saved_model_needs_none_of_this_code(world, trained, scoring):
    script = """
import sys, numpy as np, tensorflow as tf
signatures = tf.saved_model.load(sys.argv[1]).signatures
history = dict(user_id=tf.constant(["a"]), history_movie=tf.constant([1, 3, 8]),
               history_rating=tf.constant([5.0, 4.0, 1.0]), history_row_splits=tf.constant([0, 3], tf.int64))
query = signatures["query"](**history)["query"].numpy()
candidates = signatures["candidates"]()
pairs = dict(pair_row=tf.constant([0, 0]), pair_movie=tf.constant([3, 11]))
stars = signatures["rate"](**history, **pairs)["rating"].numpy()
assert not any(name.startswith("components") for name in sys.modules)
print(list(map(float, [*(query @ candidates["vector"].numpy().T + candidates["bias"].numpy())[0], *stars])))
"""
    arguments = [sys.executable, "-P", "-c", script, str(trained[0] / "saved_model")]
    output = subprocess.run(arguments, cwd="/", capture_output=True, text=True, check=True).stdout
    history = UserRatings.group([0] * 3, [1, 3, 8], [5.0, 4.0, 1.0], users=1)
    stars = scoring.rate(["a"], history, np.array([0, 0]), np.array([3, 11]))
    expected = [*_scores(scoring, history)[0], *stars]
    np.testing.assert_allclose(json.loads(output), expected, rtol=1e-4, atol=1e-5)


def test_one_seed_gives_one_model_and_the_artifact_is_described(world, trained, tmp_path):
    output, summary = trained
    again = _train(world, tmp_path / "again")
    # Threads add up in any order: the last digits may differ.
    assert again.steps == summary.steps
    for metric in ("validation_rmse", "validation_top_100_accuracy_unseen"):
        assert getattr(again, metric) == pytest.approx(getattr(summary, metric), rel=1e-3)
    one, other = (_log(path) for path in (output, tmp_path / "again"))
    assert [line["step"] for line in one] == [20, 40, 60]
    for line, same in zip(one, other, strict=True):
        assert line == pytest.approx(same, rel=1e-3)
    model = json.loads((output / "model.json").read_text())
    assert (model["format"], model["preset"], model["movies"]) == (1, "default", world.movies)
    assert model["settings"]["dimension"] == 16
    assert model["digest"] == saved_model_digest(output / SAVED_MODEL)
    assert list((output / "tensorboard").iterdir())


@pytest.mark.parametrize("scale", [(0.5, 5.0), (1.0, 100.0), (-10.0, 10.0)])
def test_the_scale_of_the_ratings_does_not_matter(world, trained, write, tmp_path, scale):
    low, high = scale
    other = dataclasses.replace(world, scale=scale)
    other.splits = {
        name: {
            user: {movie: low + (stars - 1) / 4 * (high - low) for movie, stars in row.items()}
            for user, row in rows.items()
        }
        for name, rows in world.splits.items()
    }
    summary = _train(write(other), tmp_path / "model")
    assert summary.validation_rmse / (high - low) == pytest.approx(trained[1].validation_rmse / 4, rel=0.02)


@pytest.mark.parametrize(
    ("splits", "movies"),
    [
        ({"train": {0: {0: 3.0}, 1: {0: 5.0}}, "validation": {2: {0: 4.0}}, "test": {}}, 1),
        ({"train": {0: {0: 4.0, 1: 4.0}, 1: {1: 4.0}}, "validation": {}, "test": {1: {2: 4.0}}}, 3),
    ],
    ids=["one movie, validated on a new user", "all ratings alike, no validation"],
)
def test_the_smallest_data(write, tmp_path, splits, movies):
    small = write(World(splits, 3, movies))
    _train(small, tmp_path / "model", train_settings={**QUICK, "steps": 3, "validations": 1})
    scoring = ScoringModel.load(tmp_path / "model")
    history = small.history([0, 1, 2])
    assert np.all(np.isfinite(_scores(scoring, history)))
    stars = scoring.rate([""] * 3, history, np.array([0, 1, 2]), np.array([0, 0, 0]))
    assert np.all((stars >= 1) & (stars <= 5))


def test_settles_on_all_known_rows_where_choosing_cost_many(world, trained, tmp_path):
    assert json.loads((trained[0] / "model.json").read_text())["steps"] > 60
    few = QUICK | {"validation_ratings": 20, "steps": 10, "validations": 1}
    _train(world, tmp_path / "model", train_settings=few)
    assert json.loads((tmp_path / "model" / "model.json").read_text())["steps"] == 10


def test_in_batch_softmax_trains_too(world, tmp_path):
    summary = _train(world, tmp_path / "model", train_settings={**QUICK, "retrieval_loss": "in-batch"})
    # A list holds 12 of the 121 movies; one of random movies has an eighth of what is looked for.
    assert summary.validation_top_100_accuracy_unseen > 0.25


def test_a_diverging_training_names_the_setting(world, tmp_path):
    steep = {**QUICK, "rating_head": "regression", "learning_rate": 10.0}
    with pytest.raises(UserError, match="learning_rate"):
        _train(world, tmp_path / "model", rating_weight=1e6, train_settings=steep)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "best"}, "--preset best: give default or notebook"),
        ({"train_settings": {"stpes": 1}}, "did you mean 'steps'"),
        ({"interactions": "/nowhere"}, "interactions.json"),
        ({"retrieval_weight": -1.0}, "retrieval_weight is -1.0"),
    ],
)
def test_mistakes_are_found_before_training(world, tmp_path, arguments, message):
    paths = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    with pytest.raises(UserError, match=message):
        train(**{**paths, "output": str(tmp_path / "model"), **arguments})
    assert not (tmp_path / "model").exists()


def test_a_model_that_is_none(tmp_path):
    with pytest.raises(UserError, match=r"is damaged: it holds no saved_model\.pb; run the step that writes"):
        ScoringModel.load(tmp_path)


_SHORT: dict[str, dict[str, Any]] = {
    "default": {**QUICK, "steps": 4, "validations": 2, "final_refit": 0},
    "notebook": {"epochs": 2, "batch_ratings": 500},
}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_trains_a_model_that_recommends_and_rates(world, tmp_path, preset):
    output = tmp_path / "model"
    words = ["--interactions", world.interactions, "--vocabulary", world.vocabulary, "--output", output]
    words += ["--preset", preset, "--train-settings", json.dumps(_SHORT.get(preset, {}))]
    result = CliRunner().invoke(train_command, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert json.loads((output / "model.json").read_text())["preset"] == preset
    assert len(_log(output)) == 2
    scoring = ScoringModel.load(output)
    users = world.history([0, 1])
    queries = scoring.query(["u0", "u1"], users)
    assert scoring.vectors.shape == (world.movies, queries.shape[1])
    assert not np.allclose(queries[0], queries[1])
    assert np.all(np.isfinite(_scores(scoring, users)))
    of_nobody = scoring.query(["nobody"], NOBODY)
    assert np.all(np.isfinite(of_nobody))
    stars = scoring.rate(["u0"], NOBODY, np.array([0, 0]), np.array([0, -1]))
    assert np.all((stars >= 1) & (stars <= 5))


def _log(output: Path):
    lines = [json.loads(line) for line in (output / "training_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]

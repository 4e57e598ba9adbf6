"""Movies that came after training join the index by their features."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from serving_world import small_world
from training_world import QUICK, World, two_genres

from components.errors import UserError
from components.export.manifest import load_index
from components.export.step import export
from components.train.scoring import ScoringModel
from components.train.step import train
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow

TABLE = "movieId,title,genres\nm0,Movie 0,Odd\neven,Movie A (2000),Even\nodd,Movie B (2000),Odd\nblank,?,\n"
NO_MOVIE = "nobody,Movie C (2000),Even\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return two_genres(users=100).write(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def inputs(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Model, Vocabulary and Interactions."""
    places: Any = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    model = str(tmp_path_factory.mktemp("trained") / "model")
    train(**places, output=model, train_settings=QUICK)
    return {**places, "model": model}


@pytest.fixture(scope="module")
def index(inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index with two new movies; the validation in a fresh process has compared it with its model."""
    folder = tmp_path_factory.mktemp("index")
    (folder / "new.csv").write_text(TABLE + NO_MOVIE)
    flags = [f"--{name}={value}" for name, value in inputs.items()]
    flags += ["--movies", str(folder / "new.csv"), "--missing-ids", "nobody"]
    result = CliRunner().invoke(twotower, ["export", *flags, "--output", str(folder / "index")])
    assert result.exit_code == 0, result.output
    assert "123 movies (2 of them new)" in result.output
    assert "1 movies are in the catalogue already" in result.output
    assert "1 new movies share no word, year or genre" in result.output
    return folder / "index"


@pytest.fixture(scope="module")
def signatures(index: Path) -> Any:
    manifest, loaded = load_index(index)
    assert (manifest.movies, manifest.movies_added) == (123, 2)
    ask = loaded.signatures
    yield lambda name, **inputs: {key: value.numpy() for key, value in ask[name](**inputs).items()}
    del loaded


def recommended(signatures: Any, users: list[str]) -> dict[str, Any]:
    return signatures("recommend", user_id=tf.constant(users), k=tf.constant(123), ratings=tf.constant("all"))


def test_new_movies_stand_in_the_catalogue(signatures: Any) -> None:
    catalogue = signatures("catalogue")
    assert list(catalogue["movie_id"][-2:]) == [b"even", b"odd"]
    assert list(catalogue["title"][-2:]) == [b"Movie A", b"Movie B"]
    assert list(catalogue["year"][-2:]) == [2000, 2000]
    assert catalogue["title"][0] == b"Movie 0"


def test_new_movies_are_for_those_who_like_their_genre(world: World, signatures: Any) -> None:
    answer = recommended(signatures, [f"u{user}" for user in range(world.users)])
    for user, movies in enumerate(answer["movie_id"].tolist()):
        assert (movies.index(b"even") < movies.index(b"odd")) == (user % 2 == 0)


def test_a_new_movie_is_rated_alike_by_every_signature(signatures: Any) -> None:
    answer = recommended(signatures, ["u0", "u1"])
    for user, movies in enumerate(answer["movie_id"].tolist()):
        rated = signatures(
            "rate",
            user_id=tf.constant([f"u{user}"] * 2),
            movie_id=tf.constant(["even", "odd"]),
            ratings=tf.constant("all"),
        )["rating"]
        listed = [answer["rating"][user][movies.index(movie)] for movie in (b"even", b"odd")]
        np.testing.assert_allclose(rated, listed, rtol=1e-4)
        assert (rated[0] > rated[1]) == (user == 0)


def test_a_history_may_name_new_movies_and_one_movie_twice(signatures: Any) -> None:
    def asked(movies: list[str], ratings: list[float]) -> dict[str, Any]:
        splits = tf.constant([0, len(movies)], tf.int64)
        return signatures(
            "recommend_from_history",
            movie_id=tf.constant(movies),
            rating=tf.constant(ratings),
            row_splits=splits,
            k=tf.constant(123),
        )

    once = asked(["m2", "m1"], [5.0, 1.0])
    twice = asked(["even", "m2", "m1", "m2"], [5.0, 1.0, 1.0, 5.0])
    assert b"even" not in twice["movie_id"][0].tolist()
    movies, others = once["movie_id"][0].tolist(), twice["movie_id"][0].tolist()
    stars = once["rating"][0][movies.index(b"odd")]
    assert twice["rating"][0][others.index(b"odd")] == pytest.approx(stars, rel=1e-4)


def test_a_table_without_new_movies_adds_none(inputs: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("movieId,title\nm0,Movie 0\n")
    manifest = export(**inputs, movies=str(tmp_path / "new.csv"), output=str(tmp_path / "index"))
    assert (manifest.movies, manifest.movies_added) == (121, 0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\0\1\2", "NUL"),
        (b"a,b\n1,2\n", "no column for the movie"),
        (b"movieId,title\n", "no movies"),
        (b"movieId,title\n1,\xff\n", "UTF-8"),
    ],
)
def test_rubbish_is_refused_in_one_line(
    inputs: dict[str, Any], tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "new.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"--movies .*{said}") as raised:
        export(**inputs, movies=str(tmp_path / "new.csv"), output=str(tmp_path / "index"))
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "index").exists()


def test_a_model_without_the_signature_cannot_place_movies(tmp_path: Path) -> None:
    small_world().write(tmp_path)
    (tmp_path / "new.csv").write_text(TABLE)
    paths: Any = {name: str(tmp_path / name) for name in ("model", "vocabulary", "interactions")}
    with pytest.raises(UserError, match=r"--movies .* cannot place new movies; train a model anew"):
        export(**paths, movies=str(tmp_path / "new.csv"), output=str(tmp_path / "index"))


def test_the_manifest_says_what_the_model_can_do(inputs: dict[str, Any], index: Path) -> None:
    assert ScoringModel.load(inputs["model"]).signature("candidate_from_features") is not None
    assert json.loads((index / "manifest.json").read_text())["movies_added"] == 2

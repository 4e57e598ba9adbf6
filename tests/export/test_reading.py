"""The default model inside the index, which reads it the short way."""

import numpy as np
import pytest
import tensorflow as tf
from random_model import random_scoring
from serving_world import small_world

from components.export import histories
from components.export.manifest import read_manifest
from components.export.step import export
from components.train.scoring import save
from components.train.settings import REGRESSION, SAMPLED

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module", params=[("kept", SAMPLED), ("too many to keep", REGRESSION)], ids=str)
def default_index(request, tmp_path_factory):
    """An index of the default model over a world in which some movies have no parameters."""
    world = small_world(users=30, movies=90)
    artifacts = world.write(tmp_path_factory.mktemp("world"))
    rated = np.arange(90) % 7 > 0
    users, head = request.param
    save(random_scoring(rated, world.movie_ids, head=head), artifacts / "model" / "saved_model")
    inputs = {name: str(artifacts / name) for name in ("model", "vocabulary", "interactions")}
    with pytest.MonkeyPatch.context() as patched:
        if users != "kept":
            patched.setattr(histories, "_MAX_STORED_NUMBERS", 0)
        export(**inputs, output=str(artifacts / "index"))
    return artifacts / "index", world


@pytest.mark.parametrize("ratings", ["all", "train"])
def test_recommends_the_short_way_what_it_recommends_the_long_way(default_index, ratings):
    directory, world = default_index
    signatures = tf.saved_model.load(str(directory)).signatures
    users = tf.constant([*world.user_ids, "stranger"])
    asked = {"user_id": users, "k": tf.constant(60), "ratings": tf.constant(ratings)}
    plain = {"include_rated": tf.constant(False), "order": tf.constant("score"), "pool": tf.constant(0)}
    nothing = {name: tf.constant([], tf.string) for name in ("exclude", "only")}
    short = signatures["recommend"](**asked)
    whole = signatures["recommend_filtered"](**asked, **plain, **nothing)
    for name in ("movie_id", "title", "year", "known_user"):
        np.testing.assert_array_equal(short[name], whole[name])
    for name in ("score", "rating"):
        np.testing.assert_allclose(short[name], whole[name], rtol=1e-4, atol=1e-5)


def test_is_validated_against_the_model(default_index):
    found = read_manifest(default_index[0]).validation
    assert found.answers > 500
    assert found.largest_difference < 1e-4

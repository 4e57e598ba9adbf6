"""The default model inside the index, which reads it the short way."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from random_model import random_scoring
from serving_world import small_world

from components.export import histories
from components.export.manifest import read_manifest
from components.export.step import export
from components.recommend.batch import write_recommendations
from components.recommend.index import PublishedIndex
from components.train.artifact import read_record, write_record
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
    write_record(artifacts / "model", read_record(artifacts / "model"))  # with the digest of the new one
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


def test_a_batch_has_what_a_request_answers(default_index, tmp_path):
    directory, world = default_index
    index, users = PublishedIndex.load(directory), [*world.user_ids, "stranger"]
    write_recommendations(index, users, 20, tmp_path / "batch.parquet")
    rows = pq.read_table(tmp_path / "batch.parquet").to_pandas().set_index("user_id")
    asked = {"user_id": tf.constant(users), "k": tf.constant(20), "ratings": tf.constant("all")}
    answer = tf.saved_model.load(str(directory)).signatures["recommend"](**asked)
    for row, user in enumerate(users):
        found = int(np.count_nonzero(answer["movie_id"][row].numpy() != b""))
        own = rows.loc[user] if found else rows.iloc[:0]
        assert own["movie_id"].tolist() == [
            movie.decode() for movie in answer["movie_id"][row].numpy()[:found]
        ]
        np.testing.assert_allclose(own["rating"], answer["rating"][row][:found], rtol=1e-4)
    assert rows["rating"].nunique() > 200


def test_is_validated_against_the_model(default_index):
    found = read_manifest(default_index[0]).validation
    assert found.answers > 500
    assert found.largest_difference < 1e-4

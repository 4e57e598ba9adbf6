"""Several processes that train together, by TensorFlow's MultiWorkerMirroredStrategy."""

import json
import os
import time

import numpy as np
import pytest
from training_workers import staged, two_workers
from training_world import QUICK, two_genres

from components.errors import UserError
from components.train import replicas
from components.train.replicas import LOST_WORKER, worker_of_tf_config
from components.train.scoring import ScoringModel
from components.train.settings import TrainRequest
from components.train.step import train

pytestmark = pytest.mark.tensorflow

SETTINGS = {**QUICK, "final_refit": 0}

# So many steps that a worker can be killed among them.
LONG = {**SETTINGS, "steps": 600, "validations": 12, "patience": 1000}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Many users whom nobody can foretell, so that one draw of hidden ratings is as good as another."""
    world, random = two_genres(users=800, movies=161), np.random.default_rng(3)
    for ratings in (row for split in world.splits.values() for row in split.values()):
        for movie, stars in ratings.items():
            ratings[movie] = float(np.clip(stars + random.normal(scale=0.8), *world.scale))
    return world.write(tmp_path_factory.mktemp("noisy"))


def _record(model):
    return json.loads((model / "model.json").read_text("utf-8"))


def test_two_workers_come_to_what_one_comes_to(noisy, tmp_path):
    exchange = staged(noisy, tmp_path / "place", TrainRequest("default", SETTINGS, 0.0, 0.0, 42, ""))
    paths = {"interactions": str(noisy.interactions), "vocabulary": str(noisy.vocabulary)}
    with two_workers(exchange, tmp_path) as workers:
        train(**paths, output=str(tmp_path / "alone"), train_settings=SETTINGS)
        assert [workers.wait(number, 300) for number in (0, 1)] == [0, 0], workers.said(0)
    exchange.fetch_model(str(tmp_path / "together"))
    together, alone = _record(tmp_path / "together"), _record(tmp_path / "alone")
    assert together["steps"] == alone["steps"]
    assert together["validation_rmse"] == pytest.approx(alone["validation_rmse"], rel=0.01)
    accuracy = "validation_top_100_accuracy_unseen"
    assert together[accuracy] == pytest.approx(alone[accuracy], abs=0.01)
    # Only the chief writes.
    assert "model in" in workers.said(0)
    assert "model in" not in workers.said(1)
    # Both decided by the same figures.
    said = [[line for line in workers.said(number).splitlines() if ": step " in line] for number in (0, 1)]
    assert len(said[0]) == 3
    assert said[0] == said[1]
    assert ScoringModel.load(tmp_path / "together").query([""], noisy.history([0])).shape[0] == 1


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_worker_is_noticed_and_all_go_on_from_the_checkpoint(world, tmp_path, killed):
    request = TrainRequest("default", LONG, 0.0, 0.0, 42, str(tmp_path / "checkpoints"))
    exchange = staged(world, tmp_path / "place", request)
    with two_workers(exchange, tmp_path) as workers:
        _until(lambda: "step 100:" in workers.said(0), 120, workers)
        workers.kill(killed)
        moment = time.monotonic()
        other = 1 - killed
        assert workers.wait(other, 60) == LOST_WORKER, workers.said(other)
        assert time.monotonic() - moment < 60
        assert f"worker {other} of 2 has lost the others" in workers.said(other)
        for number in (0, 1):
            workers.log(number).unlink()
            workers.start(number)
        assert workers.wait(0, 300) == 0, workers.said(0)
        assert workers.wait(1, 60) == 0, workers.said(1)
        for number in (0, 1):
            assert "resuming from" in workers.said(number)
            assert "train: step 50:" not in workers.said(number)
    exchange.fetch_model(str(tmp_path / "model"))
    assert _record(tmp_path / "model")["steps"] == LONG["steps"]


@pytest.mark.parametrize(
    ("config", "worker"),
    [
        ("", (0, 1)),
        ({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}, (0, 1)),
        ({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}, (1, 2)),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "worker", "index": 0}}, (1, 2)),
        ({"cluster": {"chief": ["a:1"], "worker": ["b:1"]}, "task": {"type": "chief", "index": 0}}, (0, 2)),
    ],
)
def test_tf_config_says_which_worker_this_is(monkeypatch, config, worker):
    monkeypatch.setenv("TF_CONFIG", config and json.dumps(config))
    assert worker_of_tf_config() == worker


@pytest.mark.parametrize("text", ["{", "[]", '{"cluster": {"worker": ["a:1", "b:1"]}}'])
def test_a_tf_config_that_says_nothing_is_named(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError, match=r"TF_CONFIG is .*unset it to train in one process"):
        worker_of_tf_config()


def test_the_notebook_s_model_is_not_trained_by_several(world, tmp_path, monkeypatch):
    config = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    paths = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    with pytest.raises(UserError, match="the preset notebook trains in one process"):
        train(**paths, output=str(tmp_path / "model"), preset="notebook")


def _until(happened, seconds, workers):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, workers.said(0)
        assert workers.ended(0) is None, workers.said(0)
        time.sleep(0.2)


def test_tensorflow_starts_no_more_threads_than_the_container_may_use(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "")
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS")
    monkeypatch.setattr(replicas, "available_cpus", lambda: 3)
    with replicas.replicas("default"):
        assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"

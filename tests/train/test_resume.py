"""A training that was killed goes on where it was."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from components.saved_models import SAVED_MODEL
from components.train.weights import Weights

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SETTINGS = {
    "steps": 60,
    "validations": 6,
    "patience": 100,
    "warmup_steps": 5,
    "dimension": 8,
    "hidden_units": 16,
    "rating_weights": 4,
    "sweeps": 24,
    "ensemble_size": 1,
    "final_refit": 4,  # long enough to be killed in, whichever weights are kept
}


def _command(world, root):
    return [
        *(sys.executable, "-m", "pipelines.cli", "train"),
        *("--interactions", str(world.interactions), "--vocabulary", str(world.vocabulary)),
        *("--checkpoint-root", root),
        *("--train-settings", json.dumps(SETTINGS)),
    ]


def _log(output):
    lines = [json.loads(line) for line in (output / "training_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def _tables(output):
    """All that is known of the movies, for ranking and for stars."""
    signatures = tf.saved_model.load(str(output / SAVED_MODEL)).signatures
    found = {"candidates": signatures["candidates"](), "stars": signatures["rating_candidates"]()}
    return {(name, key): value.numpy() for name, part in found.items() for key, value in part.items()}


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    command = [*_command(world, str(folder / "root")), "--output", str(folder / "model")]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "model"


def _kill_and_resume(command, moment, output):
    """Kills a training soon after the line that has `moment`, and starts it anew; returns what that says."""
    killed = subprocess.Popen(
        [*command, "--output", str(output)], stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert killed.stderr is not None
    for line in killed.stderr:
        if moment in line:
            break
    time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    assert not output.exists()
    return subprocess.run(
        [*command, "--output", str(output)], check=True, capture_output=True, text=True
    ).stderr


def _assert_same(one, other):
    assert _log(one) == _log(other)
    tables = _tables(other)
    for name, table in _tables(one).items():
        np.testing.assert_array_equal(table, tables[name], err_msg=str(name))


def test_killed_and_started_again_it_ends_as_if_undisturbed(world, undisturbed, tmp_path, place):
    said = _kill_and_resume(_command(world, place), "train: step 30", tmp_path / "model")
    assert "resuming" in said
    assert "train: step 10:" not in said
    _assert_same(undisturbed, tmp_path / "model")


def test_killed_in_the_final_refit_it_goes_on_there(world, undisturbed, tmp_path):
    command = _command(world, str(tmp_path / "root"))
    said = _kill_and_resume(command, "final refit: step 20", tmp_path / "model")
    assert said.count("resuming") == 2
    assert "train: step" not in said
    assert "final refit: step 10:" not in said
    _assert_same(undisturbed, tmp_path / "model")


def test_a_warm_training_that_was_killed_goes_on_as_one(world, undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "registry" / "versions" / "1" / "model")
    begins = ["--registry", str(tmp_path / "registry"), "--champion-version", "1"]
    command = [*_command(world, str(tmp_path / "root")), *begins]
    said = _kill_and_resume(command, "final refit: step 20", tmp_path / "model")
    assert "warm start: " in said
    assert said.count("resuming") == 2
    other_root = [*_command(world, str(tmp_path / "other")), *begins, "--output", str(tmp_path / "whole")]
    subprocess.run(other_root, check=True, capture_output=True)
    _assert_same(tmp_path / "whole", tmp_path / "model")
    one, other = (Weights.load(tmp_path / name / "weights.npz") for name in ("whole", "model"))
    assert one.header == other.header
    for name, variable in one.variables.items():
        np.testing.assert_array_equal(variable, other.variables[name], err_msg=name)

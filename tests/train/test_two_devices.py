"""One process with several devices, by TensorFlow's MirroredStrategy."""

import json
import subprocess
import sys

import pytest
import two_devices

from components.train.scoring import ScoringModel

# Two trainings on two devices cost a minute of two processors.
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return tmp_path_factory.mktemp("two-devices") / "model"


@pytest.fixture(scope="module")
def findings(world, output):
    inputs = [str(world.interactions), str(world.vocabulary), str(output)]
    ended = subprocess.run(
        [sys.executable, two_devices.__file__, *inputs], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return two_devices.Findings(**json.loads(ended.stdout.splitlines()[-1]))


def test_two_devices_take_the_step_that_one_takes(findings):
    # Every user of this world has as many ratings, so the mean of the means is the mean.
    assert findings.moved > 0.01
    assert findings.apart < 1e-4 * findings.moved


def test_they_hide_different_ratings(findings):
    one, other = findings.losses
    assert one != pytest.approx(other, rel=1e-4)


def test_gradients_of_some_rows_are_added_up_too(findings):
    steps, rmse, accuracy = findings.of_sampled
    assert steps == two_devices.SETTINGS["steps"]
    assert rmse < 1.2 * findings.summary[1]
    assert accuracy > 0.5 * findings.summary[2]


def test_the_model_is_one_like_any_other(findings, output, world):
    steps, rmse, accuracy = findings.summary
    assert steps == two_devices.SETTINGS["steps"]
    assert 0 < rmse < 2
    assert 0 < accuracy <= 1
    scoring = ScoringModel.load(output)
    assert scoring.query(["", ""], world.history([0, 1])).shape[0] == 2

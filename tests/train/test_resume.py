"""A training that was killed goes on where it was."""

import json
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

SETTINGS = {
    "steps": 60,
    "validations": 6,
    "warmup_steps": 5,
    "dimension": 8,
    "hidden_units": 16,
    "rating_weights": 4,
    "ensemble_size": 1,
}


def _command(world, root, output):
    return [
        *(sys.executable, "-m", "pipelines.cli", "train"),
        *("--interactions", str(world.interactions), "--vocabulary", str(world.vocabulary)),
        *("--checkpoint-root", root, "--output", str(output), "--train-settings", json.dumps(SETTINGS)),
    ]


def _log(output):
    lines = [json.loads(line) for line in (output / "training_log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def undisturbed(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    subprocess.run(_command(world, str(folder / "root"), folder / "model"), check=True, capture_output=True)
    return folder / "model"


def test_killed_and_started_again_it_ends_as_if_undisturbed(world, undisturbed, tmp_path, place):
    killed = subprocess.Popen(
        _command(world, place, tmp_path / "killed"), stderr=subprocess.PIPE, text=True, bufsize=1
    )
    assert killed.stderr is not None
    for line in killed.stderr:
        if "step 30" in line:
            break
    time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    killed.stderr.close()
    assert not (tmp_path / "killed").exists()

    resumed = subprocess.run(
        _command(world, place, tmp_path / "resumed"), check=True, capture_output=True, text=True
    )
    assert "resuming" in resumed.stderr
    assert "train: step 10:" not in resumed.stderr
    for one, other in zip(_log(undisturbed), _log(tmp_path / "resumed"), strict=True):
        assert one == pytest.approx(other, rel=1e-3)

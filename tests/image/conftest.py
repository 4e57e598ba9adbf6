"""The image under test, and ways to run it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TWOTOWER = [sys.executable, "-m", "pipelines.cli"]


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test; `make test-image` names it."""
    name = os.environ.get("TWOTOWER_TEST_IMAGE")
    if not name:
        pytest.skip("no image named in TWOTOWER_TEST_IMAGE; `make test-image` builds and names one")
    return name


@pytest.fixture(scope="session")
def run_pipeline(image) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the pipeline on the ratings of `sample`, in `folder`, by one of KFP's runners."""

    def run(
        runner: str, sample: Path, folder: Path, *flags: str, image: str = image
    ) -> subprocess.CompletedProcess[str]:
        command = [*TWOTOWER, "run", "--runner", runner, "--image", image]
        command += ["--ratings", str(sample / "ratings.csv"), "--movies", str(sample / "movies.csv")]
        command += ["--registry", str(folder / "registry"), "--work-dir", str(folder / "work"), *flags]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory) -> Path:
    """Ratings that are trained on in half a minute."""
    from components.sample.step import sample

    folder = tmp_path_factory.mktemp("small") / "sample"
    sample(users=500, movies=400, ratings=20_000, output=str(folder))
    return folder

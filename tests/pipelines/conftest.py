"""A run of the whole pipeline on a small world, shared by the tests that look at what it left."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.sample.step import sample

TWOTOWER = [sys.executable, "-m", "pipelines.cli"]

# Few steps: these tests look at the pipeline, not at the model.
_SETTINGS = '{"steps": 60, "ensemble_size": 1}'


@dataclass(frozen=True)
class Site:
    """A folder with a sample, a registry and a working directory of its own."""

    folder: Path

    @property
    def registry(self) -> Path:
        return self.folder / "registry"

    @property
    def scratch(self) -> Path:
        return self.folder / "tmp"

    @property
    def command(self) -> list[str]:
        return self._with()

    def _with(self, *flags: str) -> list[str]:
        """The command with `flags`, which replace those of the same name."""
        usual = {
            "--ratings": "sample/ratings.csv",
            "--movies": "sample/movies.csv",
            "--train-settings": _SETTINGS,
        }
        kept = [word for flag, value in usual.items() if flag not in flags for word in (flag, value)]
        return [*TWOTOWER, "run", *kept, *flags]

    def run(self, *flags: str, umask: int = -1) -> subprocess.CompletedProcess[str]:
        """Runs the pipeline with `flags` in the folder, and waits for it; -1 is this process's own mask."""
        return subprocess.run(
            self._with(*flags),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            umask=umask,
            env={**os.environ, "TMPDIR": str(self.scratch)},
        )


@pytest.fixture(scope="session")
def new_site(tmp_path_factory) -> Callable[[], Site]:
    """Makes a site with a sample in which taste can be learned."""

    def make() -> Site:
        site = Site(tmp_path_factory.mktemp("site"))
        site.scratch.mkdir()
        sample(users=300, movies=250, ratings=15_000, seed=7, output=str(site.folder / "sample"))
        return site

    return make


@pytest.fixture(scope="session")
def published(new_site) -> tuple[Site, subprocess.CompletedProcess[str]]:
    """A site after its first run, and what the run printed."""
    site = new_site()
    done = site.run("--gate", "report", umask=0)  # as Argo starts a step
    assert done.returncode == 0, done.stdout + done.stderr
    return site, done

"""The real image: the lines of docs/docker.md, and the pipeline under KFP's DockerRunner."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.image

_PAGE = Path(__file__).parents[2] / "docs" / "docker.md"
_BLOCKS = re.findall(r"```bash\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)
_TWOTOWER = [sys.executable, "-m", "pipelines.cli"]


@pytest.fixture(scope="module")
def image() -> str:
    """The image under test; `make test-image` names it."""
    name = os.environ.get("TWOTOWER_TEST_IMAGE")
    if not name:
        pytest.skip("no image named in TWOTOWER_TEST_IMAGE; `make test-image` builds and names one")
    return name


@pytest.fixture(scope="module")
def stepped(image, tmp_path_factory) -> Path:
    """A folder in which every line of the page has been run, one after the other."""
    folder = tmp_path_factory.mktemp("docker")
    variables, steps, _ = _BLOCKS
    for line in steps.strip().splitlines():
        done = subprocess.run(
            ["bash", "-euc", f"{variables}\n{line}"],
            cwd=folder,
            env={**os.environ, "IMAGE": image},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return folder


def test_the_lines_of_the_page_publish_a_version(stepped):
    record = json.loads((stepped / "registry" / "runs" / "by-hand" / "run.json").read_text("utf-8"))
    assert record["outcome"] == "published"


def test_what_the_container_wrote_belongs_to_the_caller(stepped):
    owners = {path.stat().st_uid for path in stepped.rglob("*")}
    assert owners == {os.getuid()}


def test_the_image_ships_no_entry_point_and_another_user_than_root(image):
    form = "{{json .Config.Entrypoint}} {{.Config.User}}"
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", form, image], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["null", "10001:10001"]


def test_a_foreign_components_folder_is_not_imported(image, tmp_path):
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").write_text("raise SystemExit('shadowed')")
    done = subprocess.run(
        [
            "docker",
            "run",
            "--rm",
            "--volume",
            f"{tmp_path}:/w",
            "--workdir",
            "/w",
            image,
            "twotower",
            "--version",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _run_pipeline(runner: str, image: str, sample: Path, folder: Path) -> tuple[dict, list[str]]:
    """The verdict of a run and the files of the version that it published."""
    command = [
        *_TWOTOWER,
        "run",
        "--ratings",
        str(sample / "ratings.csv"),
        "--movies",
        str(sample / "movies.csv"),
    ]
    command += ["--registry", str(folder / "registry"), "--work-dir", str(folder / "work")]
    command += ["--runner", runner, "--image", image]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = (folder / "registry" / "runs").iterdir()
    (version,) = (folder / "registry" / "versions").iterdir()
    files = sorted(str(path.relative_to(version)) for path in version.rglob("*"))
    return json.loads((record / "verdict.json").read_text("utf-8")), files


def test_both_runners_give_the_same_verdict_and_artifacts(image, stepped, tmp_path_factory):
    (one, one_files), (other, other_files) = (
        _run_pipeline(runner, image, stepped / "sample", tmp_path_factory.mktemp(runner))
        for runner in ("subprocess", "docker")
    )
    assert one_files == other_files
    assert one["blessed"] == other["blessed"]
    assert [rule["verdict"] for rule in one["rules"]] == [rule["verdict"] for rule in other["rules"]]
    # Threads add up in another order in each process: a few test rows may change sides of rank k.
    for name, value in one["metrics"]["challenger"].items():
        assert other["metrics"]["challenger"][name] == pytest.approx(value, abs=2e-3), name

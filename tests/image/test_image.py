"""The real image: the lines of docs/docker.md, and what a container may and may not do."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipelines.compiled import CHECKED_IN

pytestmark = pytest.mark.image

_PAGE = Path(__file__).parents[2] / "docs" / "docker.md"
_BLOCKS = re.findall(r"```bash\n(.*?)```", _PAGE.read_text("utf-8"), re.DOTALL)


def _docker(*arguments: str, **settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, **settings)


@pytest.fixture(scope="module")
def stepped(image, tmp_path_factory) -> Path:
    """A folder in which every line of the page has been run, one after the other."""
    folder = tmp_path_factory.mktemp("docker")
    variables, steps, others, *_ = _BLOCKS
    for line in [*steps.strip().splitlines(), *others.strip().splitlines()]:
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


def test_the_page_runs_every_component():
    graph = next(yaml.safe_load_all(CHECKED_IN.read_text("utf-8")))
    components = {label.removeprefix("exec-") for label in graph["deploymentSpec"]["executors"]}
    lines = "".join(_BLOCKS)
    assert components <= set(re.findall(r"^\$RUN twotower (\w+)", lines, re.MULTILINE))


def test_the_lines_of_the_page_publish_a_version(stepped):
    runs = stepped / "registry" / "runs"
    for run, outcome in (("by-hand", "published"), ("refused", "refused")):
        assert json.loads((runs / run / "run.json").read_text("utf-8"))["outcome"] == outcome


def test_what_the_lines_wrote_belongs_to_the_caller(stepped):
    owners = {path.stat().st_uid for path in stepped.rglob("*")}
    assert owners == {os.getuid()}


def test_any_user_can_run_a_step_without_a_network_or_a_place_to_write_but_the_output(
    image, small_sample, tmp_path
):
    user = os.getuid() or 4321  # root would prove nothing
    output = tmp_path / "steps"
    output.mkdir()
    if os.getuid() == 0:
        os.chown(output, user, user)
    flags = ("--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", "--user", f"{user}:{user}")
    done = _docker(
        *("run", *flags, "--volume", f"{small_sample}:/in:ro", "--volume", f"{output}:/out", image),
        *("twotower", "ingest", "--ratings", "/in/ratings.csv", "--movies", "/in/movies.csv"),
        *("--output", "/out/dataset"),
    )
    assert done.returncode == 0, done.stderr
    assert (output / "dataset" / "train.parquet").is_file()
    assert {path.stat().st_uid for path in output.rglob("*")} == {user}


def test_a_step_that_wants_more_than_its_memory_limit_is_ended_and_leaves_no_output(
    image, small_sample, tmp_path
):
    user = f"{os.getuid()}:{os.getgid()}"
    done = _docker(
        *("run", "--rm", "--memory", "60m", "--memory-swap", "60m", "--user", user),
        *("--volume", f"{small_sample}:/in:ro", "--volume", f"{tmp_path}:/out", image),
        *("twotower", "ingest", "--ratings", "/in/ratings.csv", "--movies", "/in/movies.csv"),
        *("--output", "/out/dataset"),
    )
    assert done.returncode == 137, done.stderr
    assert not (tmp_path / "dataset").exists()


def test_the_image_ships_no_entry_point_another_user_than_root_and_its_labels(image):
    done = _docker("image", "inspect", "--format", "{{json .Config}}", image)
    config = json.loads(done.stdout)
    assert config.get("Entrypoint") is None
    assert config["User"] == "10001:10001"
    labels = {name.rpartition(".")[2] for name in config["Labels"] if name.startswith("org.opencontainers.")}
    assert labels == {"title", "description", "licenses", "version", "revision"}


def test_the_image_weighs_no_more_than_the_page_says(image):
    done = _docker("image", "inspect", "--format", "{{.Size}}", image)
    (said,) = re.findall(r"weighs ([\d.]+) GB", _PAGE.read_text("utf-8"))
    assert int(done.stdout) < (float(said) + 0.1) * 1e9


def test_a_foreign_components_folder_is_not_imported(image, tmp_path):
    (tmp_path / "components").mkdir()
    (tmp_path / "components" / "__init__.py").write_text("raise SystemExit('shadowed')")
    done = _docker(
        "run", "--rm", "--volume", f"{tmp_path}:/w", "--workdir", "/w", image, "twotower", "--version"
    )
    assert done.returncode == 0, done.stderr

"""The real image: the lines of docs/docker.md, and what a container may and may not do."""

import http.client
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from pipelines.compiled import CHECKED_IN

pytestmark = pytest.mark.image

_PAGE = Path(__file__).parents[2] / "docs" / "docker.md"
_DEPLOYMENT = _PAGE.with_name("serve-deployment.yaml")
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


def test_any_user_serves_as_the_deployment_says_and_sigterm_ends_it(image, stepped, tmp_path):
    """The pod of docs/serve-deployment.yaml, as far as an engine knows its fields, asked by its probes."""
    pod = next(yaml.safe_load_all(_DEPLOYMENT.read_text("utf-8")))["spec"]["template"]["spec"]
    [container] = pod["containers"]
    keys, key = tmp_path / "keys", "k" * 32
    keys.write_text(key)
    keys.chmod(0o444)
    flags = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    user = f"4321:{pod['securityContext']['fsGroup']}"
    started = _docker(
        *("run", "--detach", *flags, "--user", user, "--memory", "2g", "--publish", "127.0.0.1::8501"),
        *("--volume", f"{stepped / 'registry'}:/data/registry:ro", "--volume", f"{keys}:/keys/keys:ro"),
        *(image, *container["command"]),
    )
    assert started.returncode == 0, started.stderr
    name = started.stdout.strip()

    def ask(path: str, headers: dict[str, str]) -> int:
        connection = http.client.HTTPConnection(_docker("port", name, "8501").stdout.strip(), timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):  # it is still loading
            return 0
        finally:
            connection.close()

    try:
        paths = [container[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")]
        deadline = time.monotonic() + 120
        while ask(paths[1], {}) != 200:
            assert time.monotonic() < deadline, _docker("logs", name)
            time.sleep(0.5)
        assert ask(paths[0], {}) == 200
        assert ask("/", {}) == 401
        assert ask("/?user=6", {"X-API-Key": key}) == 200
        assert _docker("kill", "--signal", "TERM", name).returncode == 0
        while ask(paths[1], {}) == 200:
            assert time.monotonic() < deadline + 10
        assert ask(paths[0], {}) == 200
        assert int(_docker("wait", name).stdout) in (0, 128 + 15)
        lines = [json.loads(line) for line in _docker("logs", name).stdout.splitlines()]
        assert {(line["path"], line["status"]) for line in lines} >= {("/", 401), ("/", 200), (paths[1], 503)}
    finally:
        _docker("rm", "--force", name)


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

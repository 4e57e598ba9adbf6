"""Targets: flags of a site under one name, in a file."""

import pytest
import yaml
from click.testing import CliRunner

from components.errors import UserError
from pipelines.cli import twotower
from pipelines.kubeflow import submit

_FILE = """\
[dev]
host = "HOST"
image = "r.io/twotower:1.0"
volumes = ["data:/data"]
request = "all:cpu=100m"
env = ["A=1"]
experiment = "from-the-file"

[dev.params]
ratings = "/data/ratings.csv"
registry = "/data/registry"
seed = 7
fail_when_refused = true
train_settings = {steps = 60}

[prod]
platform = "kubeflow"
host = "https://kubeflow.example.com/pipeline"

[vertex]
image = "europe-docker.pkg.dev/films/twotower:1.0"
"""


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch, tmp_path):
    """No file of whoever runs the tests."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("TWOTOWER_TARGETS", raising=False)
    monkeypatch.delenv("TWOTOWER_TARGET", raising=False)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


@pytest.fixture
def file(tmp_path, host):
    path = tmp_path / "here" / "twotower.toml"
    path.write_text(_FILE.replace("HOST", host), "utf-8")
    return path


@pytest.fixture
def call(monkeypatch, package, parameters):
    """Calls `twotower` with the small pipeline."""

    def compile_pipeline(output, pods):
        output.write_text(pods.apply(package.read_text("utf-8")), "utf-8")
        return output

    monkeypatch.setattr(submit, "compile_pipeline", compile_pipeline)
    monkeypatch.setattr(submit, "pipeline_inputs", lambda: parameters)

    def call(*words):
        result = CliRunner().invoke(twotower, words)
        if isinstance(result.exception, UserError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return call


def _documents(double):
    (package,) = double.packages.values()
    return list(yaml.safe_load_all(package))


def _pod(double):
    (pods,) = (document for document in _documents(double) if "platforms" in document)
    return pods["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-step"]


def test_a_target_makes_a_command_short(call, double, file):
    call("submit", "--target", "dev")
    (run,) = double.stores["runs"].values()
    assert run["runtime_config"]["parameters"] == {
        "ratings": "/data/ratings.csv",
        "registry": "/data/registry",
        "seed": 7,
        "fail_when_refused": True,
        "train_settings": {"steps": 60},
    }
    (experiment,) = double.stores["experiments"].values()
    assert experiment["display_name"] == "from-the-file"
    assert [mount["mountPath"] for mount in _pod(double)["pvcMount"]] == ["/data"]
    assert _documents(double)[0]["root"]["inputDefinitions"]["parameters"]["image"]["defaultValue"] == (
        "r.io/twotower:1.0"
    )


def test_flags_hold_over_the_target_and_repeatable_ones_add_to_it(call, double, file, monkeypatch):
    monkeypatch.setenv("TWOTOWER_TARGET", "dev")
    monkeypatch.setenv("TWOTOWER_HOST", "http://another.example")
    call("submit", "--experiment", "mine", "--volume", "more:/more", "--env", "A=2", "--param", "seed=8")
    (run,) = double.stores["runs"].values()
    assert (run["runtime_config"]["parameters"]["seed"], len(double.stores["runs"])) == (8, 1)
    (experiment,) = double.stores["experiments"].values()
    assert experiment["display_name"] == "mine"
    assert [mount["mountPath"] for mount in _pod(double)["pvcMount"]] == ["/data", "/more"]
    container = _documents(double)[0]["deploymentSpec"]["executors"]["exec-step"]["container"]
    assert {"name": "A", "value": "2"} in container["env"]
    assert container["resources"]["resourceCpuRequest"] == "100m"


def test_commands_that_send_nothing_take_the_server_only(call, double, file):
    assert "no schedules" in call("schedule", "list", "--target", "dev").stdout


def test_without_a_target_the_file_is_not_read(call, double, host, file):
    file.write_text("not TOML", "utf-8")
    call("schedule", "list", "--host", host)


def test_the_file_is_here_or_in_config_or_where_the_variable_says(call, double, file, tmp_path, monkeypatch):
    config = tmp_path / "home" / ".config" / "twotower.toml"
    config.parent.mkdir(parents=True)
    file.rename(config)
    call("schedule", "list", "--target", "dev")
    config.rename(tmp_path / "team.toml")
    with pytest.raises(UserError, match=r"--target dev: there is no twotower.toml here or in ~/.config"):
        call("schedule", "list", "--target", "dev")
    monkeypatch.setenv("TWOTOWER_TARGETS", str(tmp_path / "team.toml"))
    call("schedule", "list", "--target", "dev")
    monkeypatch.setenv("TWOTOWER_TARGETS", str(tmp_path / "absent.toml"))
    with pytest.raises(UserError, match=r"TWOTOWER_TARGETS .*absent.toml: no such file"):
        call("schedule", "list", "--target", "dev")


def test_a_file_that_the_target_names_lies_beside_it(call, double, file):
    (file.parent / "token").write_text("hush", "utf-8")
    file.write_text(file.read_text("utf-8").replace("[dev]", '[dev]\ntoken_file = "token"'), "utf-8")
    double.token = "hush"
    call("schedule", "list", "--target", "dev")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[dev]\nhots = "x"', r"twotower.toml \[dev\] hots: no such flag; did you mean host\?"),
        ('[dev]\ntoken = "x"', "token: no secret belongs into this file; name a file with it, as token_file"),
        ("[dev]\nvolumes = [1]", "volumes: write a list of texts in quotes"),
        ("[dev]\nhost = 1", "host: write a text in quotes"),
        ('[dev]\nplatform = "aws"', "platform: choose one of kubeflow, vertex"),
        ("[dev]\nparams = 1", "params: write a table"),
        ('host = "x"', "twotower.toml host: it is in no table"),
        ("[dev", "twotower.toml: cannot be read as TOML"),
        ("[prod]", "--target dev: twotower.toml has no such table; it has prod"),
        ('[dev]\nvolumes = ["a.b:/data"]', "--volume a.b: Kubeflow names the pod's volume after it"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(call, double, file, text, says):
    file.write_text(text, "utf-8")
    with pytest.raises(UserError, match=says) as refusal:
        call("submit", "--target", "dev")
    assert "\n" not in str(refusal.value)
    assert double.requests == []


def test_a_target_of_vertex_is_none_of_kubeflow(call, double, file):
    with pytest.raises(UserError, match="--target vertex: it is for Vertex AI and not for Kubeflow"):
        call(
            "submit", "--target", "vertex", "--param", "ratings=gs://b/r.csv", "--param", "registry=gs://b/r"
        )
    assert double.requests == []

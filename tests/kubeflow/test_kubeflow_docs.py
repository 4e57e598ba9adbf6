"""The documentation of the Kubeflow commands: every line of it can be typed."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig
from step_pod import restricted

from pipelines.cli import twotower
from pipelines.compiled import pipeline_inputs
from pipelines.kubeflow.access import COOKIES, TOKEN
from pipelines.kubeflow.options import FILE_VARIABLE, connection_options, load_target
from pipelines.kubeflow.submit import parse_arguments
from pipelines.kubeflow.trigger import parse_trigger
from pipelines.resources import REQUESTS
from pipelines.training import NAME

_DOCS = Path(__file__).parents[2] / "docs"
_PAGES = [_DOCS / "kubeflow.md", _DOCS / "troubleshooting.md"]


def _commands():
    """The lines of twotower in the blocks of the pages."""
    for page in _PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            yield from (line for line in block.splitlines() if line.startswith("twotower "))


def _parsed(words):
    """The innermost command that `words` call, and its flags; raises on a word that does not exist."""
    command, context = twotower, click.Context(twotower, **twotower.context_settings)
    while isinstance(command, click.Group):
        name, command, words = command.resolve_command(context, words)
        context = click.Context(command, info_name=name)
    return command, command.make_context(command.name, list(words)).params


def _target(name, folder, monkeypatch):
    """A target of the page's file."""
    (text,) = re.findall(r"```toml\n(.*?)```", _PAGES[0].read_text("utf-8"), re.DOTALL)
    (folder / "twotower.toml").write_text(text, "utf-8")
    monkeypatch.setenv(FILE_VARIABLE, str(folder / "twotower.toml"))
    return load_target(name)


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_the_targets_of_the_page_can_be_read(name, tmp_path, monkeypatch):
    target = _target(name, tmp_path, monkeypatch)
    assert target.flags["host"].startswith("http")
    assert "registry" in target.params


@pytest.mark.parametrize("line", list(_commands()))
def test_every_line_can_be_typed(line, tmp_path, monkeypatch):
    command, flags = _parsed(shlex.split(line, comments=True)[1:])
    if "texts" in flags:
        named = re.search(r"--target (\w+)", line)
        params = _target(named[1], tmp_path, monkeypatch).params if named else {}
        texts = [f"{name}={value}" for name, value in params.items()]
        assert parse_arguments([*texts, *flags["texts"]], pipeline_inputs())
    if command.name == "create":
        assert parse_trigger(flags["cron"], flags["every"])


def test_the_pages_have_lines_to_type():
    assert len(list(_commands())) > 10


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_flag_and_verb_that_a_page_names_exists(page):
    text = page.read_text("utf-8")
    groups = {name: twotower.get_command(None, name).commands for name in ("schedule", "cluster")}
    commands = [
        twotower.get_command(None, name) for name in ("submit", "upload", "compile", "doctor", "serve")
    ]
    flags = {
        flag
        for command in (*commands, *groups["schedule"].values(), *groups["cluster"].values())
        for parameter in command.params
        for flag in (*parameter.opts, *parameter.secondary_opts)
    }
    of_ours = set(re.findall(r"`(--[a-z0-9-]+)", text))
    assert of_ours <= flags
    for name, group in groups.items():
        assert set(re.findall(rf"twotower {name} ([a-z-]+)", text)) <= set(group)
    inputs = set(re.findall(r"--param\s+([a-z_]+)=", text))
    assert inputs <= set(pipeline_inputs())


def test_every_variable_that_a_page_names_is_read():
    def command(**_):
        """Stands for any."""

    read = {TOKEN, COOKIES, "TWOTOWER_IMAGE", FILE_VARIABLE}
    for parameter in click.command()(connection_options(command)).params:
        read |= set(parameter.envvar if isinstance(parameter.envvar, list) else [parameter.envvar])
    for page in _PAGES:
        assert set(re.findall(r"TWOTOWER_[A-Z_]+", page.read_text("utf-8"))) <= read


@pytest.mark.parametrize("name", ["submit", "upload", "doctor", "compile"])
def test_every_flag_has_a_help_text(name):
    assert _silent(twotower.get_command(None, name)) == []


@pytest.mark.parametrize("group", ["schedule", "cluster"])
def test_every_flag_of_every_command_of_a_group_has_a_help_text(group):
    for command in twotower.get_command(None, group).commands.values():
        assert _silent(command) == []
        assert command.help


def _silent(command):
    return [p.opts for p in command.params if p.param_type_name == "option" and not p.help]


def test_the_volume_is_a_claim_and_a_pod_that_mounts_it():
    claim, pod = yaml.safe_load_all((_DOCS / "volume.yaml").read_text("utf-8"))
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (mount,) = pod["spec"]["containers"][0]["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": "/data"}


def test_the_volume_is_given_to_the_user_of_the_image_and_the_group_of_its_pods():
    _, pod = yaml.safe_load_all((_DOCS / "volume.yaml").read_text("utf-8"))
    user = re.search(r"^USER (\d+):", (_DOCS.parent / "Dockerfile").read_text("utf-8"), re.MULTILINE)[1]
    (prepare,) = pod["spec"]["initContainers"]
    assert prepare["command"][-1] == f"chown {user}:0 /data && chmod 2775 /data"
    files = pod["spec"]["containers"][0]["securityContext"]
    assert (str(files["runAsUser"]), files["runAsGroup"]) == (user, 0)
    assert pod["spec"]["securityContext"]["fsGroup"] == 0
    assert restricted(pod) == []  # but for `prepare`, which the page says to leave out there


def test_the_page_has_what_each_step_asks_for():
    rows = re.findall(
        r"^\| `(\w+)` \| (\S+) \| (\S+) \| (\S+) \| (\d+) \|$", _PAGES[0].read_text("utf-8"), re.MULTILINE
    )
    assert rows == [
        (name, request.cpu, request.memory, f"{request.hours:g}", str(request.retries))
        for name, request in REQUESTS.items()
    ]


def test_the_limits_give_disk_to_containers_that_ask_for_none():
    limits = yaml.safe_load((_DOCS / "limits.yaml").read_text("utf-8"))
    assert (limits["apiVersion"], limits["kind"]) == ("v1", "LimitRange")
    (limit,) = limits["spec"]["limits"]
    assert limit["type"] == "Container"
    assert list(limit["defaultRequest"]) == ["ephemeral-storage"]


def test_kfp_still_has_no_setting_for_disk():
    """Where this fails, the steps can ask for disk themselves, and limits.yaml has had its day."""
    resources = PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec.DESCRIPTOR.fields_by_name
    assert not [name for name in resources if "storage" in name]


def test_the_pipeline_is_uploaded_under_its_own_name():
    submit = twotower.get_command(None, "submit")
    (option,) = (parameter for parameter in submit.params if parameter.name == "pipeline")
    assert option.default == NAME


@pytest.mark.process
def test_help_of_the_commands_of_a_group_waits_for_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from pipelines.cli import twotower; "
        "result = CliRunner().invoke(twotower, ['schedule', 'create', '--help']); "
        "sys.exit(result.exit_code or any(m in sys.modules for m in ('kfp', 'tensorflow', 'kubernetes')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""The commands, from the flags to the exit status."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner
from kubeflow_double import status
from werkzeug import Response

from components.errors import UserError
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from pipelines.cli import twotower
from pipelines.kubeflow import submit

_INPUTS = [
    "--param",
    "ratings=gs://b/r.csv",
    "--param",
    "registry=gs://b/registry",
    "--image",
    "r.io/twotower:1.0",
]


@pytest.fixture(autouse=True)
def _small_pipeline(monkeypatch, package, parameters):
    """The small pipeline in place of this project's own."""

    def compile_pipeline(output, pods):
        output.write_text(pods.apply(package.read_text("utf-8")), "utf-8")
        return output

    monkeypatch.setattr(submit, "compile_pipeline", compile_pipeline)
    monkeypatch.setattr(submit, "pipeline_inputs", lambda: parameters)


@pytest.fixture
def call(host, double):
    """Calls `twotower` on the double, which has the time of this machine."""
    double.clock = datetime.now(UTC) - timedelta(minutes=10)

    def call(*words, expect=0):
        result = CliRunner().invoke(twotower, [*words, "--host", host])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == expect, result.output
        return result

    return call


def test_submit_prints_the_runs_page(call, double, host):
    result = call("submit", *_INPUTS, "--param", "seed=7", "--volume", "data:/data")
    (run,) = double.stores["runs"].values()
    assert result.stdout == f"{host}/#/runs/details/{run['run_id']}\n"
    assert run["runtime_config"]["parameters"] == {
        "ratings": "gs://b/r.csv",
        "registry": "gs://b/registry",
        "seed": 7,
    }
    (package,) = double.packages.values()
    assert "pvcMount" in package
    assert "defaultValue: r.io/twotower:1.0" in package


def test_submit_says_when_it_found_a_run(call, double):
    call("submit", *_INPUTS)
    assert "--again starts another" in call("submit", *_INPUTS).stderr
    assert len(double.stores["runs"]) == 1
    call("submit", *_INPUTS, "--again")
    assert len(double.stores["runs"]) == 2


@pytest.mark.parametrize(
    "words",
    [
        ["submit", *_INPUTS, "--param", "sed=1"],
        ["submit", *_INPUTS, "--volume", "data"],
        ["submit", "--param", "registry=r"],
        ["submit", *_INPUTS[:-1], "r.io/twotower:latest"],
        ["submit", *_INPUTS, "--param", "image=r.io/twotower"],
        ["schedule", "create", "nightly", *_INPUTS, "--cron", "0 3 * * *"],
        ["schedule", "create", "nightly", *_INPUTS],
        ["schedule", "create", "nightly", *_INPUTS, "--every", "6h", "--end", "2020-01-01"],
        ["schedule", "create", "nightly", *_INPUTS, "--every", "6h", "--start", "soon"],
        ["schedule", "create", "n" * 129, *_INPUTS, "--every", "6h"],
        ["upload", "--image", "r.io/twotower:latest"],
        ["upload", "--pipeline", "p" * 129],
    ],
)
def test_a_mistake_is_found_before_anything_is_sent(call, double, words):
    with pytest.raises(UserError):
        call(*words)
    assert double.requests == []


@pytest.mark.parametrize(
    "words",
    [
        ["submit", *_INPUTS],
        ["submit", *_INPUTS, "--no-upload"],
        ["upload"],
        ["schedule", "create", "nightly", *_INPUTS, "--every", "6h"],
        ["schedule", "resume", "nightly"],
        ["schedule", "run-now", "nightly"],
    ],
)
def test_a_server_that_is_too_old_is_sent_nothing(call, double, words):
    double.release = "2.14.4"
    with pytest.raises(UserError, match=r"2\.14\.4 is too old"):
        call(*words)
    assert {path.rpartition("/")[2] for _, path in double.requests} == {"healthz"}


# No server ever sets CANCELED: a cancelled run ends as FAILED.
@pytest.mark.parametrize(
    ("history", "says", "code"),
    [
        (["RUNNING", "SUCCEEDED"], "succeeded", 0),
        (["RUNNING", "FAILED"], "failed", 1),
        (["RUNNING", "CANCELING", "FAILED"], "cancelled", 130),
        (["RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED"], "failed", 1),
    ],
)
def test_wait_exits_by_how_the_run_ended(call, double, history, says, code):
    call("submit", *_INPUTS)
    (run,) = double.stores["runs"].values()

    def ended(_):
        for state in history:
            double.move(run, state)
        return Response(json.dumps(run), content_type="application/json")

    double.fail("GET", "/runs/", ended)
    result = call("submit", *_INPUTS, "--wait", expect=code)
    assert f"{says}: " in result.stdout


def test_a_wait_that_takes_too_long_ends_with_the_reason_and_leaves_the_run(call, double):
    result = call("submit", *_INPUTS, "--wait", "--timeout", "0s", expect=124)
    assert "--timeout 0s: the run is pending and goes on" in result.stderr
    (run_id,) = double.stores["runs"]
    assert f"`twotower cluster wait {run_id}` follows it again" in result.stderr
    assert [run["state"] for run in double.stores["runs"].values()] == ["PENDING"]


@pytest.mark.parametrize("words", [["--timeout", "2h"], ["--wait", "--timeout", "soon"]])
def test_a_timeout_that_cannot_be_meant_is_found_before_anything_is_sent(call, double, words):
    with pytest.raises(UserError, match="--timeout"):
        call("submit", *_INPUTS, *words)
    assert double.requests == []


def test_a_run_that_is_being_cancelled_is_not_found_as_the_one_that_was_asked_for(call, double):
    call("submit", *_INPUTS)
    (run,) = double.stores["runs"].values()
    double.move(run, "CANCELING")
    call("submit", *_INPUTS)
    assert len(double.stores["runs"]) == 2


def test_wait_prints_the_verdict_from_the_run_record(call, double, tmp_path):
    registry = tmp_path / "registry"
    inputs = ["--param", "ratings=gs://b/r.csv", "--param", f"registry={registry}", "--image", "r.io/t:1"]
    call("submit", *inputs)
    (run,) = double.stores["runs"].values()
    record = RunRecord(run_id=run["run_id"], outcome="refused", reason="RMSE is 1.2, above 1.0")
    Registry(str(registry)).runs.write(record, {})
    double.fail("GET", "/runs/", lambda _: _ended(run))
    assert "refused: RMSE is 1.2, above 1.0" in call("submit", *inputs, "--wait").stdout


def _ended(run):
    run["state"] = "SUCCEEDED"
    return Response(json.dumps(run), content_type="application/json")


def test_wait_says_where_the_verdict_is_when_it_cannot_be_read_from_here(call, double):
    inputs = [
        "--param",
        "ratings=/data/r.csv",
        "--param",
        "registry=/no/such/registry",
        "--image",
        "r.io/t:1",
    ]
    call("submit", *inputs)
    (run,) = double.stores["runs"].values()
    double.fail("GET", "/runs/", lambda _: _ended(run))
    output = call("submit", *inputs, "--wait").stdout
    assert f"/no/such/registry/runs/{run['run_id']}" in output


def _heed_interrupts():
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.process
def test_an_interrupted_wait_leaves_the_run_and_says_so(double, host):
    command = [sys.executable, "-m", "pipelines.cli", "submit", *_INPUTS, "--wait", "--host", host]
    # Tests in the background were told by the shell to ignore the signal, and would pass that on.
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, preexec_fn=_heed_interrupts) as process:
        deadline = time.monotonic() + 60
        while not any(path.startswith("/apis/v2beta1/runs/") for _, path in double.requests):
            assert time.monotonic() < deadline, process.communicate(process.kill())
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "the run goes on" in errors
    assert [run["state"] for run in double.stores["runs"].values()] == ["PENDING"]


def test_the_life_of_a_schedule(call, double):
    created = call("schedule", "create", "nightly", *_INPUTS, "--cron", "0 0 3 * * *").stdout
    assert created.startswith("schedule nightly created: 0 0 3 * * *, version 0.")
    assert created.count(" UTC  =  ") == 3
    assert "next, in the cluster's time zone (UTC unless set):" in created
    assert (
        "is as asked already"
        in call("schedule", "create", "nightly", *_INPUTS, "--cron", "0 0 3 * * *").stdout
    )
    changed = call("schedule", "create", "nightly", *_INPUTS, "--every", "6h", "--skip-unchanged").stdout
    assert "replaced: every 6h" in changed
    (stored,) = double.stores["recurringRuns"].values()
    assert stored["runtime_config"]["parameters"]["skip_unchanged"] is True
    listed = " ".join(call("schedule", "list").stdout.split())
    assert "nightly on every 6h" in listed
    assert "r.io/twotower:1.0" in listed
    assert "no run yet" in listed
    call("schedule", "pause", "nightly")
    assert "nightly (off)" in call("schedule", "show", "nightly").stdout
    call("schedule", "resume", "nightly")
    shown = call("schedule", "show", "nightly").stdout
    assert "nightly (on)" in shown
    assert shown.count("next ") == 3
    assert "gs://b/r.csv" in shown
    assert "/#/runs/details/" in call("schedule", "run-now", "nightly").stdout
    call("schedule", "delete", "nightly")
    assert double.schedules("nightly") == []
    assert "no schedules" in call("schedule", "list").stdout


@pytest.mark.parametrize(
    ("words", "says", "runs"),
    [
        ([], "a run starts at once", 1),
        (["--skip-missed"], "no run starts for it", 0),
    ],
)
def test_resume_says_what_becomes_of_a_time_that_was_missed(call, double, words, says, runs):
    double.clock = datetime.now(UTC) - timedelta(hours=30)
    call("schedule", "create", "nightly", *_INPUTS, "--cron", "0 0 3 * * *", "--volume", "data:/data")
    call("schedule", "pause", "nightly")
    shown = " ".join(call("schedule", "show", "nightly").stdout.split())
    assert "missed " in shown
    assert "unless by --skip-missed" in shown
    assert "volumes data:/data" in shown
    double.clock = datetime.now(UTC)
    output = call("schedule", "resume", "nightly", *words).stdout
    assert "schedule nightly is on\n  it missed " in output
    assert " 03:00:00 UTC  =  " in output
    assert says in output
    assert output.count(" UTC  =  ") == 4
    assert len(double.stores["runs"]) == runs
    assert [one["status"] for one in double.schedules("nightly")] == ["ENABLED"]


def test_create_says_so_if_it_resumes_one_that_missed_a_time(call, double):
    create = ["schedule", "create", "nightly", *_INPUTS, "--cron", "0 0 3 * * *"]
    double.clock = datetime.now(UTC) - timedelta(hours=30)
    assert "it was off" not in call(*create).stdout
    call("schedule", "pause", "nightly")
    double.clock = datetime.now(UTC)
    output = call(*create).stdout
    assert "is as asked already" in output
    assert "it was off: a time that it missed starts a run at once" in output
    assert len(double.stores["runs"]) == 1


def test_an_upload_without_the_volumes_of_the_one_before_shows(call):
    assert call("upload", "--volume", "data:/data").stdout.startswith("version 0.")
    assert "its volumes: none, before: data:/data\n" in call("upload").stdout


def test_a_schedule_has_a_span_and_may_catch_up(call, double):
    span = ["--start", "2126-12-01", "--end", "2127-01-01T00:00+01:00", "--catch-up"]
    created = call("schedule", "create", "nightly", *_INPUTS, "--every", "6h", *span).stdout
    assert "every 6h from 2126-12-01 00:00 UTC until 2126-12-31 23:00 UTC" in created
    assert "2126-12-01 06:00:00 UTC" in created
    (stored,) = double.stores["recurringRuns"].values()
    assert stored["trigger"]["periodic_schedule"]["start_time"].startswith("2126-12-01T00:00:00")
    assert not stored["no_catchup"]
    assert "catching up" in call("schedule", "list").stdout


def test_programs_read_schedules_as_json(call):
    assert json.loads(call("schedule", "list", "--json").stdout) == []
    call("schedule", "create", "nightly", *_INPUTS, "--every", "6h", "--volume", "data:/data")
    for words in (["list"], ["show", "nightly"]):
        (one,) = json.loads(call("schedule", *words, "--json").stdout)
        assert (one["name"], one["state"], one["volumes"]) == ("nightly", "on", ["data:/data"])
        assert len([datetime.fromisoformat(time) for time in one["next"]]) == 3


def test_times_are_in_the_time_zone_that_the_cluster_names(call, cluster):
    variable = {"name": "CRON_SCHEDULE_TIMEZONE", "value": "Asia/Kolkata"}
    spec = {"template": {"spec": {"containers": [{"env": [variable]}]}}}
    cluster.add("kubeflow", "deployments", "ml-pipeline-scheduledworkflow", spec=spec)
    created = call("schedule", "create", "nightly", *_INPUTS, "--cron", "0 0 3 * * *").stdout
    assert "next, in Asia/Kolkata, as set in the context kind:" in created
    assert created.count(" 03:00:00 IST  =  ") == 3
    assert "Asia/Kolkata" in call("schedule", "list").stdout
    assert "Asia/Kolkata" in call("schedule", "show", "nightly").stdout


def test_a_new_version_comes_to_a_schedule_by_upload_alone(call, double):
    always = ["schedule", "create", "nightly", *_INPUTS, "--every", "6h", "--always-latest"]
    assert "the newest version of twotower-training" in call(*always, "--volume", "data:/data").stdout
    submitted = call("submit", *_INPUTS, "--volume", "mine:/data")
    assert "schedule nightly always runs the newest version of twotower-training" in submitted.stderr
    assert "volumes               data:/data" in call("schedule", "show", "nightly").stdout
    brought = call("upload", "--image", "r.io/twotower:1.1", "--volume", "data:/data").stdout
    assert "of twotower-training is the newest; its volumes: data:/data, before: data:/data\n" in brought
    assert "schedules that run it from now on: nightly" in brought
    shown = call("schedule", "show", "nightly").stdout
    assert brought.split()[1] in shown
    assert "another graph than this project's: `twotower upload`" in shown
    assert {one["display_name"] for one in double.stores["pipelines"].values()} == {
        "twotower-training",
        "twotower-training-submit",
    }


def test_always_latest_is_refused_by_an_older_server_before_anything_is_sent(call, double):
    double.release = "2.16.1"
    with pytest.raises(UserError, match=r"--always-latest: Kubeflow Pipelines 2\.16\.1 cannot"):
        call("schedule", "create", "nightly", *_INPUTS, "--every", "6h", "--always-latest")
    assert {method for method, _ in double.requests} == {"GET"}


@pytest.mark.parametrize("verb", ["show", "pause", "resume", "delete", "run-now"])
def test_every_verb_names_what_there_is_instead(call, verb):
    with pytest.raises(UserError, match="no schedule is called weekly; there are: none"):
        call("schedule", verb, "weekly")


def test_doctor_exits_by_what_it_found(call, double, monkeypatch, tmp_path):
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    result = call("doctor", "--volume", "data:/data")
    assert "✓ server" in result.stdout
    assert "? volume" in result.stdout
    double.fail("GET", "experiments", status(401))
    assert "✗ authentication" in call("doctor", expect=1).stdout


@pytest.mark.process
def test_a_wrong_host_is_one_line_and_status_2():
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "schedule", "list", "--host", "http://127.0.0.1:1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --host http://127.0.0.1:1: nothing answers there")
    assert done.stderr.count("\n") == 1


def test_no_secret_of_the_environment_reaches_output_or_package(call, double, monkeypatch):
    monkeypatch.setenv("TWOTOWER_TOKEN", "hush-hush")
    double.token = "hush-hush"
    result = call("submit", *_INPUTS, "--webhook-secret", "chat")
    double.token = "another"
    with pytest.raises(UserError) as refusal:
        call("submit", *_INPUTS)
    assert "hush" not in f"{result.output}{refusal.value}{''.join(double.packages.values())}{double.stores}"

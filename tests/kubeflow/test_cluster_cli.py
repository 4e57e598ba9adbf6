"""The commands `cluster …`, and what `submit --wait` prints at the end."""

import json

import pytest
from click.testing import CliRunner
from kubeflow_runs import task

from components.errors import UserError
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from pipelines.cli import twotower
from pipelines.kubeflow import client, follow, waiting

_LOG = "start\nerror: gs://b/r.csv: no such file\n"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(client, "_PAUSES", ())
    monkeypatch.setattr(follow, "_SECONDS_BETWEEN_LOOKS", 0.01)


@pytest.fixture
def call(host):
    """Calls `twotower cluster` on the double."""

    def call(*words, expect=0):
        result = CliRunner().invoke(twotower, ["cluster", *words, "--host", host])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == expect, result.output
        return result

    return call


@pytest.fixture
def run(double, tmp_path):
    """A run whose ingest failed; its registry is on this machine."""
    registry = str(tmp_path / "registry")
    parameters = {"parameters": {"registry": registry}}
    run = double.add_run(
        display_name="nightly 1", experiment_id="e", runtime_config=parameters, state="RUNNING"
    )
    run["run_details"] = {
        "task_details": [
            task("root-driver", "SUCCEEDED", "w-1"),
            task("ingest", "FAILED", "w-2", "w-3", start=10, end=20),
            task("exit-handler-1", "FAILED", start=5, end=20),
            task("notify", "SUCCEEDED", "w-9", start=21, end=30),
        ]
    }
    double.move(run, "FAILED")
    record = RunRecord(run_id=run["run_id"], outcome="failed", reason="failed or cancelled")
    Registry(registry).runs.write(record, {})
    double.archived[run["run_id"], "w-3"] = _LOG
    return run


def test_runs_lists_the_newest_in_words(call, double, run):
    assert "no runs" not in call("runs").stdout
    other = double.add_run(display_name="by hand", experiment_id="e", state="RUNNING")
    lines = call("runs").stdout.splitlines()
    assert [line.split()[0] for line in lines if "run-" in line] == [other["run_id"], run["run_id"]]
    assert "nightly 1" in lines[-1]
    assert "failed" in lines[-1]
    assert "running" in "".join(lines)
    assert len(call("runs", "--limit", "1").stdout.splitlines()) < len(lines)


def test_runs_says_cancelled_and_writes_that_into_the_record(call, double, run, tmp_path):
    run["state_history"][-1:] = []
    double.move(run, "CANCELING")
    double.move(run, "FAILED")
    (listed,) = json.loads(call("runs", "--json").stdout)
    assert listed["state"] == "cancelled"
    assert listed["run_id"] == run["run_id"]
    assert listed["url"].endswith(run["run_id"])
    assert Registry(str(tmp_path / "registry")).runs.read(run["run_id"]).outcome == "cancelled"


def test_runs_goes_on_where_a_registry_cannot_be_reached(call, double, run):
    run["runtime_config"] = {"parameters": {"registry": "ftp://films"}}
    double.move(run, "CANCELING")
    double.move(run, "FAILED")
    result = call("runs", "--json")
    assert "is not written from here: ftp://films: ftp:// is not supported" in result.stderr
    assert json.loads(result.stdout)[0]["state"] == "cancelled"


def test_no_runs_names_the_command_that_starts_one(call):
    assert "no runs; `twotower submit` starts one" in call("runs").stdout
    assert json.loads(call("runs", "--json").stdout) == []


def test_cancel_waits_for_the_end_and_records_it(call, double, run, tmp_path):
    double.move(run, "RUNNING")
    assert call("cancel", "nightly 1").stdout.startswith("cancelled: http")
    assert [past["state"] for past in run["state_history"]][-2:] == ["CANCELING", "FAILED"]
    assert Registry(str(tmp_path / "registry")).runs.read(run["run_id"]).outcome == "cancelled"
    with pytest.raises(UserError, match="has ended already: cancelled"):
        call("cancel", "nightly 1")


def test_cancel_may_leave_before_the_end(call, double, run):
    double.move(run, "RUNNING")
    answer = json.loads(call("cancel", run["run_id"], "--no-wait", "--json").stdout)
    assert answer["state"] == "being cancelled"


def test_logs_are_those_of_the_failed_step(call, run):
    result = call("logs", "nightly 1")
    assert result.stdout == _LOG
    assert result.stderr == "# ingest, from the artifact store\n"
    (log,) = json.loads(call("logs", "nightly 1", "--lines", "1", "--json").stdout)
    assert log == {
        "run_id": run["run_id"],
        "step": "ingest",
        "source": "the artifact store",
        "lines": ["error: gs://b/r.csv: no such file"],
    }


def test_logs_of_a_run_in_progress_are_those_of_the_running_step(call, double, run):
    double.move(run, "RUNNING")
    run["run_details"]["task_details"][1]["state"] = "RUNNING"
    assert call("logs", "nightly 1").stdout == _LOG


def test_logs_say_what_was_tried(call, double, run):
    with pytest.raises(UserError, match="the log of notify is not read from here"):
        call("logs", "nightly 1", "--step", "notify")
    run["run_details"]["task_details"] = []
    with pytest.raises(UserError, match="no step of the run run-0001 failed or runs; name one with --step"):
        call("logs", "nightly 1")


def test_retry_goes_on_with_the_same_run(call, double, run):
    result = json.loads(call("retry", "nightly 1", "--json").stdout)
    assert (result["run_id"], result["state"]) == (run["run_id"], "running")
    with pytest.raises(UserError, match="goes on"):
        call("retry", "nightly 1")


def test_wait_exits_by_how_the_run_ends(call, double, run):
    assert "failed: Ingest the ratings" in call("wait", "nightly 1", expect=1).stdout
    call("retry", "nightly 1")
    assert (
        "--timeout 0s: the run is running" in call("wait", "nightly 1", "--timeout", "0s", expect=124).stderr
    )


def test_the_end_of_a_failed_run_names_the_step_and_shows_its_log(kubeflow, double, run, capsys):
    # As KFP 2.17 and Argo 4 surround what the step prints.
    before = (
        "I1129 11:48:42.649159      16 main.go:67] Setting log level to: '1'\n"
        "[KFP Executor 2026-11-29 11:48:42,645 INFO]: Looking for component `ingest`\n"
        '{\n    "inputs": {\n    }\n}\n'
        "twotower: to repeat this step: twotower ingest --ratings gs://b/r.csv\n"
    )
    after = (
        "F1129 11:48:42.850717      16 main.go:59] failed to execute component: exit status 1\n"
        'time=2026-11-29T11:48:43.160Z level=INFO msg="sub-process exited" argo=true error="exit status 1"\n'
        "Error: exit status 1\n"
    )
    double.archived[run["run_id"], "w-3"] = before + _LOG + after
    assert waiting.wait_for(kubeflow, run["run_id"], None) == 1
    shown = capsys.readouterr().out
    assert shown.splitlines() == [
        "failed: Ingest the ratings",
        "  the end of its log, from the artifact store:",
        "  | start",
        "  | error: gs://b/r.csv: no such file",
        "failed: failed or cancelled",
        f"failed: {kubeflow.run_url(run['run_id'])}",
    ]


def test_the_log_of_a_step_ends_before_its_outcome(kubeflow, double, run, capsys):
    outcome = '{"step": "ingest", "status": "mistake"}'
    document = "I1129 11:59:19.318290      14 launcher_v2.go:1230] ExecutorOutput: {\n  }\n}\n"
    double.archived[run["run_id"], "w-3"] = f"{document}{_LOG}{outcome}\n{document}"
    waiting.wait_for(kubeflow, run["run_id"], None)
    *_, last, _, _ = capsys.readouterr().out.splitlines()
    assert last == "  | error: gs://b/r.csv: no such file"


def test_a_step_that_printed_nothing_shows_what_the_launcher_says(kubeflow, double, run, capsys):
    double.archived[run["run_id"], "w-3"] = "F1129 11:48:42.850717      16 main.go:59] no bucket\n"
    waiting.wait_for(kubeflow, run["run_id"], None)
    assert "  | F1129 11:48:42.850717      16 main.go:59] no bucket\n" in capsys.readouterr().out


def test_the_end_of_a_run_whose_driver_failed_has_the_reason(kubeflow, double, cluster, run, capsys):
    run["run_details"] = {"task_details": [task("ingest-driver", "FAILED"), task("root", "FAILED")]}
    message = "Error (exit code 1): failed to save outputs: the object store does not answer"
    node = {"name": "w(0).ingest-driver(2)", "type": "Pod", "phase": "Error", "message": message}
    labels = {"pipeline/runid": run["run_id"]}
    cluster.add("kubeflow", "workflows", "w", metadata={"labels": labels}, status={"nodes": {"w-2": node}})
    waiting.wait_for(kubeflow, run["run_id"], None)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == f"failed: Ingest the ratings (its driver): {message}"
    assert "the log of ingest-driver is not read from here" in second
    assert "(kubeconfig: the context kind has no pod of this run; artifact store: " in second
    assert f"see `kubectl logs --namespace kubeflow --selector pipeline/runid={run['run_id']}" in second

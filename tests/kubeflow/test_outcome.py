"""Outcome of a run: from the registry, else from the log of `notify`, else where to look."""

import json

import pytest
from kubeflow_runs import task

from components.errors import UserError
from components.publish.step import notify
from components.registry.registry import Registry
from components.registry.run_records import RunRecord
from components.step import last_outcome
from pipelines.kubeflow.outcome import mark_cancelled, read_outcome
from pipelines.kubeflow.runs import read_run
from pipelines.kubeflow.step_pods import RunPods

_CANCELLED = ("RUNNING", "CANCELING", "FAILED")
_UNKNOWN = "the run did not reach its verdict (failed or cancelled); see the log of its last step"


@pytest.fixture
def run(double, tmp_path):
    """A run that has ended; its registry is on this machine if there is one."""
    run = double.add_run(display_name="a run", experiment_id="e", state="RUNNING")
    run["runtime_config"] = {"parameters": {"registry": str(tmp_path / "registry")}}
    run["run_details"] = {"task_details": [task("notify", "SUCCEEDED", "w-9")]}
    double.move(run, "SUCCEEDED")
    return run


def _cancel(double, run):
    run["state_history"].clear()
    for state in _CANCELLED:
        double.move(run, state)


def _record(tmp_path, run, outcome, reason="why", **fields):
    record = RunRecord(run_id=run["run_id"], outcome=outcome, reason=reason, **fields)
    Registry(str(tmp_path / "registry")).runs.write(record, {})


def _text(kubeflow, run):
    pods = RunPods(kubeflow, run["run_id"], {"notify": "Notify", "publish": "Publish", "batch": "Recommend"})
    return read_outcome(read_run(kubeflow, run["run_id"]), pods).text


def test_the_registry_comes_first(kubeflow, double, run, tmp_path):
    _record(tmp_path, run, "published", version="v7")
    assert _text(kubeflow, run) == "published v7: why"
    assert not [path for _, path in double.requests if "artifacts" in path]


@pytest.fixture
def log_of_notify(run, tmp_path, capfd, monkeypatch):
    """Log of `notify` on the cluster, where the registry is."""
    monkeypatch.setenv("_KFP_RUNTIME", "true")

    def log(outcome, **fields):
        registry = str(tmp_path / "volume" / "registry")
        if outcome:
            record = RunRecord(run_id=run["run_id"], outcome=outcome, reason="why", **fields)
            Registry(registry).runs.write(record, {})
        notify(registry=registry, run_id=run["run_id"])
        return capfd.readouterr().err + "F1129 12:00:00 launcher.go:99] KFP's own last line\n"

    return log


@pytest.mark.parametrize("where", ["pod", "artifact store"])
@pytest.mark.parametrize(
    ("outcome", "says"), [("refused", "refused: why"), ("published", "published v7: why"), ("", _UNKNOWN)]
)
def test_a_registry_on_a_volume_is_replaced_by_the_log_of_notify(
    kubeflow, double, cluster, run, log_of_notify, where, outcome, says
):
    text = log_of_notify(outcome, version="v7" if outcome == "published" else "")
    if where == "pod":
        labels = {"pipeline/runid": run["run_id"]}
        annotations = {"workflows.argoproj.io/node-name": "w(0).root(0).notify(0).executor(0)"}
        cluster.add("kubeflow", "pods", "w-9", metadata={"labels": labels, "annotations": annotations})
        cluster.logs["w-9", "main"] = text
    else:
        double.archived[run["run_id"], "w-9"] = text
    assert _text(kubeflow, run).removeprefix("failed: ") == says


def test_a_retried_run_is_told_by_its_last_step(kubeflow, double, run, log_of_notify):
    # Kubeflow does not run an exit handler again that has succeeded.
    run["run_details"]["task_details"] = [
        task("notify", "SUCCEEDED", "w-9", start=50),
        task("publish", "SUCCEEDED", "w-10", start=90),
        task("batch", "SUCCEEDED", "w-11", start=99),
    ]
    double.archived[run["run_id"], "w-9"] = log_of_notify("")
    told = {"step": "publish", "format": 1, "seconds": 1, "peak_memory_bytes": 1, "status": "succeeded"}
    line = json.dumps({**told, "outcome": "published", "version": "v7", "reason": "why"})
    double.archived[run["run_id"], "w-10"] = f"{line}\n"
    assert _text(kubeflow, run) == "published v7: why"


def test_an_outcome_out_of_reach_says_what_was_tried_and_the_command(kubeflow, run, tmp_path):
    run_id = run["run_id"]
    assert _text(kubeflow, run) == (
        f"the run's record is {tmp_path}/registry/runs/{run_id}; not read from here: "
        "registry: it is not there as seen from here; "
        "kubeconfig: there is no kubeconfig here, and this is no pod; "
        "artifact store: it has no log of this step; "
        f"see `kubectl logs --namespace kubeflow --selector pipeline/runid={run_id} --container main "
        "--tail 20 --prefix`"
    )
    assert not (tmp_path / "registry").exists()


def test_a_cancelled_run_gets_that_into_its_record(kubeflow, double, run, tmp_path):
    _cancel(double, run)
    # The exit handler was told nothing.
    notify(registry=str(tmp_path / "registry"), run_id=run["run_id"])
    records = Registry(str(tmp_path / "registry")).runs
    assert records.read(run["run_id"]).reason == _UNKNOWN
    assert _text(kubeflow, run) == "cancelled: the run was cancelled"
    assert records.read(run["run_id"]).outcome == "cancelled"
    assert _text(kubeflow, run) == "cancelled: the run was cancelled"


def test_a_verdict_before_the_cancel_stays(kubeflow, double, run, tmp_path):
    _cancel(double, run)
    _record(tmp_path, run, "published", version="v7")
    assert mark_cancelled(read_run(kubeflow, run["run_id"])).outcome == "published"
    _record(tmp_path, run, "failed", version="v8", sequence=3)
    record = mark_cancelled(read_run(kubeflow, run["run_id"]))
    assert (record.outcome, record.version, record.sequence) == ("cancelled", "v8", 3)
    assert record.reason.startswith("its version is the champion, but the run was cancelled")


def test_a_run_that_failed_stays_failed(kubeflow, double, run, tmp_path):
    double.move(run, "FAILED")
    _record(tmp_path, run, "failed", _UNKNOWN)
    assert mark_cancelled(read_run(kubeflow, run["run_id"])) is None
    assert _text(kubeflow, run) == f"failed: {_UNKNOWN}"


def test_a_cancelled_run_is_called_that_although_its_registry_is_out_of_reach(
    kubeflow, double, run, log_of_notify
):
    _cancel(double, run)
    double.archived[run["run_id"], "w-9"] = log_of_notify("")
    assert _text(kubeflow, run) == "cancelled: the run was cancelled"


def test_a_run_without_a_registry_among_its_inputs_says_so(kubeflow, double, run):
    _cancel(double, run)
    run["runtime_config"] = {"parameters": {}}
    with pytest.raises(UserError, match="empty path"):
        mark_cancelled(read_run(kubeflow, run["run_id"]))
    assert "not read from here: registry: an empty path" in _text(kubeflow, run)


def test_notify_leaves_the_whole_outcome_as_its_last_line(run, log_of_notify):
    told = last_outcome(log_of_notify("refused").splitlines())
    assert (told.step, told.outcome, told.reason) == ("notify", "refused", "why")
    assert json.dumps(told.run_record).endswith(f'/runs/{run["run_id"]}"')

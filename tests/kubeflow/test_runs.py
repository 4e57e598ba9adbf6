"""Runs on the server: what state they are in, which one is meant, cancelling and retrying."""

import re

import pytest
from kubeflow_double import status, truncated
from kubeflow_runs import task

from components.documents import now
from components.errors import UserError
from pipelines.kubeflow import client, runs
from pipelines.kubeflow.client import state_of


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(client, "_PAUSES", (0, 0, 0))


def _run(double, *history, **fields):
    run = double.add_run(display_name="a run", experiment_id="e", state=history[0], **fields)
    for state in history[1:]:
        double.move(run, state)
    return run


@pytest.mark.parametrize(
    ("history", "word"),
    [
        (["PENDING"], "pending"),
        (["PENDING", "RUNNING"], "running"),
        (["PENDING", "RUNNING", "CANCELING"], "being cancelled"),
        (["PENDING", "RUNNING", "CANCELING", "FAILED"], "cancelled"),
        (["PENDING", "RUNNING", "CANCELING", "SUCCEEDED"], "succeeded"),
        (["PENDING", "RUNNING", "FAILED"], "failed"),
        (["PENDING", "RUNNING", "CANCELING", "FAILED", "RUNNING", "FAILED"], "failed"),
        (["PENDING", "RUNNING", "FAILED", "RUNNING", "CANCELING", "FAILED"], "cancelled"),
    ],
)
def test_a_state_is_one_word_and_a_cancel_is_known_by_the_history(kubeflow, double, history, word):
    run = _run(double, *history)
    double.fail("GET", "/runs/", lambda _: double._get(double.stores["runs"], run["run_id"], "V2beta1Run"))
    assert state_of(runs.read_run(kubeflow, run["run_id"])) == word


def test_a_run_is_known_by_its_name_and_by_the_beginning_of_its_id(kubeflow, double):
    first = double.add_run(display_name="first", experiment_id="e")
    second = double.add_run(display_name="second", experiment_id="e")
    assert runs.find_run(kubeflow, "second").run_id == second["run_id"]
    assert runs.find_run(kubeflow, first["run_id"]).display_name == "first"
    with pytest.raises(UserError, match="2 runs are meant by run-; give more of the id"):
        runs.find_run(kubeflow, "run-")
    with pytest.raises(UserError, match="no run has the name third, or an id that begins so"):
        runs.find_run(kubeflow, "third")
    # In the middle of an id is not its beginning.
    with pytest.raises(UserError, match="no run has the name un-0"):
        runs.find_run(kubeflow, "un-0")


def test_a_view_has_times_for_programs(kubeflow, double):
    parameters = {"registry": "gs://b/registry"}
    run = _run(double, "RUNNING", runtime_config={"parameters": parameters})
    run["finished_at"] = "1970-01-01T00:00:00Z"
    seen = runs.view(kubeflow, runs.read_run(kubeflow, run["run_id"]), now())
    assert (seen.state, seen.finished_at, seen.registry) == ("running", "", "gs://b/registry")
    run["finished_at"] = "2026-11-24T12:10:02Z"
    seen = runs.view(kubeflow, runs.read_run(kubeflow, run["run_id"]), now())
    assert seen.created_at == "2026-11-24T12:00:02+00:00"
    assert (seen.finished_at, seen.seconds) == ("2026-11-24T12:10:02+00:00", 600)


@pytest.mark.parametrize("fault", [None, status(503), truncated])
def test_a_cancelled_run_ends_as_failed_with_a_trace_in_its_history(kubeflow, double, fault):
    run = _run(double, "RUNNING")
    if fault is not None:
        double.fail("POST", ":terminate", fault, carried_out=fault is truncated)
    runs.cancel(kubeflow, runs.find_run(kubeflow, run["run_id"]))
    assert [past["state"] for past in run["state_history"]][:2] == ["RUNNING", "CANCELING"]
    runs.read_run(kubeflow, run["run_id"])
    assert state_of(runs.read_run(kubeflow, run["run_id"])) == "cancelled"
    with pytest.raises(UserError, match="has ended already: cancelled"):
        runs.cancel(kubeflow, runs.read_run(kubeflow, run["run_id"]))


@pytest.mark.parametrize(("fault", "calls"), [(None, 1), (status(503), 2), (truncated, 1)])
def test_a_retry_starts_only_what_failed(kubeflow, double, fault, calls):
    run = _run(double, "RUNNING", "FAILED")
    run["run_details"] = {"task_details": [task("ingest", "SUCCEEDED"), task("train", "FAILED")]}
    if fault is not None:
        double.fail("POST", ":retry", fault, carried_out=fault is truncated)
    runs.retry(kubeflow, runs.find_run(kubeflow, run["run_id"]))
    assert [one["state"] for one in run["run_details"]["task_details"]] == ["SUCCEEDED", "RUNNING"]
    assert [path.endswith(":retry") for _, path in double.requests].count(True) == calls


@pytest.mark.parametrize(
    ("state", "says"),
    [("RUNNING", "goes on (running)"), ("SUCCEEDED", "has succeeded: there is nothing to retry")],
)
def test_only_a_run_that_failed_is_retried(kubeflow, double, state, says):
    run = _run(double, state)
    with pytest.raises(UserError, match=re.escape(says)):
        runs.retry(kubeflow, runs.find_run(kubeflow, run["run_id"]))
    assert not [path for _, path in double.requests if path.endswith(":retry")]

"""Starting runs: what is on the server afterwards, also when answers are lost or the caller is killed."""

import pytest
from kubeflow_double import Killed, kill_at, status, truncated

from components.errors import UserError
from pipelines.kubeflow import client
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.submit import Place, submit

_PLACE = Place(
    pipeline="training", experiment="nightly", service_account="trainer", pipeline_root="gs://b/root"
)
_ARGUMENTS = {
    "ratings": "gs://b/r.csv",
    "seed": 7,
    "max_reject_rate": 0.5,
    "train_settings": {"dimension": 64},
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(client, "_PAUSES", (0.01, 0.01, 0.01))


def test_a_run_has_a_version_an_experiment_and_typed_inputs(kubeflow, double, package):
    started = submit(kubeflow, package, _ARGUMENTS, _PLACE)
    run = double.stores["runs"][started.run_id]
    assert run["runtime_config"] == {"parameters": _ARGUMENTS, "pipeline_root": "gs://b/root"}
    assert run["service_account"] == "trainer"
    assert double.stores["experiments"][run["experiment_id"]]["display_name"] == "nightly"
    version = run["pipeline_version_reference"]["pipeline_version_id"]
    assert double.packages[version] == package.read_text("utf-8")
    assert started.url.endswith(f"/#/runs/details/{started.run_id}")


def test_the_same_content_is_uploaded_once_and_another_is_another_version(kubeflow, double, package):
    submit(kubeflow, package, _ARGUMENTS, _PLACE)
    submit(kubeflow, package, {**_ARGUMENTS, "seed": 8}, _PLACE)
    assert len(double.packages) == 1
    package.write_text(package.read_text("utf-8") + "# changed\n", "utf-8")
    submit(kubeflow, package, _ARGUMENTS, _PLACE)
    assert len(double.packages) == 2
    assert len(double.stores["pipelines"]) == len(double.stores["experiments"]) == 1


def test_a_run_in_progress_is_found_and_one_that_ended_is_not(kubeflow, double, package):
    first = submit(kubeflow, package, _ARGUMENTS, _PLACE)
    again = submit(kubeflow, package, _ARGUMENTS, _PLACE)
    assert (again.run_id, again.found) == (first.run_id, True)
    double.stores["runs"][first.run_id]["state"] = "FAILED"
    assert submit(kubeflow, package, _ARGUMENTS, _PLACE).run_id != first.run_id


def test_another_run_beside_it_can_be_asked_for(kubeflow, double, package):
    first = submit(kubeflow, package, _ARGUMENTS, _PLACE)
    assert submit(kubeflow, package, _ARGUMENTS, _PLACE, again=True).run_id != first.run_id


def test_without_upload_the_package_goes_with_the_run(kubeflow, double, package):
    started = submit(kubeflow, package, _ARGUMENTS, _PLACE, keep_version=False)
    run = double.stores["runs"][started.run_id]
    assert run["pipeline_spec"]["pipelineInfo"]["name"] == "small"
    assert "pipeline_version_reference" not in run
    assert double.stores["pipelines"] == {}


def test_on_a_shared_server_all_lies_in_the_namespace(double, host, package):
    double.multi_user = True
    submit(connect(Access(host, namespace="ann")), package, _ARGUMENTS, _PLACE)
    assert {one["namespace"] for one in double.stores["pipelines"].values()} == {"ann"}
    assert {one["namespace"] for one in double.stores["experiments"].values()} == {"ann"}


@pytest.mark.parametrize("path", ["/pipelines$", "/upload_version", "/experiments", "/runs"])
@pytest.mark.parametrize("fault", [status(500), truncated])
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_lost_answer_creates_nothing_twice(kubeflow, double, package, path, fault, carried_out):
    double.fail("POST", path, fault, carried_out=carried_out)
    started = submit(kubeflow, package, _ARGUMENTS, _PLACE)
    assert list(double.stores["runs"]) == [started.run_id]
    assert len(double.stores["pipelines"]) == len(double.packages) == len(double.stores["experiments"]) == 1


def test_what_another_creates_at_the_same_moment_is_taken(kubeflow, double, package):
    double.fail("POST", "/pipelines$", status(409), carried_out=True)
    submit(kubeflow, package, _ARGUMENTS, _PLACE)
    assert len(double.stores["pipelines"]) == 1


@pytest.mark.parametrize("code", [400, 403, 404])
def test_a_refusal_is_passed_on_in_one_line(kubeflow, double, package, code):
    double.fail("POST", "/runs", status(code))
    with pytest.raises(UserError, match="injected"):
        submit(kubeflow, package, _ARGUMENTS, _PLACE)
    assert double.stores["runs"] == {}


@pytest.mark.parametrize("carried_out", [False, True])
def test_killed_at_any_moment_a_second_call_completes_it(double, host, package, carried_out):
    number = 0
    while True:
        number += 1
        for store in (*double.stores.values(), double.versions, double.packages):
            store.clear()
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(monkeypatch, number, carried_out=carried_out)
            try:
                submit(connect(Access(host)), package, _ARGUMENTS, _PLACE)
            except Killed:
                killed = True
            else:
                killed = False
        started = submit(connect(Access(host)), package, _ARGUMENTS, _PLACE)
        assert list(double.stores["runs"]) == [started.run_id]
        assert (
            len(double.stores["pipelines"]) == len(double.packages) == len(double.stores["experiments"]) == 1
        )
        if not killed:
            break
    assert number > 8

"""Schedules by name: one of each, whatever happens on the way."""

import dataclasses
from datetime import UTC, datetime

import pytest
from kubeflow_double import Killed, kill_at, status, truncated

from components.errors import UserError
from pipelines.kubeflow import client
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.schedule import Plan, create, delete, existing, switch
from pipelines.kubeflow.trigger import parse_trigger

_PLAN = Plan(
    name="nightly",
    trigger=parse_trigger("0 0 3 * * *", ""),
    experiment_id="experiment-1",
    pipeline_id="pipeline-1",
    version_id="version-1",
    arguments={"ratings": "gs://b/r.csv", "seed": 7, "train_settings": {"dimension": 64}},
)
_CHANGED = dataclasses.replace(_PLAN, trigger=parse_trigger("", "6h"))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(client, "_PAUSES", (0.01, 0.01, 0.01))


def _only(double, name="nightly"):
    (schedule,) = double.schedules(name)
    return schedule


def test_a_schedule_is_on_pinned_typed_and_makes_up_for_nothing(kubeflow, double):
    create(kubeflow, _PLAN)
    schedule = _only(double)
    assert schedule["status"] == "ENABLED"
    assert schedule["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert schedule["pipeline_version_reference"] == {
        "pipeline_id": "pipeline-1",
        "pipeline_version_id": "version-1",
    }
    assert schedule["runtime_config"]["parameters"] == _PLAN.arguments
    assert schedule["no_catchup"] is True
    assert schedule["max_concurrency"] == "1"


def test_an_interval_is_sent_in_seconds(kubeflow, double):
    create(kubeflow, _CHANGED)
    assert _only(double)["trigger"] == {"periodic_schedule": {"interval_second": "21600"}}


def test_the_newest_version_is_asked_for_by_none(kubeflow, double):
    latest = dataclasses.replace(_PLAN, version_id="")
    create(kubeflow, latest)
    assert _only(double)["pipeline_version_reference"] == {"pipeline_id": "pipeline-1"}
    assert create(kubeflow, latest).found
    assert create(kubeflow, _PLAN).replaced == 1


def test_a_server_that_needs_a_version_says_so_and_keeps_the_old_schedule(kubeflow, double):
    create(kubeflow, _PLAN)
    double.always_latest = False
    with pytest.raises(UserError, match="pipeline version id is required"):
        create(kubeflow, dataclasses.replace(_PLAN, version_id=""))
    assert _only(double)["status"] == "ENABLED"


def test_the_same_again_changes_nothing(kubeflow, double):
    create(kubeflow, _PLAN)
    before = dict(_only(double))
    assert create(kubeflow, _PLAN).found
    assert _only(double) == before


@pytest.mark.parametrize("filled_in", [{"service_account": "pipeline-runner"}, {"namespace": "kubeflow"}])
def test_what_the_server_fills_in_is_no_change(kubeflow, double, filled_in):
    create(kubeflow, _PLAN)
    _only(double).update(filled_in)
    assert create(kubeflow, _PLAN).found


@pytest.mark.parametrize(
    "change",
    [
        {"trigger": parse_trigger("0 0 4 * * *", "")},
        {"version_id": "version-2"},
        {"arguments": {"ratings": "gs://b/r.csv"}},
        {"arguments": {**_PLAN.arguments, "extra": 1}},
        {"max_concurrency": 2},
        {"experiment_id": "experiment-2"},
        {"service_account": "other"},
        {"pipeline_root": "gs://b/root"},
    ],
)
def test_another_plan_replaces_it(kubeflow, double, change):
    create(kubeflow, _PLAN)
    old = _only(double)["recurring_run_id"]
    plan = dataclasses.replace(_PLAN, **change)
    created = create(kubeflow, plan)
    assert (created.found, created.replaced) == (False, 1)
    assert _only(double)["recurring_run_id"] != old
    assert create(kubeflow, plan).found


def test_the_new_one_is_in_place_before_the_old_one_goes(kubeflow, double):
    create(kubeflow, _PLAN)
    double.requests.clear()
    create(kubeflow, _CHANGED)
    changes = [(method, path.rpartition(":")[2]) for method, path in double.requests if method != "GET"]
    assert [method for method, _ in changes] == ["POST", "POST", "POST", "DELETE"]
    assert [action for _, action in changes[1:3]] == ["disable", "enable"]


def test_other_names_are_left_alone(kubeflow, double):
    create(kubeflow, dataclasses.replace(_PLAN, name="weekly"))
    create(kubeflow, _PLAN)
    delete(kubeflow, "nightly")
    assert _only(double, "weekly")["status"] == "ENABLED"


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("second", [_CHANGED, _PLAN], ids=["completes it", "goes back"])
def test_killed_at_any_moment_a_second_call_leaves_one_schedule(double, host, carried_out, second):
    number = 0
    while True:
        number += 1
        double.stores["recurringRuns"].clear()
        create(connect(Access(host)), _PLAN)
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(monkeypatch, number, carried_out=carried_out)
            try:
                create(connect(Access(host)), _CHANGED)
            except Killed:
                killed = True
            else:
                killed = False
        create(connect(Access(host)), second)
        schedule = _only(double)
        assert schedule["status"] == "ENABLED"
        assert list(schedule["trigger"]) == list(_trigger(second))
        if not killed:
            break
    assert number > 6
    assert double.most_enabled == 1


def _trigger(plan):
    return ["cron_schedule"] if plan.trigger.cron else ["periodic_schedule"]


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("fault", [status(500), status(503), truncated])
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_lost_answer_leaves_one_schedule(kubeflow, double, method, fault, carried_out):
    create(kubeflow, _PLAN)
    double.fail(method, "/recurringruns", fault, carried_out=carried_out)
    create(kubeflow, _CHANGED)
    assert _only(double)["status"] == "ENABLED"
    assert double.most_enabled == 1


def test_of_two_callers_at_the_same_moment_one_schedule_remains(kubeflow, double, monkeypatch):
    get_or_create = client.get_or_create

    def create_and_meet_another(find, make):
        mine = get_or_create(find, make)
        monkeypatch.setattr("pipelines.kubeflow.schedule.get_or_create", get_or_create)
        create(kubeflow, _CHANGED)
        return mine

    monkeypatch.setattr("pipelines.kubeflow.schedule.get_or_create", create_and_meet_another)
    with pytest.raises(UserError, match=r"somebody else|not found"):
        create(kubeflow, _PLAN)
    assert list(_only(double)["trigger"]) == ["periodic_schedule"]


@pytest.fixture
def running(kubeflow, double):
    """A run of the schedule, in progress."""
    create(kubeflow, _PLAN)
    return double.add_run(
        display_name="a run",
        experiment_id="experiment-1",
        recurring_run_id=_only(double)["recurring_run_id"],
        state="RUNNING",
        scheduled_at=datetime(2026, 11, 24, 3, tzinfo=UTC).isoformat(),
    )


@pytest.mark.parametrize("act", [lambda k: create(k, _CHANGED), lambda k: delete(k, "nightly")])
def test_a_run_in_progress_is_not_killed_unasked(kubeflow, double, running, act):
    with pytest.raises(UserError, match=f"{running['run_id']}; wait for its end, or .*--kill-running"):
        act(kubeflow)
    assert running["state"] == "RUNNING"
    assert _only(double)["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}


@pytest.mark.parametrize(
    "act",
    [
        lambda k: create(k, _CHANGED, kill_running=True),
        lambda k: delete(k, "nightly", kill_running=True),
    ],
)
def test_a_run_in_progress_is_killed_when_asked(kubeflow, running, act):
    act(kubeflow)
    assert running["state"] == "FAILED"


def test_a_run_in_progress_does_not_hinder_what_leaves_it_alone(kubeflow, double, running):
    assert create(kubeflow, _PLAN).found
    switch(kubeflow, "nightly", on=False)
    assert _only(double)["status"] == "DISABLED"
    assert running["state"] == "RUNNING"
    switch(kubeflow, "nightly", on=True)
    assert _only(double)["status"] == "ENABLED"


def test_an_unknown_name_is_answered_by_the_known_ones(kubeflow):
    create(kubeflow, _PLAN)
    with pytest.raises(UserError, match="no schedule is called nigthly; there are: nightly"):
        existing(kubeflow, "nigthly")

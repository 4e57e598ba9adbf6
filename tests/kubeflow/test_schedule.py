"""Schedules by name: one of each, whatever happens on the way."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from kubeflow_double import Killed, kill_at, status, truncated

from components.errors import UserError
from pipelines.kubeflow import client
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.schedule import Plan, create, delete, existing, pause, resume
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


@pytest.mark.parametrize("release", ["2.15.0", "2.16.1"])
def test_the_newest_version_is_refused_by_servers_that_cannot(double, host, release):
    double.release = release
    kubeflow = connect(Access(host))
    create(kubeflow, _PLAN)
    double.requests.clear()
    with pytest.raises(UserError, match=rf"--always-latest: Kubeflow Pipelines {release} cannot.*leave the"):
        create(kubeflow, dataclasses.replace(_PLAN, version_id=""))
    assert double.requests == []
    assert _only(double)["status"] == "ENABLED"


def test_the_same_again_changes_nothing(kubeflow, double):
    create(kubeflow, _PLAN)
    before = dict(_only(double))
    assert create(kubeflow, _PLAN).found
    assert _only(double) == before


@pytest.mark.parametrize(
    "filled_in",
    [
        {"service_account": "pipeline-runner"},
        {"namespace": "kubeflow"},
        {"no_catchup": True, "description": ""},
    ],
)
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
        {"catch_up": True},
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


_OLD = {"release": "2.15.2"}, {"release": "unknown", "built_from": (2, 15)}
_NEW = {"release": "2.16.0"}, {"release": "2.17.0"}, {"release": "unknown", "built_from": (2, 16)}


def _server(double, host, release):
    """A connection to a server of another release."""
    for name, value in release.items():
        setattr(double, name, value)
    return connect(Access(host))


@pytest.mark.parametrize("act", [lambda k: create(k, _CHANGED), lambda k: delete(k, "nightly")])
@pytest.mark.parametrize("release", _NEW)
def test_a_run_in_progress_goes_on_without_its_schedule(double, host, running, act, release):
    act(_server(double, host, release))
    assert running["state"] == "RUNNING"
    assert double.killed == []


@pytest.mark.parametrize("act", [lambda k: create(k, _CHANGED), lambda k: delete(k, "nightly")])
@pytest.mark.parametrize("release", _OLD)
def test_an_older_server_is_not_let_kill_a_run_unasked(double, host, running, act, release):
    with pytest.raises(UserError, match=f"{running['run_id']}; wait for its end, .*--kill-running"):
        act(_server(double, host, release))
    assert double.killed == []
    assert _only(double)["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}


@pytest.mark.parametrize(
    "act",
    [
        lambda k: create(k, _CHANGED, kill_running=True),
        lambda k: delete(k, "nightly", kill_running=True),
    ],
)
@pytest.mark.parametrize("release", _OLD)
def test_a_run_in_progress_is_killed_when_asked(double, host, running, act, release):
    act(_server(double, host, release))
    assert double.killed == [running["run_id"]]
    assert running["state"] == "RUNNING"


def test_a_run_in_progress_does_not_hinder_what_leaves_it_alone(double, host, running):
    kubeflow = _server(double, host, _OLD[0])
    assert create(kubeflow, _PLAN).found
    pause(kubeflow, "nightly")
    assert _only(double)["status"] == "DISABLED"
    assert running["state"] == "RUNNING"
    resume(kubeflow, "nightly")
    assert _only(double)["status"] == "ENABLED"
    assert double.killed == []


def _days(number):
    return datetime(2026, 11, 24, 13, tzinfo=UTC) + timedelta(days=number)


def _scheduled(double):
    return [run["scheduled_at"] for run in double.stores["runs"].values()]


def test_resumed_it_starts_a_run_for_the_last_time_that_it_missed(kubeflow, double):
    create(kubeflow, _PLAN)
    pause(kubeflow, "nightly")
    double.clock = _days(3)
    resume(kubeflow, "nightly")
    assert _scheduled(double) == ["2026-11-27T03:00:00+00:00"]


def test_one_that_catches_up_starts_a_run_for_each(kubeflow, double):
    create(kubeflow, dataclasses.replace(_PLAN, catch_up=True))
    pause(kubeflow, "nightly")
    double.clock = _days(3)
    resume(kubeflow, "nightly")
    for _ in range(4):
        double.end_runs(_only(double))
    assert [time[8:10] for time in _scheduled(double)] == ["25", "26", "27"]


@pytest.mark.parametrize("start", [None, datetime(2026, 11, 1, tzinfo=UTC)])
def test_made_anew_it_has_missed_nothing(kubeflow, double, start):
    plan = dataclasses.replace(_PLAN, trigger=dataclasses.replace(_PLAN.trigger, start=start))
    create(kubeflow, plan)
    pause(kubeflow, "nightly")
    old = dict(_only(double))
    double.stores["runs"].clear()
    double.clock = _days(3)
    resume(kubeflow, "nightly", skip_missed=True)
    new = _only(double)
    assert _scheduled(double) == []
    assert new["recurring_run_id"] != old["recurring_run_id"]
    assert new["status"] == "ENABLED"
    for name in ("runtime_config", "pipeline_version_reference", "max_concurrency", "no_catchup"):
        assert new[name] == old[name]
    assert new["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}


@pytest.mark.parametrize("carried_out", [False, True])
def test_made_anew_and_killed_at_any_moment_a_second_call_completes_it(double, host, carried_out):
    number, killed = 0, True
    while killed:
        number += 1
        double.stores["recurringRuns"].clear()
        create(connect(Access(host)), _PLAN)
        pause(connect(Access(host)), "nightly")
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(monkeypatch, number, carried_out=carried_out)
            try:
                resume(connect(Access(host)), "nightly", skip_missed=True)
                killed = False
            except Killed:
                pass
        resume(connect(Access(host)), "nightly", skip_missed=True)
        assert _only(double)["status"] == "ENABLED"
    assert number > 6
    assert double.most_enabled == 1


def test_one_that_runs_the_newest_is_not_made_anew_by_a_server_that_cannot(double, host):
    create(connect(Access(host)), dataclasses.replace(_PLAN, version_id=""))
    pause(connect(Access(host)), "nightly")
    double.release = "2.16.0"
    with pytest.raises(UserError, match="--always-latest"):
        resume(connect(Access(host)), "nightly", skip_missed=True)
    assert _only(double)["status"] == "DISABLED"


def test_a_start_that_is_past_by_now_is_no_change(kubeflow, double):
    soon = datetime.now(UTC) + timedelta(days=1)
    plan = dataclasses.replace(_PLAN, trigger=dataclasses.replace(_PLAN.trigger, start=soon))
    create(kubeflow, plan)
    assert create(kubeflow, plan).found
    # Repeated later, the same flags give a trigger without the start.
    _only(double)["trigger"]["cron_schedule"]["start_time"] = "2026-11-24T00:00:00Z"
    assert create(kubeflow, _PLAN).found
    assert create(kubeflow, plan).replaced == 1


@pytest.mark.parametrize(
    "change", [{"start": datetime(2126, 1, 1, tzinfo=UTC)}, {"end": datetime(2126, 1, 1, tzinfo=UTC)}]
)
def test_another_span_replaces_it_and_so_does_none(kubeflow, double, change):
    spanned = dataclasses.replace(_PLAN, trigger=dataclasses.replace(_PLAN.trigger, **change))
    create(kubeflow, _PLAN)
    assert create(kubeflow, spanned).replaced == 1
    assert create(kubeflow, spanned).found
    assert create(kubeflow, _PLAN).replaced == 1


def test_an_unknown_name_is_answered_by_the_known_ones(kubeflow):
    create(kubeflow, _PLAN)
    with pytest.raises(UserError, match="no schedule is called nigthly; there are: nightly"):
        existing(kubeflow, "nigthly")

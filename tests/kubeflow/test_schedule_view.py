"""What `schedule list` and `schedule show` say."""

import dataclasses
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from pipelines.compiled import CHECKED_IN
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.schedule import Plan, create, existing, pause
from pipelines.kubeflow.schedule_view import TimeZone, ago, time_line, times_of, view
from pipelines.kubeflow.submit import experiment, run_now
from pipelines.kubeflow.trigger import parse_trigger
from pipelines.kubeflow.versions import upload

_NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
_ZONE = TimeZone(UTC, "")


@pytest.fixture
def plan(kubeflow, package):
    """A schedule of an uploaded version."""
    version = upload(kubeflow, package, "training")
    return Plan(
        name="nightly",
        trigger=parse_trigger("0 0 3 * * *", ""),
        experiment_id=experiment(kubeflow, "nightly").experiment_id,
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        arguments={"ratings": "gs://b/r.csv", "image": "r.io/twotower:1.0"},
    )


def _view(kubeflow, *, alone=True, zone=_ZONE):
    return view(kubeflow, existing(kubeflow, "nightly")[0], _NOW, zone, alone=alone)


def _ran(double, state, **fields):
    (schedule,) = double.schedules("nightly")
    return double.add_run(
        display_name="r",
        experiment_id=schedule["experiment_id"],
        recurring_run_id=schedule["recurring_run_id"],
        state=state,
        **fields,
    )


def test_a_new_schedule_is_on_pinned_and_has_run_never(kubeflow, double, plan):
    create(kubeflow, plan)
    seen = _view(kubeflow)
    (version,) = double.versions[plan.pipeline_id].values()
    assert (seen.state, seen.version, seen.outcome) == ("on", version["display_name"], "no run yet")
    assert (seen.trigger, seen.image, seen.age) == ("0 0 3 * * *", "r.io/twotower:1.0", "2 days")
    assert [time.isoformat() for time in seen.next] == [
        f"2026-11-{day}T03:00:00+00:00" for day in (28, 29, 30)
    ]


def test_the_last_outcome_is_the_newest_runs(kubeflow, double, plan):
    create(kubeflow, plan)
    _ran(double, "FAILED", finished_at="2026-11-25T03:30:00Z")
    _ran(double, "SUCCEEDED", finished_at="2026-11-26T03:30:00Z")
    seen = _view(kubeflow)
    assert seen.outcome == "succeeded 1 day ago"
    _ran(double, "RUNNING")
    assert _view(kubeflow).outcome.startswith("in progress for")


def test_latest_is_named_with_the_version_that_it_is_now(kubeflow, double, plan):
    create(kubeflow, dataclasses.replace(plan, version_id=""))
    (version,) = double.versions[plan.pipeline_id].values()
    assert _view(kubeflow).version == f"latest ({version['display_name']})"


@pytest.mark.parametrize(
    "pods", [PodSettings(image="r.io/t:2"), PodSettings(image="r.io/t:2", gcs_secret="k")]
)
def test_the_image_is_else_the_versions_own(kubeflow, package, plan, pods):
    package.write_text(pods.apply(package.read_text("utf-8")), "utf-8")
    version_id = upload(kubeflow, package, "training").version_id
    create(kubeflow, dataclasses.replace(plan, arguments={}, version_id=version_id))
    assert _view(kubeflow).image == "r.io/t:2"


def test_a_version_that_is_gone_is_no_obstacle(kubeflow, double, plan):
    create(kubeflow, plan)
    double.versions.clear()
    assert _view(kubeflow).version == "deleted from the server"


def test_what_is_off_fires_never(kubeflow, plan):
    create(kubeflow, plan)
    pause(kubeflow, "nightly")
    assert (_view(kubeflow).state, _view(kubeflow).next) == ("off", [])
    assert _view(kubeflow, alone=False).state == "replacement cut off"


def test_an_interval_goes_on_from_the_last_firing(kubeflow, double, plan):
    create(kubeflow, dataclasses.replace(plan, trigger=parse_trigger("", "6h")))
    _ran(double, "SUCCEEDED", scheduled_at="2026-11-27T10:00:00Z", finished_at="2026-11-27T10:30:00Z")
    assert [time.hour for time in _view(kubeflow).next] == [16, 22, 4]


def test_a_schedule_of_other_making_is_shown_as_far_as_it_is_understood(kubeflow, double, plan):
    create(kubeflow, plan)
    (schedule,) = double.schedules("nightly")
    schedule["trigger"] = {"cron_schedule": {"cron": "@every 5m"}}
    del schedule["pipeline_version_reference"]
    seen = _view(kubeflow)
    assert (seen.trigger, seen.version, seen.next) == ("unknown", "sent with it", [])


def test_a_time_is_shown_in_utc_and_local(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    import time

    time.tzset()
    try:
        assert time_line(_NOW) == "Fri 2026-11-27 12:00:00 UTC  =  Fri 17:30:00 IST"
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(seconds=5), "moments"),
        (timedelta(minutes=1), "1 minute"),
        (timedelta(hours=5), "5 hours"),
        (timedelta(days=40), "40 days"),
    ],
)
def test_a_span_is_told_in_its_largest_unit(span, text):
    assert ago(span) == text


def test_a_run_out_of_turn_has_all_that_the_schedules_have(kubeflow, double, plan):
    create(kubeflow, plan)
    url = run_now(kubeflow, "nightly")
    (run,) = double.stores["runs"].values()
    assert url == kubeflow.run_url(run["run_id"])
    assert run["runtime_config"]["parameters"] == plan.arguments
    assert run["pipeline_version_reference"]["pipeline_version_id"] == plan.version_id
    assert run["experiment_id"] == plan.experiment_id


def test_a_run_out_of_turn_of_the_latest_has_the_newest_version(kubeflow, double, package, plan):
    create(kubeflow, dataclasses.replace(plan, version_id=""))
    package.write_text(package.read_text("utf-8") + "# newer\n", "utf-8")
    newest = upload(kubeflow, package, "training").version_id
    run_now(kubeflow, "nightly")
    (run,) = double.stores["runs"].values()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == newest


def test_it_shows_the_volumes_of_the_version_that_runs_next(kubeflow, package, plan):
    create(kubeflow, dataclasses.replace(plan, version_id=""))
    assert _view(kubeflow).volumes == []
    pods = PodSettings(volumes=("twotower:/data", "scratch:/scratch"))
    package.write_text(pods.apply(package.read_text("utf-8")), "utf-8")
    name = upload(kubeflow, package, "training").name
    seen = _view(kubeflow)
    assert (seen.version, seen.volumes) == (
        f"latest ({name})",
        ["scratch:/scratch", "twotower:/data"],
    )


def test_a_version_of_another_graph_comes_with_the_cure(kubeflow, plan):
    create(kubeflow, plan)
    assert "repeat `twotower schedule create nightly …`" in _view(kubeflow).cure
    create(kubeflow, dataclasses.replace(plan, version_id=""))
    assert "`twotower upload`" in _view(kubeflow).cure


def test_flags_of_the_pods_make_no_other_graph(kubeflow, package, plan):
    pods = PodSettings(
        image="r.io/t:2",
        volumes=("twotower:/data",),
        gcs_secret="key",
        webhook_secret="chat",
        profile="small",
        accelerators=("nvidia.com/gpu:1",),
        labels=("team=films",),
    )
    package.write_text(pods.apply(CHECKED_IN.read_text("utf-8")), "utf-8")
    upload(kubeflow, package, "training")
    create(kubeflow, dataclasses.replace(plan, version_id=""))
    seen = _view(kubeflow)
    assert (seen.cure, seen.volumes) == ("", ["twotower:/data"])


def test_its_times_are_those_of_the_clusters_zone(kubeflow, plan):
    create(kubeflow, plan)
    seen = _view(kubeflow, zone=TimeZone(ZoneInfo("Europe/Berlin"), "the context kind"))
    assert seen.next[0].isoformat() == "2026-11-28T03:00:00+01:00"


def test_a_time_that_it_missed_is_shown_with_what_follows(kubeflow, double, plan):
    create(kubeflow, plan)
    assert _view(kubeflow).missed == datetime(2026, 11, 27, 3, tzinfo=UTC)
    assert "when one that is in progress ends" in _view(kubeflow).after_missed
    pause(kubeflow, "nightly")
    assert "--skip-missed" in _view(kubeflow).after_missed
    _ran(double, "SUCCEEDED", scheduled_at="2026-11-27T03:00:00Z")
    assert _view(kubeflow).missed is None
    assert times_of(kubeflow, existing(kubeflow, "nightly")[0], _NOW, _ZONE).missed is None


def test_a_time_that_a_run_in_progress_holds_back_is_shown_and_fires_when_that_ends(kubeflow, double, plan):
    create(kubeflow, plan)
    (schedule,) = double.schedules("nightly")
    _ran(double, "RUNNING", scheduled_at="2026-11-25T03:00:00Z")
    double.clock = _NOW
    double.fire(schedule)
    missed = _view(kubeflow).missed
    assert len(double.stores["runs"]) == 1
    double.end_runs(schedule)
    _, held_back = double.stores["runs"].values()
    assert datetime.fromisoformat(held_back["scheduled_at"]) == missed


@pytest.mark.parametrize("scheduled_at", [{}, {"scheduled_at": "1970-01-01T00:00:00Z"}])
def test_a_run_that_does_not_know_its_time_counts_by_its_creation(kubeflow, double, plan, scheduled_at):
    create(kubeflow, dataclasses.replace(plan, version_id=""))
    double.clock = _NOW - timedelta(hours=1)
    _ran(double, "SUCCEEDED", **scheduled_at)
    assert _view(kubeflow).missed is None


def test_a_run_of_the_newest_version_leaves_no_time_missed(kubeflow, double, plan):
    create(kubeflow, dataclasses.replace(plan, version_id=""))
    (schedule,) = double.schedules("nightly")
    double.clock = _NOW - timedelta(hours=1)
    double.fire(schedule)
    assert _view(kubeflow).missed is None


def test_one_that_catches_up_says_so(kubeflow, plan):
    create(kubeflow, dataclasses.replace(plan, catch_up=True))
    assert _view(kubeflow).trigger == "0 0 3 * * *, catching up"

"""What `schedule list` and `schedule show` say."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.schedule import Plan, ago, create, existing, firing_lines, switch, view
from pipelines.kubeflow.submit import Place, experiment, run_now, upload
from pipelines.kubeflow.trigger import parse_trigger

_NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def plan(kubeflow, package):
    """A schedule of an uploaded version."""
    version = upload(kubeflow, package, Place("training", "nightly").pipeline)
    return Plan(
        name="nightly",
        trigger=parse_trigger("0 0 3 * * *", ""),
        experiment_id=experiment(kubeflow, "nightly").experiment_id,
        pipeline_id=version.pipeline_id,
        version_id=version.version_id,
        arguments={"ratings": "gs://b/r.csv", "image": "r.io/twotower:1.0"},
    )


def _view(kubeflow, **changes):
    return view(kubeflow, existing(kubeflow, "nightly")[0], _NOW, **changes)


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
    assert [time.isoformat() for time in seen.firings] == [
        f"2026-11-{day}T03:00:00+00:00" for day in (28, 29, 30)
    ]


def test_the_last_outcome_is_the_newest_runs(kubeflow, double, plan):
    create(kubeflow, plan)
    _ran(double, "FAILED", finished_at="2026-11-25T03:30:00Z")
    _ran(double, "SUCCEEDED", finished_at="2026-11-26T03:30:00Z")
    seen = _view(kubeflow)
    assert seen.outcome == "SUCCEEDED 1 day ago"
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
    switch(kubeflow, "nightly", on=False)
    assert (_view(kubeflow).state, _view(kubeflow).firings) == ("off", [])
    assert _view(kubeflow, alone=False).state == "replacement cut off"


def test_an_interval_goes_on_from_the_last_firing(kubeflow, double, plan):
    create(kubeflow, dataclasses.replace(plan, trigger=parse_trigger("", "6h")))
    _ran(double, "SUCCEEDED", scheduled_at="2026-11-27T10:00:00Z", finished_at="2026-11-27T10:30:00Z")
    assert [time.hour for time in _view(kubeflow).firings] == [16, 22, 4]


def test_a_schedule_of_other_making_is_shown_as_far_as_it_is_understood(kubeflow, double, plan):
    create(kubeflow, plan)
    (schedule,) = double.schedules("nightly")
    schedule["trigger"] = {"cron_schedule": {"cron": "@every 5m"}}
    del schedule["pipeline_version_reference"]
    seen = _view(kubeflow)
    assert (seen.trigger, seen.version, seen.firings) == ("unknown", "sent with it", [])


def test_a_time_is_shown_in_utc_and_local(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    import time

    time.tzset()
    try:
        assert firing_lines([_NOW]) == ["Fri 2026-11-27 12:00:00 UTC  =  Fri 17:30:00 IST"]
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

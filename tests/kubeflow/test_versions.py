"""Versions on the server: which one schedules run next, whoever uploads."""

import pytest
from kubeflow_double import Killed, kill_at, status, truncated

from components.errors import UserError
from pipelines.kubeflow import client
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.schedule import Plan, create
from pipelines.kubeflow.submit import Place, submit
from pipelines.kubeflow.trigger import parse_trigger
from pipelines.kubeflow.versions import (
    Content,
    readers,
    upload,
    upload_beside,
    upload_for_latest,
)

_PLACE = Place("training", "tries")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(client, "_PAUSES", (0.01, 0.01, 0.01))


@pytest.fixture
def other(package):
    """The pipeline with another volume."""
    path = package.with_name("other.yaml")
    path.write_text(PodSettings(volumes=("mine:/data",)).apply(package.read_text("utf-8")), "utf-8")
    return path


def _always_latest(kubeflow, pipeline_id, name="nightly"):
    plan = Plan(name, parse_trigger("", "6h"), "experiment-1", pipeline_id)
    return create(kubeflow, plan)


def _names(double, pipeline="training"):
    (key,) = (key for key, one in double.stores["pipelines"].items() if one["display_name"] == pipeline)
    return [version["display_name"] for version in double.versions.get(key, {}).values()]


def test_no_list_sends_more_than_the_one_package_that_is_looked_for(kubeflow, double, package):
    for number in range(6):
        package.write_text(f"{package.read_text('utf-8')}# {number}\n", "utf-8")
        version = upload(kubeflow, package, "training")
    double.specs_listed = 0
    assert kubeflow.newest_version(version.pipeline_id).display_name == version.name
    assert double.specs_listed == 1
    upload(kubeflow, package, "training")
    assert double.specs_listed == 2


def test_a_version_that_another_followed_becomes_the_newest_again(kubeflow, double, package, other):
    first = upload(kubeflow, package, "training")
    upload(kubeflow, other, "training")
    assert upload(kubeflow, package, "training") == first
    again = upload(kubeflow, package, "training", newest=True)
    assert again.name == f"{first.name}-2"
    assert upload(kubeflow, package, "training", newest=True) == again
    assert len(_names(double)) == 3
    assert kubeflow.newest_version(first.pipeline_id).pipeline_version_id == again.version_id


@pytest.mark.parametrize("fault", [status(500), truncated])
@pytest.mark.parametrize("carried_out", [False, True])
def test_a_lost_answer_uploads_nothing_twice(kubeflow, double, package, other, fault, carried_out):
    upload(kubeflow, package, "training")
    upload(kubeflow, other, "training")
    double.fail("POST", "/upload_version", fault, carried_out=carried_out)
    upload(kubeflow, package, "training", newest=True)
    assert len(_names(double)) == 3


@pytest.mark.parametrize("carried_out", [False, True])
def test_killed_at_any_moment_a_second_call_completes_it(double, host, package, carried_out):
    number, killed = 0, True
    while killed:
        number += 1
        for store in (double.stores["pipelines"], double.versions):
            store.clear()
        with pytest.MonkeyPatch.context() as monkeypatch:
            kill_at(monkeypatch, number, carried_out=carried_out)
            try:
                upload(connect(Access(host)), package, "training", newest=True)
                killed = False
            except Killed:
                pass
        upload(connect(Access(host)), package, "training", newest=True)
        assert len(_names(double)) == 1
    assert number > 4


def test_a_run_with_other_volumes_does_not_become_the_schedules(kubeflow, double, package, other, capsys):
    version = upload(kubeflow, package, "training")
    _always_latest(kubeflow, version.pipeline_id)
    submit(kubeflow, other, {}, _PLACE)
    assert _names(double) == [version.name]
    assert len(_names(double, "training-submit")) == 1
    said = "".join(capsys.readouterr())
    assert "schedule nightly always runs the newest version of training" in said
    assert "`twotower upload`" in said
    (run,) = double.stores["runs"].values()
    assert run["pipeline_version_reference"]["pipeline_id"] != version.pipeline_id


def test_a_run_with_the_newest_version_is_a_run_of_it(kubeflow, double, package):
    version = upload(kubeflow, package, "training")
    _always_latest(kubeflow, version.pipeline_id)
    submit(kubeflow, package, {}, _PLACE)
    (run,) = double.stores["runs"].values()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version.version_id
    assert len(double.stores["pipelines"]) == 1


def test_pinned_schedules_do_not_hinder_uploads(kubeflow, double, package, other):
    version = upload(kubeflow, package, "training")
    create(kubeflow, Plan("weekly", parse_trigger("", "6h"), "e", version.pipeline_id, version.version_id))
    submit(kubeflow, other, {}, _PLACE)
    assert len(_names(double)) == 2


def test_where_both_names_are_taken_another_is_asked_for(kubeflow, package, other):
    for pipeline in ("training", "training-submit"):
        _always_latest(kubeflow, upload(kubeflow, package, pipeline).pipeline_id, f"of {pipeline}")
    with pytest.raises(UserError, match=r"--pipeline training: schedule of training always.*give a"):
        upload_beside(kubeflow, other, "training")


def test_a_schedule_that_goes_back_to_a_version_replaces_itself(kubeflow, double, package, other):
    version = upload(kubeflow, package, "training")
    _always_latest(kubeflow, version.pipeline_id)
    assert upload_beside(kubeflow, other, "training", "nightly").pipeline == "training"
    assert upload_beside(kubeflow, package, "training", "weekly").pipeline == "training-submit"


def test_one_always_latest_schedule_does_not_change_another(kubeflow, double, package, other):
    version = upload_for_latest(kubeflow, package, "training", "nightly")
    _always_latest(kubeflow, version.pipeline_id)
    assert upload_for_latest(kubeflow, package, "training", "weekly") == version
    with pytest.raises(UserError, match=r"schedule nightly always runs its newest version.*twotower upload"):
        upload_for_latest(kubeflow, other, "training", "weekly")
    assert upload_for_latest(kubeflow, other, "training", "nightly").pipeline == "training"


def test_the_readers_of_a_pipeline_are_those_that_take_its_newest(kubeflow, package):
    version = upload(kubeflow, package, "training")
    for name in ("b", "a"):
        _always_latest(kubeflow, version.pipeline_id, name)
    _always_latest(kubeflow, "another-pipeline", "c")
    create(kubeflow, Plan("d", parse_trigger("", "6h"), "e", version.pipeline_id, version.version_id))
    assert readers(kubeflow, version.pipeline_id) == ["a", "b"]


def test_the_content_of_a_version_that_is_not_ours_is_shown_as_far_as_it_is_understood():
    content = Content(None)
    assert (content.image, content.volumes, content.graph) == ("unknown", [], {})

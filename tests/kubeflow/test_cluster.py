"""Calls by the kubeconfig."""

import json

import pytest

from components.errors import UserError
from pipelines.kubeflow.cluster import Cluster


def test_objects_are_found_listed_created_and_deleted(cluster):
    cluster.add("ann", "pods", "one", metadata={"labels": {"a": "b", "c": "d"}})
    cluster.add("ann", "pods", "two", metadata={"labels": {"a": "b"}})
    here = Cluster("ann")
    assert here.find("pod", "one")["metadata"]["name"] == "one"
    assert [pod["metadata"]["name"] for pod in here.objects("pod", "a=b,c=d")] == ["one"]
    assert len(here.objects("pod")) == 2
    assert here.create("pod", {"metadata": {"name": "three"}})["metadata"]["namespace"] == "ann"
    here.delete("pod", "three")
    here.delete("pod", "three")
    assert not here.has("pod", "three")
    assert not Cluster("bob").has("pod", "one")


def test_a_kind_that_the_cluster_does_not_know_is_just_not_there(cluster):
    assert Cluster("ann").find("workflow", "w") is None


def test_a_log_that_looks_like_json_stays_as_it_was_printed(cluster):
    cluster.add("ann", "pods", "one")
    line = json.dumps({"outcome": "blessed", "none": None})
    cluster.logs["one", "main"] = f"first\n{line}\n"
    assert Cluster("ann").last_lines("one", "main", 1) == [line]
    assert Cluster("ann").last_lines("one", "wait", 1) == []
    assert Cluster("ann").last_lines("gone", "main", 1) == []


def test_events_come_in_order_of_time_whichever_field_states_it(cluster):
    cluster.add_event("ann", "one", "FailedScheduling", "second", lastTimestamp="2026-11-24T12:00:02Z")
    new = {"lastTimestamp": None, "eventTime": "2026-11-24T12:00:01.000001Z"}
    cluster.add_event("ann", "one", "FailedScheduling", "first", **new)
    cluster.add_event("ann", "two", "Failed", "another pod's")
    assert [event["message"] for event in Cluster("ann").events("Pod", "one")] == ["first", "second"]


def test_rights_are_asked_for_oneself_and_for_a_service_account(cluster):
    cluster.forbidden = {"create jobs"}
    here = Cluster("ann")
    assert here.may("create", "services")
    assert not here.may("create", "jobs", "batch", account="pipeline-runner")


@pytest.mark.parametrize("code", [401, 403, 500])
def test_a_refusal_says_so(cluster, monkeypatch, code):
    cluster.forbidden = {"get pods", "create pods", "get pods/log"} if code == 403 else set()
    cluster.failures = 3 if code == 500 else 0
    cluster.token = "another" if code == 401 else ""
    says = {401: "does not know you", 403: "you may not look", 500: "unable to handle"}[code]
    with pytest.raises(UserError, match=says):
        Cluster("ann").find("pod", "one")
    with pytest.raises(UserError, match=says):
        Cluster("ann").last_lines("one", "main", 1)
    if code == 403:
        with pytest.raises(UserError, match='cannot create resource "pods"'):
            Cluster("ann").create("pod", {"metadata": {"name": "one"}})

"""The time zone of schedules, as the cluster says it."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from pipelines.kubeflow.schedule_view import cluster_time_zone

_CONTROLLER = "ml-pipeline-scheduledworkflow"
_STOCK = {
    "valueFrom": {"configMapKeyRef": {"name": "pipeline-install-config", "key": "cronScheduleTimezone"}}
}


def _controller(cluster, **variable):
    others = [{"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]
    env = [*others, {"name": "CRON_SCHEDULE_TIMEZONE", **variable}] if variable else others
    containers = [{"name": _CONTROLLER, "env": env}]
    cluster.add(
        "kubeflow", "deployments", _CONTROLLER, spec={"template": {"spec": {"containers": containers}}}
    )


@pytest.mark.parametrize(
    ("variable", "settings", "zone"),
    [
        ({"value": "Europe/Berlin"}, {}, ZoneInfo("Europe/Berlin")),
        (_STOCK, {"cronScheduleTimezone": "Asia/Kolkata"}, ZoneInfo("Asia/Kolkata")),
        (_STOCK, {"cronScheduleTimezone": "UTC"}, UTC),
        ({"value": ""}, {}, UTC),
        ({}, {}, UTC),
    ],
)
def test_it_is_that_of_the_controller(cluster, variable, settings, zone):
    _controller(cluster, **variable)
    cluster.add("kubeflow", "configmaps", "pipeline-install-config", data=settings)
    found = cluster_time_zone()
    assert found.zone == zone
    assert str(found) == f"{zone}, as set in the context kind"


def _forbidden(cluster):
    _controller(cluster, value="Europe/Berlin")
    cluster.forbidden = {"get deployments"}


def _other_namespace(cluster):
    """Leaves the namespace kubeflow empty."""


def _no_such_zone(cluster):
    _controller(cluster, value="Mars/Olympus")


@pytest.mark.parametrize("change", [_forbidden, _other_namespace, _no_such_zone])
def test_where_it_cannot_be_read_that_is_said(cluster, change):
    change(cluster)
    assert str(cluster_time_zone()) == "the cluster's time zone (UTC unless set)"


def test_without_a_kubeconfig_it_is_not_known():
    assert str(cluster_time_zone()) == "the cluster's time zone (UTC unless set)"

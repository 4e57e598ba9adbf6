"""The doctor's finding on Argo's retry policy."""

import re

import pytest
import yaml

from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.doctor import examine
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.submit import Place


def _retries(host):
    findings = examine(
        lambda: connect(Access(host)), Place("training", "nightly"), PodSettings(), "twotower:1.0"
    )
    (found,) = (finding for finding in findings if finding.what == "retries")
    return found.verdict, found.text


_STOCK_OF_2_17 = "spec:\n  templateDefaults:\n    retryStrategy: {limit: 2, retryPolicy: OnError}\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"executor": ""}, r"OnFailure: a step that fails .* is started again, .* loses its pod .* is not"),
        ({"workflowDefaults": _STOCK_OF_2_17}, r"OnError: .* loses its pod .* again, .*; .*tried 3 times"),
        (
            {"config": yaml.safe_dump({"workflowDefaults": yaml.safe_load(_STOCK_OF_2_17)})},
            r"OnError: .*3 times",
        ),
        ({"workflowDefaults": _STOCK_OF_2_17.replace("OnError", "Always")}, r"Always: .* fails .*, or loses"),
        ({"workflowDefaults": "{"}, "OnFailure"),
    ],
)
def test_which_failures_are_retried_is_read_from_argos_controller(double, host, cluster, data, says):
    cluster.add("kubeflow", "configmaps", "workflow-controller-configmap", data=data)
    verdict, text = _retries(host)
    assert verdict == "well"
    assert re.search(says, text), text


def test_a_policy_that_cannot_be_read_is_unknown(double, host, cluster):
    assert _retries(host)[0] == "unknown"
    cluster.forbidden = {"get configmaps"}
    assert _retries(host) == (
        "unknown",
        "Argo's retry policy is not known from here: you may not look",
    )

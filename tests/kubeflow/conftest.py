"""A server to talk to, and a small pipeline to send."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_double import ClusterDouble, write_kubeconfig
from kubeflow_double import Double
from pytest_httpserver import HTTPServer

from components.declaration import REQUIRED, Input
from pipelines.kubeflow import transport
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import Kubeflow, connect

_PACKAGE = """\
pipelineInfo:
  name: small
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
components:
  comp-step: {executorLabel: exec-step}
  comp-notify: {executorLabel: exec-notify}
deploymentSpec:
  executors:
    exec-step: {container: {image: 'x:1', command: [echo], env: [{name: OTHER, value: '1'}]}}
    exec-notify: {container: {image: 'x:1', command: [echo]}}
root:
  inputDefinitions:
    parameters:
      ratings: {parameterType: STRING, description: The ratings.}
      registry: {parameterType: STRING, description: The registry.}
      seed: {parameterType: NUMBER_INTEGER, defaultValue: 42, isOptional: true, description: The seed.}
      image: {parameterType: STRING, defaultValue: 'x:1', isOptional: true, description: The image.}
  dag:
    tasks:
      step: {componentRef: {name: comp-step}, taskInfo: {name: step}}
      notify: {componentRef: {name: comp-notify}, taskInfo: {name: notify}}
"""

PARAMETERS = {
    parameter.name: parameter
    for parameter in (
        Input("ratings", str, REQUIRED, "The ratings."),
        Input("registry", str, REQUIRED, "The registry."),
        Input("seed", int, 42, "The seed."),
        Input("max_reject_rate", float, 0.01, "The greatest share."),
        Input("train_settings", dict, {}, "Overrides."),
        Input("fail_when_refused", bool, False, "Whether a refusal fails the run."),
        Input("skip_unchanged", bool, False, "Whether an unchanged input ends a run."),
        Input("image", str, "twotower:0.1.0", "The image."),
    )
}


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test meets the cluster, or the credentials, of whoever runs it, or waits between attempts."""
    for name in (
        "TWOTOWER_HOST",
        "TWOTOWER_TOKEN",
        "TWOTOWER_COOKIES",
        "TWOTOWER_NAMESPACE",
        "TWOTOWER_IMAGE",
    ):
        monkeypatch.delenv(name, raising=False)
    for name in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", "/no/kubeconfig")
    # As many attempts, without the four seconds.
    monkeypatch.setattr(transport, "_RETRY_PAUSES", (0.01, 0.01, 0.01, 0.01))


@pytest.fixture
def double(httpserver: HTTPServer) -> Iterator[Double]:
    """The server; every request to it and every answer of it keeps to the API's schemas."""
    double = Double()
    httpserver.expect_request(re.compile(".*")).respond_with_handler(double)
    yield double
    httpserver.check()
    assert double.violations == []


@pytest.fixture
def host(double: Double, httpserver: HTTPServer) -> str:
    """The server's URL."""
    return httpserver.url_for("").rstrip("/")


@pytest.fixture
def kubeflow(host: str) -> Kubeflow:
    """A connection to it."""
    return connect(Access(host))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterDouble]:
    """Kubernetes' API behind a kubeconfig; a test adds what the namespace holds."""
    with HTTPServer() as server:
        double = ClusterDouble()
        server.expect_request(re.compile(".*")).respond_with_handler(double)
        monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", server.url_for(""))))
        yield double
        server.check()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A compiled pipeline."""
    path = tmp_path / "pipeline.yaml"
    path.write_text(_PACKAGE, "utf-8")
    return path


@pytest.fixture
def parameters() -> dict[str, Input]:
    """Inputs of every type."""
    return PARAMETERS

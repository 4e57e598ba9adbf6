"""docs/serve-deployment.yaml: of Kubernetes' own types, consistent, and as the server understands it."""

import re
from pathlib import Path
from typing import Any

import kubernetes.client
import pytest
import yaml
from generated_models import GeneratedModels
from step_pod import restricted

from components.serve import answerer, server
from components.serve.cli import serve

_DOCS = Path(__file__).parents[2] / "docs"
_TYPES = GeneratedModels(kubernetes.client)
_DEPLOYMENT, _SERVICE, _BUDGET = yaml.safe_load_all((_DOCS / "serve-deployment.yaml").read_text("utf-8"))
_POD = _DEPLOYMENT["spec"]["template"]
[_CONTAINER] = _POD["spec"]["containers"]
_PROBES = {name: _CONTAINER[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")}


def _parameters() -> dict[str, Any]:
    program, verb, *words = _CONTAINER["command"]
    assert (program, verb) == ("twotower", "serve")
    return serve.make_context("serve", words).params


@pytest.mark.parametrize(
    ("document", "type_name", "version"),
    [
        (_DEPLOYMENT, "V1Deployment", "apps/v1"),
        (_SERVICE, "V1Service", "v1"),
        (_BUDGET, "V1PodDisruptionBudget", "policy/v1"),
    ],
)
def test_each_document_is_of_the_type_that_the_api_knows(
    document: dict[str, Any], type_name: str, version: str
) -> None:
    _TYPES.validate(document, type_name)
    assert (document["apiVersion"], f"V1{document['kind']}") == (version, type_name)


def test_the_pods_are_those_of_the_service_and_of_the_budget() -> None:
    labels = _POD["metadata"]["labels"]
    assert _DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert _SERVICE["spec"]["selector"] == labels
    assert _BUDGET["spec"]["selector"]["matchLabels"] == labels
    [spread] = _POD["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels
    assert 0 < _BUDGET["spec"]["minAvailable"] < _DEPLOYMENT["spec"]["replicas"]


def test_the_command_is_understood_and_its_files_are_mounted() -> None:
    parameters = _parameters()
    assert parameters["host"] == "0.0.0.0"
    assert parameters["allowed_host"] == ("*",)
    mounts = {mount["mountPath"]: mount for mount in _CONTAINER["volumeMounts"]}
    for path in (parameters["registry"], parameters["api_keys"]):
        assert mounts[f"/{path.split('/')[1]}"]["readOnly"]
    assert {mount["name"] for mount in mounts.values()} == {
        volume["name"] for volume in _POD["spec"]["volumes"]
    }


def test_ports_and_probes_are_those_of_the_server() -> None:
    [port] = _CONTAINER["ports"]
    assert port["containerPort"] == _parameters()["port"]
    [of_service] = _SERVICE["spec"]["ports"]
    assert of_service["targetPort"] == port["name"]
    assert {probe["httpGet"]["port"] for probe in _PROBES.values()} == {port["name"]}
    paths = {name: probe["httpGet"]["path"] for name, probe in _PROBES.items()}
    assert paths == {"startupProbe": "/readyz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_the_times_are_those_of_the_server() -> None:
    grace = _parameters()["grace_seconds"]
    ready, start = _PROBES["readinessProbe"], _PROBES["startupProbe"]
    noticed = ready["periodSeconds"] * ready["failureThreshold"] + ready["timeoutSeconds"]
    assert noticed < grace
    assert ready["timeoutSeconds"] > server._SECONDS_FOR_HEALTH
    to_end = grace + server._SECONDS_TO_FINISH + 2 * answerer._SECONDS_TO_END
    assert _POD["spec"]["terminationGracePeriodSeconds"] > to_end
    assert start["periodSeconds"] * start["failureThreshold"] >= answerer._SECONDS_TO_LOAD


def test_the_pod_may_do_little() -> None:
    assert restricted(_POD) == []
    assert _CONTAINER["securityContext"]["readOnlyRootFilesystem"]
    assert not _POD["spec"]["automountServiceAccountToken"]
    # As any user: the image's, unless the namespace gives another.
    assert "runAsUser" not in {**_POD["spec"]["securityContext"], **_CONTAINER["securityContext"]}
    [group] = re.findall(r"^USER \d+:(\d+)", (_DOCS.parent / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert _POD["spec"]["securityContext"]["fsGroup"] == int(group)
    requests = _CONTAINER["resources"]["requests"]
    assert set(requests) == {"cpu", "memory", "ephemeral-storage"}
    assert "/tmp" in {mount["mountPath"] for mount in _CONTAINER["volumeMounts"]}
    assert "HOME=/tmp" in (_DOCS.parent / "Dockerfile").read_text("utf-8")


def test_the_secret_is_the_one_that_the_page_makes() -> None:
    page = (_DOCS / "http.md").read_text("utf-8")
    [secret] = [volume["secret"] for volume in _POD["spec"]["volumes"] if "secret" in volume]
    file = _parameters()["api_keys"].rpartition("/")[2]
    assert f"kubectl create secret generic {secret['secretName']} --from-file={file}" in page
    assert secret["defaultMode"] == 0o440
    claim = next(yaml.safe_load_all((_DOCS / "volume.yaml").read_text("utf-8")))
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in _POD["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    ]
    assert claims == [claim["metadata"]["name"]]

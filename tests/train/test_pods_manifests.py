"""The Job and the Service of the workers, as the API takes them."""

import copy
import json

import jsonschema
import kubernetes.client
import pytest
from generated_models import GeneratedModels
from training_pods import POD, RUN, step_pod

from components.train.pods.manifests import OwnPod, PodProgram, addresses, job_manifest, service_manifest
from components.train.settings import WORKER_RESOURCES

PLACE = "gs://b/checkpoints/workers/r/j"
OWN = POD["spec"]["containers"][1]
TYPES = GeneratedModels(kubernetes.client)


def job(pod: OwnPod | None = None, workers: int = 4, same_node: bool = False):
    own = pod or step_pod()
    arguments = [PLACE, *addresses(own.job_name, workers)]
    return job_manifest(
        own, workers, PodProgram("train", "components.train.pods.worker", arguments), same_node
    )


def pod_spec(pod: OwnPod | None = None, same_node: bool = False):
    return job(pod, same_node=same_node)["spec"]["template"]["spec"]


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        ("spec", "completion", 4),
        ("spec", "backoffLimitPerIndex", "20"),
        ("spec podFailurePolicy", "rule", []),
        ("spec template spec", "serviceAccount_name", "x"),
        ("spec template spec", "containers", [{"image": "x"}]),
    ],
)
def test_a_field_that_the_api_does_not_know_is_found(place, name, value):
    manifest = job()
    TYPES.validate(manifest, "V1Job")
    part = manifest
    for key in place.split():
        part = part[key]
    part[name] = value
    with pytest.raises(jsonschema.ValidationError):
        TYPES.validate(manifest, "V1Job")


def test_the_workers_are_like_the_pod_of_the_step():
    spec = pod_spec()
    [container] = spec["containers"]
    for field in ("image", "imagePullPolicy", "resources", "securityContext"):
        assert container[field] == OWN[field]
    assert [variable["name"] for variable in container["env"]] == ["GOOGLE_APPLICATION_CREDENTIALS", "TOKEN"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data", "/var/run/secrets/gcs"]
    assert [volume["name"] for volume in spec["volumes"]] == ["twotower", "gcs-key"]
    for field in ("serviceAccountName", "nodeSelector", "tolerations", "imagePullSecrets", "securityContext"):
        assert spec[field] == POD["spec"][field]
    assert "affinity" not in spec


def test_all_of_them_must_end_well_within_the_time_limit_of_the_step():
    spec = job(workers=3)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 3, 3)
    assert spec["activeDeadlineSeconds"] == POD["spec"]["activeDeadlineSeconds"]
    assert spec["maxFailedIndexes"] == 0


def test_istio_leaves_the_workers_alone():
    metadata = job()["spec"]["template"]["metadata"]
    assert metadata["labels"]["sidecar.istio.io/inject"] == "false"
    assert metadata["annotations"]["sidecar.istio.io/inject"] == "false"


def test_everything_has_the_run_for_a_label_and_belongs_to_the_pod_of_the_step():
    manifest, service = job(), service_manifest(step_pod())
    for metadata in (manifest["metadata"], service["metadata"], manifest["spec"]["template"]["metadata"]):
        assert metadata["labels"]["twotower/run"] == RUN
    for metadata in (manifest["metadata"], service["metadata"]):
        assert metadata["ownerReferences"][0]["uid"] == POD["metadata"]["uid"]
    assert service["spec"]["selector"] == {"twotower/run": RUN}


def test_a_worker_is_found_by_the_name_that_the_service_gives_it():
    manifest, service = job(workers=2), service_manifest(step_pod())
    name = manifest["metadata"]["name"]
    assert addresses(name, 2) == [f"{name}-0.{name}:2222", f"{name}-1.{name}:2222"]
    spec = manifest["spec"]["template"]["spec"]
    assert spec["subdomain"] == service["metadata"]["name"] == name
    assert spec["containers"][0]["command"][3:] == [PLACE, *addresses(name, 2)]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_the_workers_ask_for_what_is_said_of_them():
    pod = step_pod()
    of_worker = {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}}
    pod.container["env"].append({"name": WORKER_RESOURCES, "value": json.dumps(of_worker)})
    [container] = pod_spec(pod)["containers"]
    assert container["resources"] == of_worker
    assert WORKER_RESOURCES not in {variable["name"] for variable in container["env"]}


def test_another_try_of_the_step_has_another_job_of_the_same_run():
    first, second = step_pod(), step_pod(uid="another")
    assert first.job_name != second.job_name
    assert first.run == second.run == RUN


def test_a_pod_without_the_label_of_kfp_has_the_workflow_for_its_run():
    assert step_pod(labels={"workflows.argoproj.io/workflow": "w"}).run == "w"
    assert step_pod(labels={}, name=f"{'x' * 62}-y").run == "x" * 62


NODE = {"key": "metadata.name", "operator": "In", "values": ["node-1"]}


@pytest.mark.parametrize(
    ("terms", "changed"),
    [
        ([], [{"matchFields": [NODE]}]),
        (
            [{"matchExpressions": [{"key": "a", "operator": "Exists"}]}, {"matchFields": [{"key": "b"}]}],
            [
                {"matchExpressions": [{"key": "a", "operator": "Exists"}], "matchFields": [NODE]},
                {"matchFields": [{"key": "b"}, NODE]},
            ],
        ),
    ],
)
def test_workers_of_one_node_run_where_the_step_does(terms, changed):
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    pod = step_pod()
    if terms:
        pod.manifest["spec"]["affinity"] = {
            "podAffinity": {},
            "nodeAffinity": {required: {"nodeSelectorTerms": terms}},
        }
    before = copy.deepcopy(pod.manifest)
    affinity = pod_spec(pod, same_node=True)["affinity"]
    assert affinity["nodeAffinity"][required]["nodeSelectorTerms"] == changed
    assert ("podAffinity" in affinity) == bool(terms)
    assert pod.manifest == before

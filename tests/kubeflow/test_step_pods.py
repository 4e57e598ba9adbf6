"""Pods of a run: why they do not start, why they failed, and where their logs are."""

import base64
import gzip
import json

import pytest
from kubeflow_runs import task

from components.errors import UserError
from pipelines.kubeflow import step_pods
from pipelines.kubeflow.runs import read_run
from pipelines.kubeflow.step_pods import RunPods

_TITLES = {"ingest": "Ingest the ratings", "train": "Train the model", "notify": "Notify"}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(step_pods, "PATIENCE", 0)
    monkeypatch.setattr(step_pods, "_BETWEEN_LOOKS", 0)


@pytest.fixture
def run(double):
    """A run whose training has begun."""
    run = double.add_run(display_name="a run", experiment_id="e", state="RUNNING")
    details = [
        task("root-driver", "SUCCEEDED", "w-1", start=1, end=9),
        task("ingest", "SUCCEEDED", "w-2", start=10, end=19),
        task("train-driver", "SUCCEEDED", "w-3", start=20, end=29),
        task("train", "RUNNING", "w-4", start=30),
        task("executor", "PENDING", start=30),
    ]
    run["run_details"] = {"task_details": details}
    return run


def _add_pod(cluster, run, node, phase="Pending", name="", **status):
    name = name or f"w-{node.replace('.', '-')}"
    cluster.add(
        "kubeflow",
        "pods",
        name,
        metadata={
            "labels": {"pipeline/runid": run["run_id"]},
            # As Argo writes it, with an attempt for each level that it may try again.
            "annotations": {
                "workflows.argoproj.io/node-name": ".".join(["w(0)", "root(0)", *_attempts(node)])
            },
            "creationTimestamp": f"2026-11-24T12:00:{len(cluster.objects):02d}Z",
        },
        status={"phase": phase, **status},
    )
    return name


def _attempts(node):
    return [part if part.endswith(")") else f"{part}(0)" for part in node.split(".")]


def _notes(kubeflow, run):
    return RunPods(kubeflow, run["run_id"], _TITLES).notes(read_run(kubeflow, run["run_id"]))


# The events of a real Kubernetes 1.34.
@pytest.mark.parametrize(
    ("reason", "message", "says"),
    [
        (
            "FailedScheduling",
            "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes "
            "are available: 1 Preemption is not helpful for scheduling.",
            "no node takes it: 0/1 nodes are available: 1 Insufficient cpu; ask for less with --request, or "
            "add a node that has it free",
        ),
        (
            "FailedScheduling",
            '0/1 nodes are available: persistentvolumeclaim "absent" not found. not found',
            'no node takes it: 0/1 nodes are available: persistentvolumeclaim "absent" not found. not found; '
            "create the claim, or name another with --volume",
        ),
        (
            "FailedScheduling",
            "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. no new claims to "
            "deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
            "no node takes it: 0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector; "
            "no node has the label of --node-selector",
        ),
        (
            "Failed",
            'Failed to pull image "r.io/t:9": failed to pull and unpack image "r.io/t:9": failed to resolve '
            'reference "r.io/t:9": failed to do request: Head "https://r.io/v2/t/manifests/9": no such host',
            'its image cannot be pulled: "r.io/t:9": failed to do request: Head '
            '"https://r.io/v2/t/manifests/9": no such host; push the image, or give --image-pull-secret',
        ),
        (
            "FailedMount",
            'MountVolume.SetUp failed for volume "v": secret "absent" not found',
            'a volume cannot be mounted: MountVolume.SetUp failed for volume "v": secret "absent" not found; '
            "create the secret",
        ),
        (
            "Failed",
            'Error: secret "absent" not found',
            'its container cannot be created: secret "absent" not found; create the secret',
        ),
    ],
)
def test_a_pod_that_does_not_start_says_why(kubeflow, cluster, run, reason, message, says):
    pod = _add_pod(cluster, run, "train.executor")
    cluster.add_event("kubeflow", pod, reason, message)
    cluster.add_event("kubeflow", pod, "Failed", "Error: ImagePullBackOff")
    assert _notes(kubeflow, run) == [f"Train the model: its pod has not started: {says}"]


def test_what_the_pod_itself_says_outlives_its_events(kubeflow, cluster, run):
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "chat" not found'}}
    _add_pod(cluster, run, "train.executor", containerStatuses=[{"state": waiting}])
    message = "0/1 nodes are available: 1 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    _add_pod(cluster, run, "ingest-driver", conditions=[condition])
    first, second = _notes(kubeflow, run)
    assert 'has not started: CreateContainerConfigError: secret "chat" not found; create the secret' in first
    assert second.startswith(
        "Ingest the ratings (its driver): its pod has not started: no node takes it: 0/1"
    )


@pytest.mark.parametrize("forbidden", [set(), {"list events"}])
def test_a_pod_that_is_just_starting_is_no_trouble(kubeflow, cluster, run, forbidden):
    cluster.forbidden = forbidden
    pod = _add_pod(cluster, run, "train.executor", containerStatuses=[{"state": {"waiting": {}}}])
    cluster.add_event("kubeflow", pod, "Pulling", 'Pulling image "r.io/t:9"', type="Normal")
    assert _notes(kubeflow, run) == []


def test_a_node_that_was_found_at_last_is_no_trouble(kubeflow, cluster, run):
    pod = _add_pod(cluster, run, "train.executor")
    cluster.add_event("kubeflow", pod, "FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu.")
    cluster.objects["kubeflow", "pods", pod]["spec"] = {"nodeName": "node1"}
    assert _notes(kubeflow, run) == []


def test_a_pod_is_given_time_to_start(kubeflow, cluster, run, monkeypatch):
    monkeypatch.setattr(step_pods, "PATIENCE", 60)
    cluster.add_event("kubeflow", _add_pod(cluster, run, "train.executor"), "FailedScheduling", "no.")
    assert _notes(kubeflow, run) == []


@pytest.mark.parametrize("packed", [False, True])
def test_a_pod_that_is_never_created_is_known_by_the_workflow(kubeflow, cluster, run, packed):
    _add_pod(cluster, run, "root-driver", "Succeeded")
    invalid = 'Pod "w-4" is invalid: spec.volumes[5].name: Invalid value: "my.claim": must not contain dots'
    nodes = {
        "w-1": {"name": "w(0).root-driver(0)", "type": "Pod", "phase": "Succeeded"},
        "w-4": {"name": "w(0).train(0).executor(1)", "type": "Pod", "phase": "Error", "message": invalid},
        "w-5": {"name": "w(0).train(0)", "type": "DAG", "phase": "Error", "message": "child failed"},
    }
    bytes_ = base64.b64encode(gzip.compress(json.dumps(nodes).encode())).decode()
    status = {"compressedNodes": bytes_} if packed else {"nodes": nodes}
    labels = {"pipeline/runid": run["run_id"]}
    cluster.add("kubeflow", "workflows", "w", metadata={"labels": labels}, status=status)
    assert _notes(kubeflow, run) == [f"Train the model: its pod cannot be created: {invalid}"]


def test_without_a_kubeconfig_the_command_is_named(kubeflow, run):
    (note,) = _notes(kubeflow, run)
    assert note == (
        "a pod of the run has not started for more than 0 s, and why is not known here (there is no "
        "kubeconfig here, and this is no pod); see `kubectl describe pods --namespace kubeflow --selector "
        f"pipeline/runid={run['run_id']}`"
    )


def test_a_kubeconfig_of_another_cluster_misleads_nobody(kubeflow, cluster, run):
    other = {"run_id": "another"}
    cluster.add_event("kubeflow", _add_pod(cluster, other, "train.executor"), "FailedScheduling", "no.")
    (note,) = _notes(kubeflow, run)
    assert "(the context kind has no pod of this run)" in note


def test_a_cluster_that_denies_access_is_said(kubeflow, cluster, run):
    cluster.forbidden = {"list pods"}
    (note,) = _notes(kubeflow, run)
    assert "(the context kind: you may not look)" in note


def _log(kubeflow, run, step):
    pods = RunPods(kubeflow, run["run_id"], _TITLES)
    return pods.log(read_run(kubeflow, run["run_id"]), step, 2)


def _missing(kubeflow, run, step):
    pods = RunPods(kubeflow, run["run_id"], _TITLES)
    with pytest.raises(UserError, match=f"the log of {step} is not read from here"):
        pods.log(read_run(kubeflow, run["run_id"]), step, 2)
    return pods.missing


def test_the_log_is_that_of_the_last_pod_of_the_step(kubeflow, cluster, run):
    for attempt in ("0", "1"):
        pod = _add_pod(cluster, run, f"train.executor({attempt})", "Failed", name=f"w-{attempt}")
        cluster.logs[pod, "main"] = f"start\nattempt {attempt}\nerror\n"
    cluster.logs[_add_pod(cluster, run, "train-driver", "Succeeded"), "main"] = "driver"
    log = _log(kubeflow, run, "train")
    assert log == ("train", "pod w-1", ["attempt 1", "error"])
    assert _log(kubeflow, run, "train-driver").lines == ["driver"]


@pytest.mark.parametrize("reach", ["no kubeconfig", "pod gone", "forbidden"])
def test_a_log_whose_pod_is_gone_is_in_the_artifact_store(kubeflow, double, cluster, run, reach, monkeypatch):
    if reach == "no kubeconfig":
        monkeypatch.setenv("KUBECONFIG", "/no/kubeconfig")
    cluster.forbidden = {"list pods"} if reach == "forbidden" else set()
    double.archived[run["run_id"], "w-4"] = "start\nattempt 0\nerror\n"
    log = _log(kubeflow, run, "train")
    assert log == ("train", "the artifact store", ["attempt 0", "error"])


def test_a_log_that_is_nowhere_says_what_was_tried(kubeflow, cluster, run):
    assert _missing(kubeflow, run, "train") == {
        "kubeconfig": "the context kind has no pod of this run",
        "artifact store": "it has no log of this step",
    }
    assert _missing(kubeflow, run, "notify")["artifact store"] == "the server names no pod of this step"
    _add_pod(cluster, run, "ingest.executor", "Succeeded")
    assert _missing(kubeflow, run, "train")["kubeconfig"] == "the context kind has no pod of train"
    _add_pod(cluster, run, "train.executor", name="w-4")
    assert _missing(kubeflow, run, "train")["kubeconfig"] == "the pod w-4 has printed nothing"


@pytest.mark.parametrize(
    ("failed", "steps"),
    [
        (["train", "exit-handler-1", "root"], ["train"]),
        (["Train the model"], ["train"]),
        (["train-driver", "exit-handler-1"], ["train-driver"]),
        (["root-driver"], ["root-driver"]),
        (["root"], []),
    ],
)
def test_the_failed_step_is_named_and_its_driver_where_no_step_failed(kubeflow, run, failed, steps):
    details = [task(name, "FAILED", start=start) for start, name in enumerate(failed)]
    run["run_details"] = {"task_details": details}
    pods = RunPods(kubeflow, run["run_id"], _TITLES)
    assert pods.failed_steps(read_run(kubeflow, run["run_id"])) == steps

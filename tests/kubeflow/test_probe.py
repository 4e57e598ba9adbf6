"""The doctor writes to a volume in a pod like those of the steps, and deletes the pod."""

import json
import subprocess
import sys
from functools import partial

import pytest
from step_pod import faults, restricted
from volume_probe import ended, unschedulable, waiting, written

from pipelines.kubeflow import probe as module
from pipelines.kubeflow.access import Access
from pipelines.kubeflow.client import connect
from pipelines.kubeflow.doctor import examine
from pipelines.kubeflow.pods import PodSettings
from pipelines.kubeflow.probe import probe_pod
from pipelines.kubeflow.submit import Place

_PODS = PodSettings(volumes=("data:/data", "data:/registry"))


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    monkeypatch.setattr(module, "PAUSE", 0.01)


@pytest.fixture
def findings(double, host, cluster):
    """Calls the doctor, and returns what it says of volumes; the claim `data` is there."""
    double.multi_user = True
    cluster.add("ann", "persistentvolumeclaims", "data")

    def call(pods=_PODS):
        found = examine(lambda: connect(Access(host, "ann")), Place("t", "n"), pods, "twotower:1.0")
        volumes = [(one.verdict, one.text) for one in found if one.what == "volume"]
        assert not [key for key in cluster.objects if key[1] == "pods"], "the pod is left"
        return volumes

    return call


def test_each_mount_is_written_to(findings, cluster):
    cluster.kubelet = written
    place = "a pod in namespace ann of the context kind writes there as 10001:0"
    assert findings() == [("well", f"data at /data: {place}"), ("well", f"data at /registry: {place}")]
    (pod,) = cluster.created
    assert [mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]] == [
        "/data",
        "/registry",
    ]


def test_a_fresh_volume_is_ill_and_comes_with_its_cure(findings, cluster):
    fault = "Permission denied: it belongs to 0:0 with the mode 755"
    cluster.kubelet = partial(written, fault=fault)
    assert findings()[0] == (
        "ill",
        f"data at /data: {fault}, and the steps run as 10001:0; give it to them as root, as "
        "docs/volume.yaml does: `chown 10001:0 /data`",
    )


def test_a_volume_without_hard_links_is_said_to_hold_no_registry(findings, cluster):
    cluster.kubelet = partial(written, links=False)
    verdict, text = findings()[0]
    assert verdict == "well"
    assert text.endswith("it has no hard links, so that no registry can lie there")


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (waiting("ImagePullBackOff", "Back-off pulling image"), "ImagePullBackOff: Back-off pulling image"),
        (unschedulable("0/1 nodes are available: 1 Insufficient cpu."), "1 Insufficient cpu"),
        (ended("no python3 in $PATH", 128, "StartError"), "failed: StartError no python3 in $PATH"),
        ({"phase": "Failed", "reason": "DeadlineExceeded"}, "failed: DeadlineExceeded"),
    ],
)
def test_a_pod_that_does_not_start_is_ill_and_says_why(findings, cluster, status, says):
    cluster.kubelet = lambda pod: status
    ((verdict, text),) = findings()
    assert verdict == "ill"
    assert says in text


def test_an_event_says_why_where_the_status_does_not(findings, cluster):
    def kubelet(pod):
        cluster.add_event("ann", pod["metadata"]["name"], "FailedMount", "no such disk")
        return {"phase": "Pending"}

    cluster.kubelet = kubelet
    ((verdict, text),) = findings()
    assert verdict == "ill"
    assert "a volume cannot be mounted: no such disk" in text


def test_without_the_right_to_create_pods_nothing_is_known(findings, cluster):
    cluster.forbidden = {"create pods"}
    ((verdict, text),) = findings()
    assert verdict == "unknown"
    assert "you may not create a pod in namespace ann of the context kind" in text


def test_a_cluster_that_stops_to_answer_is_no_illness(findings, cluster):
    def kubelet(pod):
        cluster.forbidden = {"get pods"}
        return {"phase": "Pending"}

    cluster.kubelet = kubelet
    ((verdict, text),) = findings()
    assert verdict == "unknown"
    assert "there, not written to, in namespace ann of the context kind: you may not look" in text


def test_a_pod_that_cannot_be_deleted_is_named_with_the_command(findings, cluster, capsys):
    cluster.forbidden, cluster.kubelet = {"delete pods"}, written
    with pytest.raises(AssertionError, match="the pod is left"):
        findings()
    name = cluster.created[0]["metadata"]["name"]
    assert f"`kubectl delete pod {name} -n ann`" in capsys.readouterr().err


@pytest.mark.parametrize("run_as", ["", "65532:0"])
def test_the_pod_starts_where_pod_security_is_restricted(findings, cluster, run_as):
    cluster.restricted, cluster.kubelet = True, written
    pods = PodSettings(volumes=("data:/data",), run_as=run_as)
    assert [verdict for verdict, _ in findings(pods)] == ["well"]
    (pod,) = cluster.created
    assert restricted(pod) == []


def test_a_pod_that_may_be_root_is_ill_there(findings, cluster):
    cluster.restricted = True
    ((verdict, text),) = findings(PodSettings(volumes=("data:/data",), run_as="any"))
    assert verdict == "ill"
    assert 'violates PodSecurity "restricted' in text


def test_the_pod_is_like_those_of_the_steps():
    pods = PodSettings(
        volumes=("data:/data",),
        node_selectors=("pool=a",),
        tolerations=("spot:NoSchedule",),
        image_pull_secrets=("registry-key",),
        image_pull_policy="Never",
        labels=("team=films",),
    )
    pod = probe_pod(pods, "twotower:1.0", "trainer")
    spec = pod["spec"]
    assert faults(pod) == []
    assert spec["nodeSelector"] == {"pool": "a"}
    assert spec["tolerations"] == [{"key": "spot", "operator": "Exists", "effect": "NoSchedule"}]
    assert spec["imagePullSecrets"] == [{"name": "registry-key"}]
    assert (spec["serviceAccountName"], spec["restartPolicy"]) == ("trainer", "Never")
    assert spec["containers"][0]["imagePullPolicy"] == "Never"
    assert pod["metadata"]["labels"]["team"] == "films"


@pytest.mark.process
def test_the_program_tells_where_it_could_write_and_leaves_nothing(tmp_path):
    (writable := tmp_path / "data").mkdir()
    pod = probe_pod(PodSettings(volumes=("data:/data",)), "twotower:1.0", "")
    _, flag, program, _ = pod["spec"]["containers"][0]["command"]
    result = tmp_path / "result"
    program = program.replace("/dev/termination-log", str(result))
    subprocess.run([sys.executable, flag, program, str(writable), "/proc"], check=True)
    found = json.loads(result.read_text("utf-8"))
    assert found[str(writable)]["fault"] == ""
    assert found[str(writable)]["links"] is True
    assert "it belongs to 0:0 with the mode 555" in found["/proc"]["fault"]
    assert list(writable.iterdir()) == []

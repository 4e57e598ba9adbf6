"""The step `train` with several workers, against a double of the Kubernetes API."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest
import yaml

from components.errors import UserError
from components.train.pods import launch, worker
from components.train.pods.api import RIGHTS
from components.train.settings import TrainRequest
from components.train.step import train


def test_a_job_is_created_followed_and_removed_and_its_model_is_the_output(pods, capsys):
    def start():
        for index in range(3):
            pods.double.run(index)
        pods.say(0, "noise", "twotower: train: step 10: well")

    def go_on():
        pods.say(0, "twotower: train: step 20: better")

    pods.at_looks(start, go_on, partial(pods.succeed, 3))
    summary = pods.train(workers=3)
    assert summary.validation_rmse == 0.9
    assert (pods.output / "model.json").is_file()
    assert [item["kind"] for item in pods.double.created] == ["Service", "Job"]
    assert pods.left() == []
    told = capsys.readouterr().err
    assert told.count("train: step 10: well") == told.count("step 20: better") == 1
    assert told.count("worker 2 of 3") == 1
    assert "noise" not in told


def test_the_workers_find_inputs_request_and_heartbeat_in_the_shared_place(pods):
    seen = {}

    def look():
        seen["request"], seen["heartbeat"] = pods.exchange.request(), pods.exchange.heartbeat()
        pods.exchange.fetch_inputs(pods.root.parent / "fetched")
        pods.succeed()

    pods.at_looks(look)
    pods.train()
    [container] = pods.double.created[1]["spec"]["template"]["spec"]["containers"]
    assert container["command"][3] == pods.exchange.root
    assert seen["request"] == TrainRequest("default", {"steps": 10}, 0.0, 0.0, 42, str(pods.root))
    assert seen["heartbeat"]
    for name in ("interactions", "vocabulary"):
        original, fetched = getattr(pods.world, name), pods.root.parent / "fetched" / name
        files = sorted(path.name for path in original.iterdir())
        assert files == sorted(path.name for path in fetched.iterdir())
        assert all((original / file).read_bytes() == (fetched / file).read_bytes() for file in files)


def test_the_heartbeat_goes_on_while_the_step_waits(pods, monkeypatch):
    monkeypatch.setattr(worker, "SECONDS_BETWEEN_BEATS", 0.01)
    beats = set()

    def look():
        beats.add(pods.exchange.heartbeat())
        if len(beats) < 3:
            pods.at_looks(look)
        else:
            pods.succeed()

    pods.at_looks(look)
    pods.train()
    assert len(beats) == 3


def test_a_worker_that_is_lost_is_started_again_with_the_others(pods, capsys):
    def lose():
        pods.double.end(1, 137)
        pods.double.end(0, 138)
        phases = [pod["status"]["phase"] for pod in pods.double.all("pods")]
        assert sorted(phases) == ["Failed", "Failed", "Pending", "Pending"]

    pods.at_looks(lose, pods.succeed)
    assert pods.train().steps == 10
    assert "worker 1 of 2" in capsys.readouterr().err


def test_a_disruption_counts_for_nothing_and_a_failure_is_counted(pods):
    def disrupt():
        for _ in range(100):
            pods.double.end(0, 137, disrupted=True)
        for _ in range(20):
            pods.double.end(1, 137)
        pods.double.end(0, 138)

    pods.at_looks(disrupt, pods.succeed)
    assert pods.train().steps == 10


def test_one_failure_more_than_are_allowed_ends_the_job(pods):
    def fail():
        for _ in range(21):
            pods.double.end(1, 138)

    pods.at_looks(fail)
    with pytest.raises(UserError, match=r"Job twotower-\w+ failed: MaxFailedIndexesExceeded: .*; look at"):
        pods.train()
    assert pods.left() == []


def test_a_mistake_ends_the_job_at_once_in_the_words_of_the_worker_that_met_it(pods):
    def meet():
        pods.double.run(0)
        pods.fail(1, "--preset: no such thing")
        # The other worker was ended with the Job.
        assert len(pods.double.all("pods")) == 1

    pods.at_looks(meet)
    with pytest.raises(UserError, match=r"^--preset: no such thing$"):
        pods.train()
    assert not pods.output.exists()
    assert pods.left() == []


def test_a_worker_out_of_memory_ends_the_step_with_the_limit(pods):
    pods.at_looks(partial(pods.double.end, 1, 137, "OOMKilled"))
    with pytest.raises(UserError, match=r"^worker 1 of 2 ran out of memory \(its limit: 12Gi\)"):
        pods.train()
    assert pods.left() == []


def test_the_deadline_of_the_step_is_that_of_the_job(pods):
    pods.at_looks(pods.double.pass_deadline)
    with pytest.raises(UserError, match="DeadlineExceeded: Job was active longer than specified deadline"):
        pods.train()


def test_the_step_says_why_a_worker_does_not_start(pods, capsys):
    why = "0/3 nodes are available: 3 Insufficient cpu."
    image = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}

    def wait():
        unscheduled = {"type": "PodScheduled", "status": "False", "message": why}
        pods.double.pod_of(0)["status"]["conditions"] = [unscheduled]
        pods.double.pod_of(1)["status"]["containerStatuses"] = [{"name": "worker", "state": image}]

    pods.at_looks(wait, lambda: None, pods.succeed)
    pods.train()
    told = capsys.readouterr().err
    assert told.count(f"waits: {why}") == 1
    assert told.count("waits: ImagePullBackOff: no such image") == 1


def test_a_pod_that_the_namespace_forbids_is_said_to_be_missing(pods, capsys):
    def allow():
        pods.double.quota = 2
        pods.double.end(0)
        pods.succeed()

    pods.double.quota = 1
    pods.at_looks(*[lambda: None] * 7, allow)
    pods.train()
    assert (
        capsys.readouterr().err.count("1 of 2 workers have no pod yet; `kubectl describe job twotower-") == 1
    )


def test_a_cancelled_step_leaves_nothing_behind(pods):
    before = signal.getsignal(signal.SIGTERM)
    pods.at_looks(partial(os.kill, os.getpid(), signal.SIGTERM))
    with pytest.raises(SystemExit) as ended:
        pods.train()
    assert ended.value.code == 143
    assert pods.left() == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_what_an_earlier_try_left_goes_first(pods, capsys):
    for name, run in (("earlier", pods.launcher.pod.run), ("other", "another-run")):
        metadata = {"name": name, "uid": name, "labels": {"twotower/run": run}}
        ended = {"metadata": metadata, "spec": {}, "status": {"conditions": []}}
        pods.double.objects["jobs", name] = ended
    (pods.root / "workers" / pods.launcher.pod.run / "earlier").mkdir(parents=True)
    pods.at_looks(pods.succeed)
    pods.train()
    assert pods.left() == ["jobs/other"]
    assert [path.name for path in (pods.root / "workers").rglob("*")] == [pods.launcher.pod.run]
    assert "deleting the job earlier" in capsys.readouterr().err


def test_an_api_that_is_down_for_a_while_ends_nothing(pods):
    pods.at_looks(lambda: setattr(pods.double, "failures", 3), pods.succeed)
    assert pods.train().steps == 10


def test_an_api_that_stays_down_ends_the_step(pods, monkeypatch):
    monkeypatch.setattr(launch, "_PATIENCE", 0.05)
    pods.at_looks(lambda: setattr(pods.double, "failures", 10_000))
    with pytest.raises(UserError, match="the cluster's API answers 503"):
        pods.train()


def test_a_job_that_somebody_deletes_ends_the_step(pods):
    pods.at_looks(pods.double.objects.clear)
    with pytest.raises(UserError, match="was deleted while it ran; run this step again"):
        pods.train()


_NEEDED = (
    "create jobs",
    "get jobs",
    "list jobs",
    "create services",
    "list pods",
    "get persistentvolumeclaims",
)


@pytest.mark.parametrize("right", _NEEDED)
def test_a_missing_right_names_the_role_that_gives_it(pods, right):
    pods.double.forbidden.add(right)
    pods.at_looks(pods.succeed)
    with pytest.raises(UserError) as refused:
        pods.train()
    assert "docs/workers-role.yaml" in str(refused.value)
    assert right.split()[1] in str(refused.value)
    assert not [line for line in pods.left() if line.startswith("/")]


def test_the_log_of_a_worker_is_not_needed(pods):
    pods.double.forbidden.add("get pods/log")
    pods.at_looks(pods.succeed)
    assert pods.train().steps == 10


def test_a_cluster_that_would_try_for_ever_is_refused(pods):
    pods.double.old = True
    with pytest.raises(UserError, match=r"--workers 2 needs Kubernetes 1\.29 or newer"):
        pods.train()
    assert pods.left() == []


@pytest.mark.parametrize(
    ("root", "modes", "reason"),
    [
        ("/elsewhere/checkpoints", ["ReadWriteMany"], "no volume of this pod lies there"),
        ("/kfp-launcher/x", ["ReadWriteMany"], "no volume of this pod lies there"),
        ("", ["ReadWriteOncePod"], "--volume twotower: the access mode of this claim is ReadWriteOncePod"),
    ],
)
def test_a_place_that_is_not_shared_is_refused_before_anything_starts(pods, root, modes, reason):
    pods.double.objects["persistentvolumeclaims", "twotower"]["spec"]["accessModes"] = modes
    with pytest.raises(UserError, match=reason) as refused:
        pods.train(root=root)
    assert "gs://" in str(refused.value)
    assert pods.double.created == []
    assert not pods.root.exists()


def test_a_volume_of_one_node_keeps_the_workers_on_it_with_a_remark(pods, capsys):
    pods.double.objects["persistentvolumeclaims", "twotower"]["spec"]["accessModes"] = ["ReadWriteOnce"]
    pods.at_looks(pods.succeed)
    pods.train()
    affinity = pods.double.created[1]["spec"]["template"]["spec"]["affinity"]
    assert "node-1" in str(affinity["nodeAffinity"])
    assert "ReadWriteOnce: all 2 pods have to find room on this node, node-1" in capsys.readouterr().err


def test_a_volume_that_all_may_read_is_no_obstacle_beside_the_one_of_the_checkpoints(pods):
    pods.launcher.pod.manifest["spec"]["volumes"][1] = {
        "name": "gcs-key",
        "persistentVolumeClaim": {"claimName": "ratings"},
    }
    claims = pods.double.objects
    claims["persistentvolumeclaims", "ratings"] = {"spec": {"accessModes": ["ReadOnlyMany"]}}
    assert pods.launcher.check_shared(2, str(pods.root)) is False
    claims["persistentvolumeclaims", "twotower"]["spec"]["accessModes"] = ["ReadOnlyMany"]
    with pytest.raises(UserError, match="--volume twotower"):
        pods.launcher.check_shared(2, str(pods.root))


def test_a_bucket_is_a_shared_place(pods, bucket):
    pods.launcher.pod.manifest["spec"]["volumes"] = []
    assert pods.launcher.check_shared(2, f"{bucket}/checkpoints") is False
    assert pods.double.requests == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"workers": 0}, "--workers 0: give a whole number, at least 1"),
        ({"workers": 2}, "--workers 2 needs --checkpoint-root"),
        ({"workers": 2, "preset": "notebook"}, "--workers 2: the preset notebook trains in one process"),
        ({"workers": 2, "checkpoint_root": "gs://b/c", "train_settings": {"steps": -1}}, "steps is -1"),
        ({"workers": 2, "checkpoint_root": "gs://b/c"}, "--workers 2 starts pods .* no pod of one"),
    ],
)
@pytest.mark.tensorflow
def test_what_cannot_be_is_refused_in_one_line(world, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    paths = {"interactions": str(world.interactions), "vocabulary": str(world.vocabulary)}
    with pytest.raises(UserError, match=reason):
        train(**paths, output=str(tmp_path / "model"), **arguments)
    assert not (tmp_path / "model").exists()


def test_the_role_grants_what_is_asked_for_and_no_more(pods):
    role = yaml.safe_load((Path(__file__).parents[2] / "docs" / "workers-role.yaml").read_text("utf-8"))
    granted = {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert granted == {(group, name, verb) for group, name, verbs in RIGHTS for verb in verbs}
    manifest = pods.launcher.pod.manifest
    pods.double.objects["pods", manifest["metadata"]["name"]] = dict(manifest)
    pods.launcher.api.read("pod", manifest["metadata"]["name"])
    pods.double.add_pod("orphan", pods.launcher.pod.run)
    pods.at_looks(pods.succeed)
    pods.train()
    asked = {tuple(request.split()) for request in pods.double.requests}
    assert asked == {(verb, resource) for _, resource, verb in granted}

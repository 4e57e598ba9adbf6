"""Runs, schedules and several pods on a real Kubeflow. The tests stand on one another: run the whole file."""

import json
import time

import pytest
from cluster_site import LONG, until

pytestmark = pytest.mark.cluster

_IMPOSSIBLE = {"gate": "enforce", "min_top_100_accuracy": 0.999}


def _told(done) -> str:
    return f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def published(site, sample):
    """The first run: its id, and what `submit --wait` printed."""
    done = site.twotower("submit", "--wait", *site.flags())
    assert done.returncode == 0, _told(done)
    return site.run_of(done.stdout.splitlines()[0]), done


@pytest.fixture
def long_run(site, sample, published, tmp_path, request):
    """A run that trains for long, followed by `submit --wait`: its id, the process, and its log."""
    log = tmp_path / "screen.txt"
    process = site.start(log, "submit", "--wait", *site.flags(LONG, seed=len(request.node.name)))
    run_id = until(lambda: _page(site, log), what="the page of the run")
    until(lambda: _checkpointed(site, run_id), what="a checkpoint")
    yield run_id, process, log
    if process.poll() is None:
        site.twotower("cluster", "cancel", run_id)
        process.wait(timeout=300)


def _page(site, log):
    lines = [line for line in log.read_text("utf-8").splitlines() if "/runs/details/" in line]
    return site.run_of(lines[0]) if lines else ""


def _log(site, run_id, step):
    pods = site.pods(run_id, step)
    return site.kubectl("logs", pods[0]["metadata"]["name"], "--container=main", check=False) if pods else ""


def _checkpointed(site, run_id):
    return "train: step 100:" in _log(site, run_id, "train")


# ---- runs


def test_the_doctor_writes_to_a_fresh_volume(site):
    done = site.twotower("doctor", "--volume", f"{site.claim}:/data", *site.names())
    assert done.returncode == 0, _told(done)
    (line,) = [line for line in done.stdout.splitlines() if line[2:].startswith("volume")]
    assert line.startswith("✓"), _told(done)


def test_a_run_publishes_and_says_so_from_a_volume(site, published):
    run_id, done = published
    assert "published 2" in done.stdout, _told(done)
    record = site.record(run_id)
    assert record["outcome"] == "published"
    assert site.on_the_volume(f"ls {site.registry}/versions").split() == [record["version"]]


def test_nothing_that_it_wrote_is_for_anybody_to_change(site, published):
    assert site.on_the_volume("find /data -perm -o+w -not -type l -not -path /data") == ""


def _executed(site, done):
    """The steps that had a pod in the run that `submit --wait` printed: the others came from the cache."""
    run_id = site.run_of(done.stdout.splitlines()[0])
    return {
        step for step in ("prepare", "ingest", "vocabulary", "train", "evaluate") if site.pods(run_id, step)
    }


def test_the_same_again_takes_what_is_cached(site, published):
    done = site.twotower("submit", "--wait", "--again", *site.flags())
    assert done.returncode == 0, _told(done)
    assert _executed(site, done) == {"prepare", "train", "evaluate"}  # there is a champion to start from now


def test_an_unchanged_input_is_skipped(site, published):
    done = site.twotower("submit", "--wait", *site.flags(skip_unchanged=True))
    assert done.returncode == 0, _told(done)
    assert "skipped: " in done.stdout
    assert not site.pods(site.run_of(done.stdout.splitlines()[0]), "ingest")


@pytest.mark.parametrize(("fail", "status"), [(False, 0), (True, 1)])
def test_a_refusal_says_why(site, published, fail, status):
    done = site.twotower("submit", "--wait", *site.flags(**_IMPOSSIBLE, fail_when_refused=fail))
    assert done.returncode == status, _told(done)
    assert "refused: " in done.stdout
    assert "min_top_100_accuracy" in done.stdout
    # The second refusal met the champion of the first, and a champion that stays leaves the training cached.
    assert ("train" in _executed(site, done)) is not fail


def test_a_step_that_fails_is_named_with_the_end_of_its_log_and_can_be_retried(site, published):
    done = site.twotower("submit", "--wait", *site.flags(ratings="/data/late.csv"))
    assert done.returncode == 1, _told(done)
    assert "failed: Prepare the run" in done.stdout, _told(done)
    assert "/data/late.csv does not exist" in done.stdout
    run_id = site.run_of(done.stdout.splitlines()[0])
    logs = site.twotower("cluster", "logs", run_id)
    assert "error: " in logs.stdout, _told(logs)
    site.on_the_volume("cp /data/sample/ratings.csv /data/late.csv")
    retried = site.twotower("cluster", "retry", run_id)
    assert retried.returncode == 0, _told(retried)
    done = site.twotower("cluster", "wait", run_id)
    assert done.returncode == 0, _told(done)
    listed = json.loads(site.twotower("cluster", "runs", "--json").stdout)
    assert next(run["state"] for run in listed if run["run_id"] == run_id) == "succeeded"


def test_a_pod_that_is_deleted_is_made_again_and_goes_on_from_the_checkpoint(site, long_run):
    run_id, _, _ = long_run
    (pod, *_) = site.pods(run_id, "train")
    site.kubectl("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0")
    until(lambda: "resuming from" in _log(site, run_id, "train"), what="a resumed training")


def test_a_run_that_is_cancelled_says_so(site, long_run):
    run_id, process, log = long_run
    done = site.twotower("cluster", "cancel", run_id)
    assert done.returncode == 0, _told(done)
    assert done.stdout.startswith("cancelled: ")
    assert process.wait(timeout=300) == 130, log.read_text("utf-8")
    assert "cancelled" in log.read_text("utf-8")
    assert "failed or cancelled" in site.record(run_id)["reason"]


def test_a_pod_that_cannot_be_placed_is_explained_and_the_waiting_ends(site, published):
    asked = site.flags(rating_weight=0.123)
    done = site.twotower("submit", "--wait", "--timeout", "3m", "--request", "train:cpu=640", *asked)
    run_id = site.run_of(done.stdout.splitlines()[0])
    try:
        assert done.returncode == 124, _told(done)
        assert "Insufficient cpu" in done.stderr, _told(done)
    finally:
        site.twotower("cluster", "cancel", run_id)


# ---- schedules


def _schedule(site, verb, *words):
    done = site.twotower("schedule", verb, f"nightly-{site.mark}", *words)
    assert done.returncode == 0, _told(done)
    return done.stdout


def _newest(site):
    return json.loads(site.twotower("cluster", "runs", "--limit", "1", "--json").stdout)[0]


def test_a_schedule_through_its_life_with_a_run_in_progress(site, published):
    try:
        said = _schedule(site, "create", "--cron", "0 0 3 * * *", *site.flags(LONG, seed=77))
        assert "created" in said
        assert "03:00:00" in said
        _schedule(site, "pause")
        assert "(off)" in _schedule(site, "show")
        _schedule(site, "resume")
        assert "(on)" in _schedule(site, "show")
        _schedule(site, "run-now")
        run = _newest(site)
        until(lambda: _checkpointed(site, run["run_id"]), what="a checkpoint")
        # Since 2.16 a run survives the end of its schedule.
        assert "replaced" in _schedule(site, "create", "--cron", "0 0 4 * * *", *site.flags(LONG, seed=77))
        _schedule(site, "delete")
        time.sleep(20)
        assert _newest(site)["state"] == "running"
    finally:
        site.twotower("schedule", "delete", f"nightly-{site.mark}", "--kill-running")
    site.twotower("cluster", "cancel", run["run_id"])


# ---- several pods


def test_two_workers_train_together_and_outlive_the_loss_of_one(site, published, tmp_path):
    log = tmp_path / "screen.txt"
    settings = {**LONG, "steps": 1_500, "validations": 30}
    process = site.start(log, "submit", "--wait", *site.flags(settings, workers=2, seed=5))
    run_id = until(lambda: _page(site, log), what="the page of the run")

    def workers():
        found = site.kubectl("get", "pods", "--selector", "job-name", "--output", "json")
        return [pod for pod in json.loads(found)["items"] if pod["status"].get("phase") == "Running"]

    until(lambda: "step 100:" in _log(site, run_id, "train"), 600, "a checkpoint of two workers")
    killed = workers()[1]["metadata"]["name"]
    site.kubectl("delete", "pod", killed, "--force", "--grace-period=0")
    assert process.wait(timeout=900) == 0, log.read_text("utf-8")
    assert "resuming from" in _log(site, run_id, "train")
    assert (
        site.kubectl("get", "jobs,services", "--selector", f"twotower/run={run_id}", "--output", "name") == ""
    )


def test_a_batch_in_shards_outlives_the_loss_of_one_and_leaves_nothing(site, published, tmp_path):
    log = tmp_path / "screen.txt"
    asked = site.flags(batch_k=5, batch_shards=2, rating_weight=1.1)
    process = site.start(log, "submit", "--wait", *asked)
    run_id = until(lambda: _page(site, log), what="the page of the run")
    selector = f"twotower/run={run_id},app.kubernetes.io/component=batch"

    def shards():
        found = site.kubectl("get", "jobs", "--selector", selector, "--output", "json")
        jobs = json.loads(found)["items"]
        return site.kubectl("get", "pods", "--selector", f"job-name={jobs[0]['metadata']['name']}",
                            "--output", "name").split() if jobs else []  # fmt: skip

    first = until(shards, 600, "the pods of the shards")[0]
    site.kubectl("delete", first, "--force", "--grace-period=0", check=False)
    assert process.wait(timeout=900) == 0, log.read_text("utf-8")
    assert ": 2 shards" in _log(site, run_id, "batch")
    assert site.kubectl("get", "jobs,pods", "--selector", f"twotower/run={run_id}", "--output", "name") == ""
    assert site.on_the_volume(f"ls /data/checkpoints/workers | grep -c {run_id} || true").strip() == "0"

"""A batch in shards: together the rows of one, whoever writes them."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from kubernetes import client
from kubernetes_double import NAMESPACE, KubernetesDouble
from pytest_httpserver import HTTPServer
from training_pods import RUN, step_pod

from components.errors import UserError
from components.recommend import batch as batch_module
from components.recommend.batch import write_recommendations
from components.recommend.shards.parts import users_of, write_in_shards
from components.recommend.shards.pods import BatchExchange, recommend_in_pods
from components.recommend.step import batch as batch_step
from components.storage import open_storage
from components.train.pods import launch
from components.train.pods.api import Api
from components.train.pods.launch import Launcher
from pipelines.cli import twotower

pytestmark = pytest.mark.tensorflow


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "_BATCH", 2)
    monkeypatch.setattr(batch_module, "_PART", 4)


@pytest.fixture(scope="module")
def whole(index, tmp_path_factory):
    """The rows of a batch in one file, by user."""
    file = tmp_path_factory.mktemp("whole") / "x.parquet"
    write_recommendations(index, index.user_ids, 3, file)
    return by_user(file)


def by_user(place: Path) -> pd.DataFrame:
    rows = pq.read_table(place).to_pandas()
    return rows.sort_values(["user_id", "rank"]).reset_index(drop=True)


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


PARTS = [*(f"part-{shard:05d}-of-00003.parquet" for shard in range(3)), "_SUCCESS"]


def test_each_user_is_in_one_shard_and_always_the_same() -> None:
    users = [f"user{number}" for number in range(3000)]
    shards = [users_of(users, shard, 3) for shard in range(3)]
    assert sorted(user for shard in shards for user in shard) == sorted(users)
    assert all(900 < len(shard) < 1100 for shard in shards)
    assert all(shard == sorted(shard, key=users.index) for shard in shards[:1])
    assert [users_of(["a", "b", "c", "é"], shard, 2) for shard in range(2)] == [["a", "b"], ["c", "é"]]


def test_together_they_have_the_rows_of_one(index, whole, tmp_path) -> None:
    summary = write_in_shards(index, [*index.user_ids, "stranger"], 3, str(tmp_path / "x"), 3)
    assert names(tmp_path / "x") == sorted(PARTS)
    rows = by_user(tmp_path / "x")
    pd.testing.assert_frame_equal(rows[rows["user_id"] != "stranger"].reset_index(drop=True), whole)
    assert (summary.users, summary.rows, summary.unknown_users) == (len(index.user_ids) + 1, len(rows), 1)
    assert names(tmp_path) == ["x"]


def test_more_shards_than_users_are_empty_files(index, tmp_path) -> None:
    write_in_shards(index, ["user3"], 3, str(tmp_path / "x"), 9)
    assert len(names(tmp_path / "x")) == 10
    assert set(pq.read_table(tmp_path / "x").to_pandas()["user_id"]) == {"user3"}


def dying_after(index, monkeypatch: pytest.MonkeyPatch, users: int) -> list[str]:
    """Lets the index answer for so many users and then die; returns those that it was asked about."""
    asked: list[str] = []
    ranking = index.ranking

    def dying(some, *rest):
        asked.extend(some)
        if len(asked) > users:
            raise KeyboardInterrupt
        return ranking(some, *rest)

    monkeypatch.setattr(index, "ranking", dying)
    return asked


def test_goes_on_after_a_kill_in_the_shard_where_it_was(index, whole, tmp_path, monkeypatch) -> None:
    first = len(users_of(index.user_ids, 0, 2))
    with monkeypatch.context() as patched:
        dying_after(index, patched, first)
        with pytest.raises(KeyboardInterrupt):
            write_in_shards(index, index.user_ids, 3, str(tmp_path / "x"), 2)
    assert not (tmp_path / "x").exists()
    with monkeypatch.context() as patched:
        asked = dying_after(index, patched, 10_000)
        write_in_shards(index, index.user_ids, 3, str(tmp_path / "x"), 2)
    assert sorted(asked) == sorted(users_of(index.user_ids, 1, 2))
    pd.testing.assert_frame_equal(by_user(tmp_path / "x"), whole)


def test_parts_of_another_call_are_not_taken_over(index, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patched:
        dying_after(index, patched, len(users_of(index.user_ids, 0, 2)))
        with pytest.raises(KeyboardInterrupt):
            write_in_shards(index, index.user_ids, 3, str(tmp_path / "x"), 2)
    write_in_shards(index, index.user_ids, 2, str(tmp_path / "x"), 2)
    assert set(by_user(tmp_path / "x")["rank"]) == {1, 2}
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("place", ["gcs", "s3"], indirect=True)
def test_a_bucket_has_the_parts_of_the_last_call_and_keeps_other_files(
    index, place, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv("TWOTOWER_CACHE", str(tmp_path / "cache"))
    storage = open_storage(place)
    storage.write_bytes("x/notes.txt", b"mine")
    for shards in (5, 3):
        write_in_shards(index, index.user_ids, 3, f"{place}/x", shards)
    assert sorted(storage.list("x/")) == sorted(f"x/{name}" for name in ["notes.txt", *PARTS])
    assert not list((tmp_path / "cache" / "batch").iterdir())


def test_the_command_and_the_step_write_them_one_after_the_other(
    index_directory, whole, tmp_path, capsys
) -> None:
    words = ["batch", "--users", "all", "--k", "3", "--shards", "3", "--index", str(index_directory)]
    done = CliRunner().invoke(twotower, [*words, "--output", str(tmp_path / "x")], catch_exceptions=False)
    assert f"{len(whole):,} recommendations for" in done.stdout
    batch_step(
        index=str(index_directory), output=str(tmp_path / "y"), k=3, shards=3, checkpoint_root="/unused"
    )
    for name in ("x", "y"):
        assert names(tmp_path / name) == sorted(PARTS), "a file beside them would be read as data"
        pd.testing.assert_frame_equal(by_user(tmp_path / name), whole)
    done = CliRunner().invoke(twotower, [*words, "--output", str(tmp_path / "x.csv")])
    assert "x.csv is a file, and --shards 3 writes several of Parquet; name a directory" in str(
        done.exception
    )


class Cluster:
    """A pod of the step `batch` in a cluster, and the programs of the pods of its Job, in this process."""

    def __init__(
        self, double: KubernetesDouble, launcher: Launcher, root: Path, index: Any, place: Path
    ) -> None:
        self.double, self.launcher, self.root, self.index = double, launcher, root, index
        self.place = str(place)

    @property
    def exchange(self) -> BatchExchange:
        return BatchExchange.of_run(str(self.root), RUN)

    def recommend(self, output: Path, shards: int = 3, k: int = 3) -> Any:
        return recommend_in_pods(
            self.launcher, shards, self.index, self.place, k, str(self.root), str(output)
        )

    def work(self, shard: int) -> None:
        self.exchange.write_shard(shard)
        self.double.end(shard)

    def at_looks(self, *actions: Any) -> None:
        left = [*actions, *[lambda: None] * 5, self.double.objects.clear]
        self.double.on_look = lambda _: left.pop(0)() if left else None


@pytest.fixture
def cluster(
    httpserver: HTTPServer, index: Any, index_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    monkeypatch.setattr(launch, "SECONDS_BETWEEN_LOOKS", 0.01)
    double = KubernetesDouble()
    httpserver.expect_request(re.compile(".*")).respond_with_handler(double)
    pod = step_pod()
    pod.container["volumeMounts"][0]["mountPath"] = str(tmp_path)
    double.objects["persistentvolumeclaims", "twotower"] = {"spec": {"accessModes": ["ReadWriteMany"]}}
    configuration = client.Configuration(host=httpserver.url_for("").rstrip("/"))
    configuration.retries = False
    with client.ApiClient(configuration) as connection:
        launcher = Launcher(Api(connection, NAMESPACE), pod, "batch_shards")
        yield Cluster(double, launcher, tmp_path / "checkpoints", index, index_directory)
    httpserver.check()


def test_each_shard_is_the_work_of_a_pod(cluster, whole, tmp_path) -> None:
    cluster.at_looks(*(partial(cluster.work, shard) for shard in range(3)))
    summary = cluster.recommend(tmp_path / "out")
    assert names(tmp_path / "out") == sorted(PARTS)
    pd.testing.assert_frame_equal(by_user(tmp_path / "out"), whole)
    assert (summary.users, summary.rows) == (whole["user_id"].nunique() + 1, len(whole))  # user1 has no row
    (job,) = cluster.double.created
    assert (job["kind"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Job", 3, 3)
    assert job["metadata"]["labels"]["app.kubernetes.io/component"] == "batch"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    module = "components.recommend.shards.pods"
    assert container["command"] == ["python3", "-m", module, cluster.exchange.root]
    assert not [path for path in cluster.root.rglob("*") if path.is_file()]
    assert not [name for kind, name in cluster.double.objects if kind == "jobs"]


def test_the_next_try_of_the_step_takes_what_is_done(cluster, whole, tmp_path, capsys) -> None:
    mistake = '{"step": "batch", "seconds": 1, "peak_memory_bytes": 1, "format": 1, "status": "mistake", '

    def fail() -> None:
        name = cluster.double.pod_of(1)["metadata"]["name"]
        cluster.double.logs[name] = f'{mistake}"error": "the disk is full"}}\n'
        cluster.double.end(1, 2)

    cluster.at_looks(partial(cluster.work, 0), fail)
    with pytest.raises(UserError, match=r"^the disk is full$"):
        cluster.recommend(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    capsys.readouterr()

    cluster.launcher.pod.manifest["metadata"]["uid"] = "another-try"
    cluster.at_looks(*(partial(cluster.work, shard) for shard in range(3)))
    cluster.recommend(tmp_path / "out")
    said = capsys.readouterr().err
    assert "1 of 3 shards were done before" in said
    assert "shard 1 of 3 was done before" in said
    assert "shard 2 of 3: " in said
    pd.testing.assert_frame_equal(by_user(tmp_path / "out"), whole)


def test_parts_of_another_plan_are_done_again(cluster, tmp_path) -> None:
    cluster.at_looks(partial(cluster.work, 0), partial(cluster.double.pass_deadline))
    with pytest.raises(UserError, match="DeadlineExceeded"):
        cluster.recommend(tmp_path / "out")
    cluster.launcher.pod.manifest["metadata"]["uid"] = "another-try"
    cluster.at_looks(*(partial(cluster.work, shard) for shard in range(3)))
    cluster.recommend(tmp_path / "out", k=2)
    assert set(by_user(tmp_path / "out")["rank"]) == {1, 2}


def test_a_pod_out_of_memory_is_named_with_the_cure(cluster, tmp_path) -> None:
    cluster.at_looks(partial(cluster.double.end, 2, 137, "OOMKilled"))
    with pytest.raises(UserError, match=r"worker 2 of 3 ran out of memory .* \(--request batch:memory=…\)"):
        cluster.recommend(tmp_path / "out")


def test_without_a_shared_place_no_pod_is_started(cluster, tmp_path, monkeypatch) -> None:
    with pytest.raises(UserError, match="batch_shards 3 needs a checkpoint root"):
        recommend_in_pods(cluster.launcher, 3, cluster.index, cluster.place, 3, "", str(tmp_path / "out"))
    cluster.root = Path("/elsewhere")
    with pytest.raises(UserError, match="the other pods of batch_shards 3 would not see it"):
        cluster.recommend(tmp_path / "out")
    assert cluster.double.created == []


def test_a_step_on_a_cluster_asks_for_pods(index_directory, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("KFP_POD_NAME", "twotower-batch")
    with pytest.raises(UserError, match="batch_shards 2 starts pods on a Kubernetes cluster"):
        batch_step(index=str(index_directory), output=str(tmp_path / "x"), k=3, shards=2)
    assert batch_step(index=str(index_directory), output=str(tmp_path / "x"), k=3) is not None

"""A batch in several pods, each with a shard of the users: the step that starts them, and their program."""

import os
import sys
import tempfile
from pathlib import Path

from components.documents import decode, encode
from components.errors import UserError
from components.outputs import output_directory
from components.progress import log
from components.recommend.batch import BatchSummary, write_recommendations
from components.recommend.index import PublishedIndex
from components.recommend.shards.parts import ShardPlan, count_rows, part_name, shard_plan, users_of
from components.step import TABLE_IS_WHOLE, reported
from components.train.pods.launch import JobFollower, Launcher, ended_by_sigterm, tidied
from components.train.pods.manifests import PodProgram
from components.train.pods.worker import Exchange, beating, end_without_step, exchange_of
from components.vocabulary.conditions import NO_RULES, Rules

_INDEX, _PLAN, _PARTS = "index", "plan.json", "parts"

# Name of the directory of a run, the same for each try of its step, so that a later one finds what is done.
_BATCH = "batch"


class BatchExchange(Exchange):
    """The index on its way to the pods, and the parts on their way back.

    Below `root` lie index/, plan.json and heartbeat, which the step writes, and parts/, with a file of each
    shard that is done.
    """

    @classmethod
    def of_run(cls, checkpoint_root: str, run: str) -> "BatchExchange":
        """Returns the exchange directory of a run's batch."""
        return cls(exchange_of(checkpoint_root, run, _BATCH).root)

    def stage_index(self, plan: ShardPlan, index: Path) -> None:
        """Uploads the index, unless it is there with the same plan; then the parts that are done count."""
        if self._storage.exists(_PLAN) and self._storage.read_bytes(_PLAN) == encode(plan):
            log(f"{len(self._done())} of {plan.shards} shards were done before")
            return
        self._storage.delete(_PLAN)
        for name in (_PARTS, _INDEX):
            self._storage.delete_prefix(name)
        self._storage.upload_directory(index, _INDEX)
        self._storage.write_bytes(_PLAN, encode(plan))

    def plan(self) -> ShardPlan:
        """Returns the plan that `stage_index` wrote."""
        return decode(self._storage.read_bytes(_PLAN), ShardPlan, self._storage.uri(_PLAN))

    def write_shard(self, shard: int) -> None:
        """Recommends to the users of a shard, unless that is done."""
        plan = self.plan()
        name = part_name(shard, plan.shards)
        if name in self._done():
            log(f"shard {shard + 1} of {plan.shards} was done before")
            return
        with tempfile.TemporaryDirectory() as scratch:
            # Parts of a shard whose place is in a bucket; on a volume they lie beside it, for the next pod.
            os.environ.setdefault("TWOTOWER_CACHE", str(Path(scratch, "cache")))
            self._fetch(_INDEX, Path(scratch, _INDEX))
            index = PublishedIndex.load(Path(scratch, _INDEX))
            users = users_of(index.user_ids, shard, plan.shards)
            log(f"shard {shard + 1} of {plan.shards}: {len(users):,} users")
            output = self._storage.uri(f"{_PARTS}/{name}")
            write_recommendations(index, users, plan.k, output, plan.known, plan.order, plan.rules)

    def fetch_parts(self, output: str, shards: int) -> int:
        """Downloads the parts of all shards to the directory `output`; returns the number of rows.

        Raises `UserError` if one is missing.
        """
        if missing := {part_name(shard, shards) for shard in range(shards)} - self._done():
            raise UserError(f"{self.root}/{_PARTS} lacks {min(missing)}; run this step again")
        with output_directory(output) as directory:
            for name in sorted(self._done()):
                self._storage.download_file(f"{_PARTS}/{name}", directory / name)
            (directory / TABLE_IS_WHOLE).touch()
            return count_rows(directory)

    def _done(self) -> set[str]:
        keys = self._storage.list(f"{_PARTS}/part-")
        return {key.removeprefix(f"{_PARTS}/") for key in keys if key.endswith(".parquet")}


def recommend_in_pods(
    launcher: Launcher,
    shards: int,
    index: PublishedIndex,
    place: str,
    k: int,
    checkpoint_root: str,
    output: str,
    rules: Rules = NO_RULES,
) -> BatchSummary:
    """Recommends to all users of `index`, which is at `place`, in `shards` pods like this one.

    `output` gets their Parquet files. Index and parts go through a directory below the checkpoint root, which
    all pods must share. It stays if the step fails, for the next try, until the exit handler of the run
    deletes it. Raises `UserError` if the place is not shared, the cluster refuses, or a shard fails.
    """
    if not checkpoint_root:
        raise UserError(
            f"{launcher.flag} {shards} needs a checkpoint root, through which the pods get the index: name a "
            "directory on a volume that all share (--param checkpoint_root=…), or a gs:// or s3:// prefix"
        )
    api, pod = launcher.api, launcher.pod
    same_node = launcher.check_shared(shards, checkpoint_root)
    plan = shard_plan(index, index.user_ids, k, shards, rules=rules)
    exchange = BatchExchange.of_run(checkpoint_root, pod.run)
    with ended_by_sigterm(), tidied(lambda: api.delete("job", pod.job_name)):
        log(f"staging the index in {exchange.root}")
        exchange.stage_index(plan, Path(place))
        with beating(exchange):
            program = PodProgram("batch", "components.recommend.shards.pods", [exchange.root])
            launcher.create_job(shards, program, same_node)
            log(f"Job {pod.job_name} in the namespace {api.namespace}: {shards} shards")
            cure = "ask for more (--request batch:memory=…), or for fewer processors"
            JobFollower(api, pod.job_name, pod.run, shards, cure).follow()
        rows = exchange.fetch_parts(output, shards)
    exchange.delete()
    return BatchSummary(len(index.user_ids), rows, 0)


def main() -> None:
    """Writes the shard of this pod; the place is in the command line, the outcome the log's last line."""
    with reported("batch"):
        exchange = BatchExchange(sys.argv[1])
        end_without_step(exchange)
        exchange.write_shard(int(os.environ["JOB_COMPLETION_INDEX"]))


if __name__ == "__main__":
    main()

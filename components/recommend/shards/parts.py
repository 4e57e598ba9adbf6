"""Recommendations in parts: users divided by a hash of their ids, one Parquet file for each part."""

import hashlib
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pyarrow.parquet as pq

from components.documents import plain
from components.errors import UserError
from components.outputs import resumable_directory
from components.progress import log
from components.recommend.batch import BatchPlan, BatchSummary, plan_of, write_recommendations
from components.recommend.index import Known, Order, PublishedIndex
from components.registry.registry import cache_directory
from components.step import TABLE_IS_WHOLE
from components.storage import is_remote, open_storage
from components.vocabulary.conditions import NO_RULES, Rules
from components.vocabulary.data_summary import id_hashes

_PART = re.compile(r"part-\d+-of-\d+\.parquet|_SUCCESS")


class ShardPlan(BatchPlan):
    """Inputs of a batch in shards."""

    shards: int


def part_name(shard: int, shards: int) -> str:
    """Returns the name of the file of a shard, from 0."""
    return f"part-{shard:05d}-of-{shards:05d}.parquet"


def users_of(users: Sequence[str], shard: int, shards: int) -> list[str]:
    """Returns the users of a shard, in their order: the same on every machine, and each in one shard."""
    mine = id_hashes(users) % np.uint64(shards) == shard
    return [users[place] for place in np.flatnonzero(mine).tolist()]


def shard_plan(
    index: PublishedIndex,
    users: Sequence[str],
    k: int,
    shards: int,
    known: Known = "all",
    order: Order = "score",
    rules: Rules = NO_RULES,
) -> ShardPlan:
    """Returns the plan of a batch in `shards` parts. Raises `UserError` as `plan_of` does."""
    plan = plan_of(index, users, k, known, order, rules)
    return ShardPlan(**msgspec.structs.asdict(plan), shards=shards)


def write_in_shards(
    index: PublishedIndex,
    users: Sequence[str],
    k: int,
    output: str,
    shards: int,
    known: Known = "all",
    order: Order = "score",
    rules: Rules = NO_RULES,
) -> BatchSummary:
    """Does `write_recommendations` for each shard of `users`, one after the other.

    `output` is a directory, or a gs:// or s3:// prefix: it gets one Parquet file for each shard, together
    with the rows of all, and `_SUCCESS`. Repeated after a kill, it goes on in the shard where it was.
    """
    plan = shard_plan(index, users, k, shards, known, order, rules)
    check_directory(output, shards)
    local = Path(output)
    if is_remote(output):
        local = cache_directory() / "batch" / hashlib.sha256(output.encode()).hexdigest()[:16]
    with resumable_directory(local, plain(plan)) as directory:
        for shard in range(shards):
            file = directory / part_name(shard, shards)
            if file.is_file():
                log(f"shard {shard + 1} of {shards} was done before")
                continue
            log(f"shard {shard + 1} of {shards}")
            write_recommendations(index, users_of(users, shard, shards), k, file, known, order, rules)
        (directory / TABLE_IS_WHOLE).touch()
    rows = count_rows(local)
    if is_remote(output):
        _upload(local, output)
    known_users = set(index.user_ids)
    return BatchSummary(len(users), rows, sum(user not in known_users for user in users))


def check_directory(output: str, shards: int) -> None:
    """Raises `UserError` if `output` is the name of a file."""
    if output.endswith((".csv", ".jsonl", ".parquet")):
        raise UserError(
            f"--output {output} is a file, and --shards {shards} writes several of Parquet; name a directory"
        )


def count_rows(directory: Path) -> int:
    """Counts the rows of the parts in a directory."""
    return sum(pq.read_metadata(file).num_rows for file in directory.glob("part-*.parquet"))


def _upload(local: Path, output: str) -> None:
    """Replaces the parts that are in a bucket, `_SUCCESS` first and last, and deletes the local ones."""
    parent, _, name = output.rstrip("/").rpartition("/")
    storage = open_storage(parent)
    earlier = [key for key in storage.list(f"{name}/") if _PART.fullmatch(key.rpartition("/")[2])]
    for key in sorted(earlier):  # an underscore comes before small letters
        storage.delete(key)
    storage.upload_directory(local, name, last=[TABLE_IS_WHOLE])
    shutil.rmtree(local)

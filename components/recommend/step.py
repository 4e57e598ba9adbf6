"""The step `batch` and its subcommand."""

import os
from typing import TYPE_CHECKING, Annotated, Any, cast

import click

from components.command import subcommand
from components.declaration import REQUIRED, Choice, Range, Several
from components.progress import log
from components.recommend.cli import KNOWN, OLD_NAMES, ORDERS, find_index, version_options
from components.step import step
from components.vocabulary.conditions import Rules

if TYPE_CHECKING:
    from components.recommend.batch import BatchSummary
    from components.recommend.index import Known, Order


@step
def batch(
    *,
    index: str,
    output: str,
    users: str = "all",
    k: Annotated[int, Range(0)] = 100,
    known: Annotated[str, Choice(*KNOWN)] = "all",
    order: Annotated[str, Choice(*ORDERS)] = "score",
    where: Annotated[str, Several()] = "",
    boost: Annotated[str, Several()] = "",
    diversity: Annotated[float, Range(0, 1)] = 0.0,
    popularity_discount: Annotated[float, Range(0, 1)] = 0.0,
    shards: Annotated[int, Range(1)] = 1,
    checkpoint_root: str = "",
) -> "BatchSummary | None":
    """Recommends to many users, into one file or one for each shard. Repeated after a kill, it resumes.

    Args:
      index: Index that answers, as `export` wrote it.
      output: File to write, a path, gs:// or s3:// URI; replaced if it exists. Its name says how: CSV by .csv
        and JSON lines by .jsonl, both with titles, else Parquet.
      users: Text file with one user id a line, "-" for the standard input, or "all". By hand only: the
        pipeline recommends to all.
      k: Number of movies for each user; 0 writes no file, which is what a pipeline without a batch asks for.
      known: Ratings of the user that are read: "all", or "train" for those of training and validation. By
        hand only: the pipeline reads all.
      order: "score", or "rating" for the 100 best by score in the order of their predicted ratings. By hand
        only: the pipeline orders by score.
      where: Condition that the movies fulfil, such as year>=1990 or genre=Comedy|Drama; several, all of which
        hold, as a JSON list.
      boost: Condition and number, such as genre=Comedy:1.5, by so many standard deviations of a user's scores
        those of these movies are raised; several as a JSON list.
      diversity: Variety of each list, by maximal marginal relevance.
      popularity_discount: How much the scores of popular movies are lowered.
      shards: Parts into which the users are divided, by a hash of their ids: `output` is then a directory
        with a Parquet file each. In a step on Kubeflow each part is the work of a pod.
      checkpoint_root: A directory on a volume that these pods share, or a gs:// or s3:// prefix, through
        which they get the index. Not used elsewhere.

    Raises:
      UserError: if the index cannot be loaded or cannot follow the rules, the users cannot be read, or
        `output` cannot be written.
    """
    rules = Rules.of(where, boost, diversity, popularity_discount)
    if not k:
        log("no recommendations are asked for")
        return None
    from components.export.manifest import check_rules, read_manifest
    from components.recommend.batch import read_users, write_recommendations
    from components.recommend.index import PublishedIndex

    check_rules(read_manifest(index), rules)
    published = PublishedIndex.load(index)
    for line in published.warnings(rules):
        log(f"warning: {line}")
    asked = cast("Known", known), cast("Order", order)
    # KFP sets it on a cluster; elsewhere the shards are written one after the other.
    if shards > 1 and os.environ.get("KFP_POD_NAME"):
        from components.recommend.shards.pods import recommend_in_pods
        from components.train.pods.launch import Launcher

        launcher = Launcher.find(shards, "batch_shards")
        return recommend_in_pods(launcher, shards, published, index, k, checkpoint_root, output, rules)
    if shards > 1:
        from components.recommend.shards.parts import write_in_shards

        return write_in_shards(published, read_users(users, published), k, output, shards, *asked, rules)
    return write_recommendations(published, read_users(users, published), k, output, *asked, rules)


@subcommand(
    batch,
    without=("index",),
    defaults={"users": REQUIRED},
    short={"k": "-k"},
    renamed=OLD_NAMES,
)
@version_options
def batch_command(output: str, registry: str, version: str, index: str, **inputs: Any) -> None:
    summary = batch(index=find_index(registry, version, index), output=output, **inputs)
    if summary is not None:
        click.echo(
            f"{output}: {summary.rows:,} recommendations for {summary.users:,} users, "
            f"{summary.unknown_users:,} of them unknown"
        )

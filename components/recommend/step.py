"""The step `batch` and its subcommand."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import click

from components.command import subcommand
from components.declaration import REQUIRED, Choice, Range
from components.progress import log
from components.recommend.cli import KNOWN, OLD_NAMES, ORDERS, find_index, version_options
from components.step import step

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
) -> "BatchSummary | None":
    """Recommends to many users, into one file. Repeated after a kill, it resumes.

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

    Raises:
      UserError: if the index cannot be loaded, the users cannot be read, or `output` cannot be written.
    """
    if not k:
        log("no recommendations are asked for")
        return None
    from components.recommend.batch import read_users, write_recommendations
    from components.recommend.index import PublishedIndex

    published = PublishedIndex.load(index)
    asked = cast("Known", known), cast("Order", order)
    return write_recommendations(published, read_users(users, published), k, output, *asked)


@subcommand(batch, without=("index",), defaults={"users": REQUIRED}, short={"k": "-k"}, renamed=OLD_NAMES)
@version_options
def batch_command(output: str, registry: str, version: str, index: str, **inputs: Any) -> None:
    summary = batch(index=find_index(registry, version, index), output=output, **inputs)
    if summary is not None:
        click.echo(
            f"{output}: {summary.rows:,} recommendations for {summary.users:,} users, "
            f"{summary.unknown_users:,} of them unknown"
        )

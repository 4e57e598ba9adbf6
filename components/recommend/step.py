"""Index -> recommendations for many users."""

from typing import cast

from components.recommend.batch import BatchSummary, read_users, write_recommendations
from components.recommend.index import Known, PublishedIndex
from components.step import step


@step
def batch(*, index: str, output: str, users: str = "all", k: int = 100, ratings: str = "all") -> BatchSummary:
    """Recommends to many users at once.

    Args:
      index: an Index directory.
      output: the Parquet file to write; the same call, repeated after a kill, goes on where it was.
      users: a text file with one user id a line, or "all".
      k: how many movies for each user.
      ratings: which of a user's ratings are read: "all", or "train" for those known before the test.

    Raises:
      UserError: if there is no whole index, the users cannot be read, or `output` cannot be written.
    """
    published = PublishedIndex.load(index)
    return write_recommendations(published, read_users(users, published), k, output, cast(Known, ratings))

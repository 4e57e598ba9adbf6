"""The step `vocabulary`."""

from pathlib import Path

from components.ingest.database import MemoryGb, database, scratch_directory
from components.outputs import output_directory
from components.progress import log
from components.step import step


@step
def vocabulary(*, dataset: str, vocabulary_output: str, output: str, memory_gb: MemoryGb = 1.5) -> None:
    """Numbers the users and movies of a ratings dataset, and writes its ratings as integers.

    Args:
      dataset: RatingsDataset that `ingest` wrote.
      vocabulary_output: Vocabulary: the directory to write, with the user and movie of each index.
      output: Interactions: the directory to write, with every split as arrays grouped by user.
      memory_gb: Memory that the step may hold, in GB; beyond it the work spills to the output's disk.

    Raises:
      UserError: if `dataset` is not a whole dataset, or an output cannot be written.
    """
    from components.ingest.dataset import RatingsDataset
    from components.vocabulary import vocabulary

    ratings = RatingsDataset.load(dataset)
    with (
        output_directory(vocabulary_output) as vocabulary_directory,
        output_directory(output) as interactions_directory,
        scratch_directory(output) as scratch,
        database(scratch, memory_gb) as connection,
    ):
        vocabulary.number(connection, ratings)
        names = vocabulary.write_vocabulary(connection, vocabulary_directory)
        log(f"{names.users:,} users ({names.training_users:,} in training), {names.movies:,} movies")
        vocabulary.write_interactions(connection, ratings, names, interactions_directory)
    log(f"interactions in {Path(output)}, vocabulary in {Path(vocabulary_output)}")

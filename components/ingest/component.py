"""The KFP contracts of the steps `fingerprint` and `ingest`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fingerprint(
    ratings: str, identity: dsl.Output[dsl.Artifact], movies: str = "", test_ratings: str = ""
) -> str:
    """Identifies the input files without reading them, so that `ingest` can be cached. Never cached itself.

    Args:
      ratings: The ratings: a path or gs:// URI, several by comma, or a pattern.
      identity: `fingerprint.json`: what is returned; and how long that took, for the report.
      movies: The movie table: a path or gs:// URI.
      test_ratings: A ready-made test split; "" if there is none.

    Returns:
      A string that changes when one of the files does.
    """
    from components.ingest import step

    return step.fingerprint(ratings=ratings, movies=movies, test_ratings=test_ratings, output=identity.path)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(
    ratings: str,
    dataset: dsl.Output[dsl.Dataset],
    movies: str = "",
    test_ratings: str = "",
    fingerprint: str = "",
    format: str = "",
    columns: str = "",
    rating_scale: str = "",
    split: str = "random",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    seed: int = 42,
    max_train_rows: int = 0,
    max_test_rows: int = 0,
    min_user_ratings: int = 0,
    min_movie_ratings: int = 0,
    max_reject_rate: float = 0.01,
    memory_gb: float = 1.5,
) -> None:
    """Validates ratings, joins them with the movies, and divides them into train, validation and test.

    Args:
      ratings: The ratings: a path or gs:// URI, several by comma, or a pattern.
      dataset: RatingsDataset: Parquet files, statistics.json and rejects.csv.
      movies: The movie table: a path or gs:// URI; "" takes the rated movies, with their ids for titles.
      test_ratings: A ready-made test split; "" divides the ratings.
      fingerprint: What identifies the input files; "" computes it.
      format: The layout of the ratings: "netflix", "netflix-prize", "movielens", "movielens-dat",
        "movielens-tab", "csv", "tsv" or "parquet"; "" finds it from the content.
      columns: user=…,movie=…,rating=…[,time=…]: names or numbers of columns; "" knows the usual ones.
      rating_scale: Least and greatest rating, such as "1,5"; "" finds it from the data.
      split: "random" (by a hash of user, movie and seed), "leave-last-out" (each user's last rating) or
        "time" (the latest ratings).
      validation_fraction: Share of the rows not for testing that are for early stopping, 0 to 1.
      test_fraction: Share of the rows for testing, 0 to 1; not used with `test_ratings`.
      seed: Decides which row falls on which side.
      max_train_rows: Trains on a uniform sample of at most so many rows; 0 takes all.
      max_test_rows: Tests on a uniform sample of at most so many rows; 0 takes all.
      min_user_ratings: Leaves out users with fewer ratings; 0 takes all.
      min_movie_ratings: Leaves out the ratings of movies with fewer; 0 takes all.
      max_reject_rate: Fails if a greater share of the rows must be rejected; duplicates do not count.
      memory_gb: What the step may hold in memory, in GB; beyond it the work spills to disk.
    """
    from components.ingest import step

    step.ingest(
        ratings=ratings,
        movies=movies,
        test_ratings=test_ratings,
        fingerprint=fingerprint,
        format=format,
        columns=columns,
        rating_scale=rating_scale,
        split=split,
        validation_fraction=validation_fraction,
        test_fraction=test_fraction,
        seed=seed,
        max_train_rows=max_train_rows,
        max_test_rows=max_test_rows,
        min_user_ratings=min_user_ratings,
        min_movie_ratings=min_movie_ratings,
        max_reject_rate=max_reject_rate,
        memory_gb=memory_gb,
        output=dataset.path,
    )

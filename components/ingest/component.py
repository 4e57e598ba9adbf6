"""The KFP contract of the step `ingest`."""

from kfp import dsl

from components.declaration import documented_by
from components.image import IMAGE
from components.ingest import step


@dsl.component(base_image=IMAGE, install_kfp_package=False)
@documented_by(step.ingest, dataset="RatingsDataset: Parquet files, statistics.json and rejects.csv.")
def ingest(
    ratings: str,
    dataset: dsl.Output[dsl.Dataset],
    movies: str = "",
    test_ratings: str = "",
    forget: str = "",
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
    ingest_settings: dict = {},  # noqa: B006  # kfp reads the default, nobody changes it
) -> None:
    from components.ingest import step

    step.ingest(
        ratings=ratings,
        movies=movies,
        test_ratings=test_ratings,
        forget=forget,
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
        ingest_settings=ingest_settings,
        output=dataset.path,
    )

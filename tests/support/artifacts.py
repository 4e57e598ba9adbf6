"""Writes the artifacts of small worlds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.documents import write_document
from components.ingest.dataset import SplitCounts, SplitSettings
from components.train.artifact import ModelRecord, write_record
from components.vocabulary.interactions import PARTS, InteractionsSummary, UserRatings, part_file
from components.vocabulary.vocabulary import VocabularySummary

SCALE = (1.0, 5.0)


def write_vocabulary(
    directory: Path,
    user_ids: Sequence[str],
    movie_ids: Sequence[str],
    titles: Sequence[str],
    years: Sequence[int],
    training_users: int,
    genres: Sequence[str] | None = None,
    attributes: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Writes a Vocabulary; a year of 0 is none. Without `genres` it is as version 0.1 wrote it."""
    directory.mkdir(parents=True)
    pq.write_table(pa.table({"user_id": pa.array(user_ids, pa.string())}), directory / "users.parquet")
    movies = {
        "movie_id": pa.array(movie_ids, pa.string()),
        "title": pa.array(titles, pa.string()),
        "year": pa.array([year or None for year in years], pa.int32()),
    }
    if genres is not None:
        movies["genres"] = pa.array(genres, pa.string())
    if attributes:
        columns = [pa.array(values) for values in attributes.values()]
        movies["attributes"] = pa.StructArray.from_arrays(columns, [*attributes])
    pq.write_table(pa.table(movies), directory / "movies.parquet")
    summary = VocabularySummary(training_users=training_users, users=len(user_ids), movies=len(movie_ids))
    write_document(directory / "vocabulary.json", summary)


def write_interactions(
    directory: Path,
    splits: Mapping[str, UserRatings],
    movies: int,
    training_users: int,
    split: Mapping[str, Any],
    scale: tuple[float, float] = SCALE,
) -> None:
    """Writes Interactions of the splits train, validation and test."""
    directory.mkdir(parents=True)
    for name, ratings in splits.items():
        for part in PARTS:
            np.save(directory / part_file(name, part), getattr(ratings, part))
    train = splits["train"]
    summary = InteractionsSummary(
        training_users=training_users,
        users=train.users,
        movies=movies,
        splits=SplitCounts(**{name: len(ratings.movies) for name, ratings in splits.items()}),
        rating_scale=scale,
        rating_mean=float(train.ratings.mean()) if len(train.ratings) else 0.0,
        split=SplitSettings(**split),
        fingerprint="world",
    )
    write_document(directory / "interactions.json", summary)


def write_model(
    directory: Path,
    module: Any,
    movies: int,
    training_users: int,
    preset: str,
    settings: Mapping[str, Any],
    split: Mapping[str, Any],
    steps: int = 0,
    seconds: float = 0.0,
) -> None:
    """Writes a Model around a module with the signatures query, candidates and rate."""
    from components.train.scoring import save

    save(module, directory / "saved_model")
    record = ModelRecord(
        preset=preset,
        settings=dict(settings),
        seed=0,
        split=SplitSettings(**split),
        fingerprint="world",
        rating_scale=SCALE,
        movies=movies,
        training_users=training_users,
        steps=steps,
        seconds=seconds,
        validation_rmse=None,
        validation_top_100_accuracy_unseen=None,
    )
    write_record(directory, record)


def ratings_by_user(rows: Sequence[Mapping[int, float]]) -> UserRatings:
    """Groups one {movie: rating} a user."""
    pairs = [(user, *pair) for user, row in enumerate(rows) for pair in row.items()]
    users, movies, ratings = np.array(pairs, float).reshape(-1, 3).T
    return UserRatings.group(users.astype(int), movies, ratings, len(rows))

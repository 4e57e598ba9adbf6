"""Vocabulary: user and movie ids by index; encodes a RatingsDataset as integers grouped by user."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from components.documents import Document, read_document, write_document
from components.errors import UserError
from components.ingest.attributes import ATTRIBUTES
from components.ingest.database import one_row
from components.ingest.dataset import SPLITS, RatingsDataset
from components.progress import Progress
from components.vocabulary.interactions import PARTS, Interactions, InteractionsSummary, part_file
from components.vocabulary.interactions import SUMMARY_FILE as INTERACTIONS_FILE

USERS_FILE = "users.parquet"
MOVIES_FILE = "movies.parquet"
SUMMARY_FILE = "vocabulary.json"


class VocabularySummary(Document):
    """Numbers of users and movies, vocabulary.json."""

    _written_by = "twotower vocabulary"

    format: Literal[1] = 1
    training_users: int
    users: int
    movies: int


@dataclass(frozen=True)
class Vocabulary:
    """Users and movies by index."""

    user_ids: npt.NDArray[np.object_]  # str objects [users]; the first `training_users` have training rows
    movie_ids: npt.NDArray[np.object_]  # str objects [movies], the whole catalogue in the movie table's order
    titles: npt.NDArray[np.object_]  # str objects [movies]
    years: npt.NDArray[np.int32]  # int32 [movies]; 0 where unknown
    training_users: int  # the others have validation or test rows only
    # str objects [movies], separated by "|", "" where unknown; None in a vocabulary of version 0.1.
    genres: npt.NDArray[np.object_] | None = None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads a vocabulary. Raises `UserError` if it is not a whole one that this version can read."""
        directory = Path(path)
        summary = read_document(directory / SUMMARY_FILE, VocabularySummary)
        users = _columns(directory / USERS_FILE, ["user_id"])
        movies = _columns(directory / MOVIES_FILE, ["movie_id", "title", "year"], optional=["genres"])
        if (len(users["user_id"]), len(movies["movie_id"])) != (summary.users, summary.movies):
            raise UserError(
                f"{directory} is not whole: its tables and {SUMMARY_FILE} differ in length; "
                "run `twotower vocabulary` again"
            )
        return cls(
            user_ids=users["user_id"].to_numpy(zero_copy_only=False),
            movie_ids=movies["movie_id"].to_numpy(zero_copy_only=False),
            titles=movies["title"].to_numpy(zero_copy_only=False),
            years=movies["year"].fill_null(0).to_numpy().astype(np.int32),
            training_users=summary.training_users,
            genres=movies["genres"].to_numpy(zero_copy_only=False) if "genres" in movies else None,
        )


def load_attributes(path: str | Path) -> dict[str, Any]:
    """Reads the further columns of the movie table from a vocabulary: name -> Arrow array [movies].

    An array holds booleans, int64, doubles, strings or lists of strings, and null where the value is unknown.
    Raises `UserError` if the vocabulary is not whole.
    """
    columns = _columns(Path(path) / MOVIES_FILE, [], optional=[ATTRIBUTES])
    if ATTRIBUTES not in columns:
        return {}
    struct = columns[ATTRIBUTES]
    return {field.name: struct.field(place) for place, field in enumerate(struct.type)}


def load_encoded(interactions: str | Path, vocabulary: str | Path) -> tuple[Interactions, Vocabulary]:
    """Opens interactions with the vocabulary that numbers them.

    Raises `UserError` if one is not whole, or they are of different runs.
    """
    rows, names = Interactions.load(interactions), Vocabulary.load(vocabulary)
    if (len(names.user_ids), len(names.movie_ids)) != (rows.users, rows.movies):
        raise UserError(
            f"{interactions} was not made with {vocabulary}; take both from one `twotower vocabulary`"
        )
    return rows, names


def _columns(file: Path, names: list[str], optional: Sequence[str] = ()) -> dict[str, Any]:
    """Reads the columns `names`, and those of `optional` that are there."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = set(pq.read_schema(file, memory_map=True).names)
        wanted = [*names, *(name for name in optional if name in there)]
        table = pq.read_table(file, columns=wanted, memory_map=True)
        return {name: table.column(name).combine_chunks() for name in wanted}
    except (OSError, pa.ArrowException, KeyError) as error:
        raise UserError(f"{file} cannot be read; run `twotower vocabulary` again") from error


# Rows that travel from the engine to a file at a time; 16 bytes each.
_BATCH = 1_000_000


def number(connection: Any, dataset: RatingsDataset) -> None:
    """Makes the tables numbered_users(user_id, index, in_training) and numbered_movies(movie_id, ..., index).

    Users are in the order of their ids, those of the training split first, so that the numbering does not
    depend on the order of the rows; movies are in the order of the catalogue.
    """
    # The id's own bytes decide the order: no collation, hence the same on every machine.
    connection.execute(
        """
        CREATE TABLE numbered_users AS
        SELECT user_id, in_training,
            (row_number() OVER (ORDER BY in_training DESC, user_id) - 1)::INTEGER AS index
        FROM (
            SELECT user_id, bool_or(training) AS in_training
            FROM (
                SELECT DISTINCT user_id, true AS training FROM read_parquet($train)
                UNION ALL SELECT DISTINCT user_id, false FROM read_parquet([$validation, $test])
            )
            GROUP BY user_id
        )
        """,
        {split: str(dataset.split(split)) for split in SPLITS},
    )
    connection.execute(
        """
        CREATE TABLE numbered_movies AS
        SELECT * EXCLUDE (file_row_number), file_row_number::INTEGER AS index
        FROM read_parquet(?, file_row_number = true)
        """,
        [str(dataset.movies)],
    )


def write_vocabulary(connection: Any, directory: Path) -> VocabularySummary:
    """Writes the numbered users and movies as a Vocabulary."""
    connection.execute(
        "COPY (SELECT user_id FROM numbered_users ORDER BY index) TO ? (FORMAT parquet)",
        [str(directory / USERS_FILE)],
    )
    connection.execute(
        "COPY (SELECT * EXCLUDE (index) FROM numbered_movies ORDER BY index) TO ? (FORMAT parquet)",
        [str(directory / MOVIES_FILE)],
    )
    row = one_row(
        connection,
        """
        SELECT count(*) FILTER (in_training), count(*), (SELECT count(*) FROM numbered_movies)
        FROM numbered_users
        """,
    )
    summary = VocabularySummary(training_users=row[0], users=row[1], movies=row[2])
    write_document(directory / SUMMARY_FILE, summary)
    return summary


def write_interactions(
    connection: Any, dataset: RatingsDataset, names: VocabularySummary, directory: Path
) -> None:
    """Writes every split of `dataset` by the numbered users and movies.

    Raises `UserError` if a rating is of a movie that is not in the catalogue, or stands there twice.
    """
    statistics, sums = dataset.statistics, {}
    rows = dict(statistics.splits.items())
    with Progress("encode", total=sum(rows.values()), unit="ratings") as progress:
        for split in SPLITS:
            batches = _batches(connection, dataset.split(split))
            sums[split] = _write_split(batches, split, rows[split], names.users, directory, progress)
    summary = InteractionsSummary(
        training_users=names.training_users,
        users=names.users,
        movies=names.movies,
        splits=statistics.splits,
        rating_scale=statistics.rating_scale,
        rating_mean=sums["train"] / rows["train"],
        feedback=statistics.feedback,
        split=statistics.split,
        fingerprint=statistics.fingerprint,
    )
    write_document(directory / INTERACTIONS_FILE, summary)


def _batches(connection: Any, file: Path) -> Any:
    """Reads the rows of one split as Arrow batches of user, movie, rating, sorted by user, then movie."""
    return connection.sql(
        """
        SELECT numbered_users.index AS user, numbered_movies.index AS movie, rating
        FROM read_parquet(?) AS split
        JOIN numbered_users USING (user_id)
        JOIN numbered_movies USING (movie_id)
        ORDER BY numbered_users.index, numbered_movies.index
        """,
        params=[str(file)],
    ).to_arrow_reader(_BATCH)


def _write_split(
    batches: Iterator[Any], split: str, rows: int, users: int, directory: Path, progress: Progress
) -> float:
    """Streams one split into its three files; returns the sum of its ratings."""
    movies, ratings = (_new_array(directory, split, part, rows) for part in ("movies", "ratings"))
    offsets = _new_array(directory, split, "offsets", users + 1)
    done, total = 0, 0.0
    for batch in batches:
        end = done + batch.num_rows
        if end > rows:
            break
        if not batch.num_rows:
            continue
        movies[done:end] = batch["movie"].to_numpy()
        ratings[done:end] = batch["rating"].to_numpy()
        # The rows ascend by user, so a batch is of few of them.
        of_users = batch["user"].to_numpy()
        counts = np.bincount(of_users - of_users[0])
        offsets[of_users[0] + 1 :][: len(counts)] += counts
        total += float(np.sum(ratings[done:end], dtype=np.float64))
        done = end
        progress.advance(batch.num_rows)
    if done != rows:
        raise UserError(
            f"the {split} split of the ratings dataset is damaged: {rows} rows were expected, {done} could "
            "be joined with its movies; run `twotower ingest` again"
        )
    np.cumsum(offsets, out=offsets)
    for array in (movies, ratings, offsets):
        if isinstance(array, np.memmap):
            array.flush()
    return total


def _new_array(directory: Path, split: str, part: str, length: int) -> npt.NDArray[Any]:
    file = directory / part_file(split, part)
    dtype = PARTS[part]
    if length == 0:  # an empty file cannot be mapped
        np.save(file, np.empty(0, dtype))
        return np.empty(0, dtype)
    return np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=(length,))

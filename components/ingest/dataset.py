"""RatingsDataset: the validated ratings that `ingest` writes, their statistics and their rating scale."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import msgspec

from components.documents import Document, read_document
from components.errors import UserError
from components.ingest.database import has_column, one_row
from components.ingest.settings import STARS, Feedback, ReadOptions
from components.progress import log

SPLITS = ("train", "validation", "test")
STATISTICS_FILE = "statistics.json"
REJECTS_FILE = "rejects.csv"
MOVIES_FILE = "movies.parquet"

Scale = tuple[float, float]


@dataclass(frozen=True)
class IngestSettings:
    """Settings of `twotower ingest`, whose flags have the same names; the step has checked their ranges."""

    format: str  # name of a layout; "" finds each file's own
    # Role (user, movie, rating, time) -> name or number, from 1, of its column; empty for the known layouts.
    columns: dict[str, str]
    rating_scale: Scale | None  # least and greatest rating; None finds it in the data
    split: str  # random, leave-last-out or time
    seed: int  # decides the random division
    test_fraction: float  # share of all rows
    validation_fraction: float  # share of the rows that are not for testing
    max_train_rows: int  # 0 sets no bound
    max_test_rows: int  # likewise
    min_user_ratings: int  # users with fewer kept ratings are left out
    min_movie_ratings: int  # likewise movies
    max_reject_rate: float  # share of the rows
    read: ReadOptions  # of the input files


class SplitSettings(Document):
    """Kind, seed and fractions of the split."""

    kind: str  # random, leave-last-out, time, or "given": a ready-made test split
    seed: int
    validation_fraction: float
    test_fraction: float


class SplitCounts(Document):
    """Rows of each split."""

    train: int
    validation: int
    test: int

    def items(self) -> Iterable[tuple[str, int]]:
        """Returns each split with its number of rows."""
        return msgspec.structs.asdict(self).items()


class MovieTableCounts(Document):
    """Corrected rows of the movie table."""

    malformed: int = 0  # left out: more fields than the header has names
    without_id: int = 0  # left out
    duplicate_ids: int = 0  # left out; the first one stays
    without_title: int = 0  # their id is their title
    without_year: int = 0  # their year is unknown
    added: int = 0  # rated movies without a row that were kept, their ids for titles


class ForgottenUsers(Document):
    """Users that were left out because they are to be forgotten, in numbers."""

    listed: int = 0  # users to forget
    users: int = 0  # those of them with ratings
    rows: int = 0  # their ratings

    def __str__(self) -> str:
        return (
            f"{self.users:,} of {self.listed:,} users left out, with {self.rows:,} rows; "
            f"{self.listed - self.users:,} have none here"
        )


class Statistics(Document):
    """Statistics of a RatingsDataset, statistics.json; docs/layouts.md explains them."""

    _written_by = "twotower ingest"

    format: Literal[1] = 1
    # With "implicit", ratings are weights: 1 + log(1 + the number of a user's events with a movie).
    feedback: Feedback = STARS
    rows_read: int
    rows_kept: int
    rows_rejected: int
    rejected_by_reason: dict[str, int]  # reason -> rows
    duplicates: int
    forgotten: ForgottenUsers = ForgottenUsers()  # their rows are counted as rejected, and listed nowhere
    rows_left_out: int
    movies: int  # of the whole catalogue
    movie_table: MovieTableCounts
    # Of the movies, beside title, year and genres: name -> type, for people.
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    rating_scale: Scale
    splits: SplitCounts
    split: SplitSettings
    users: int
    movies_rated: int  # those that have ratings
    share_of_movies_rated: float
    density: float
    rating_mean: float | None  # in stars; None without ratings
    rating_histogram: dict[str, int]  # rating in stars, as text -> rows
    ratings_per_user: dict[str, int]  # quantile, as text -> number of ratings
    ratings_per_movie: dict[str, int]  # likewise
    time_span: tuple[int, int] | None  # first and last time, in seconds since 1970; None where no row has one
    fingerprint: str
    seconds: float  # duration of the step


@dataclass(frozen=True)
class RatingsDataset:
    """A directory of validated ratings.

    `train.parquet`, `validation.parquet` and `test.parquet` hold the columns user_id (string), movie_id
    (string) and rating (float32), and time (int64, seconds since 1970) where the file had it;
    `movies.parquet` holds the whole catalogue in the order of the movie table: movie_id (string), title
    (string), year (int32, null where unknown), genres (string, separated by "|", "" where unknown) and, if
    the table has further columns, attributes (a struct of booleans, int64, doubles, strings, and lists of
    strings).
    `rejects.csv` lists each row that was not kept.
    """

    path: Path
    statistics: Statistics

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Opens a dataset. Raises `UserError` if it is not a whole one that this version can read."""
        directory = Path(path)
        dataset = cls(directory, read_document(directory / STATISTICS_FILE, Statistics))
        for file in (dataset.movies, *map(dataset.split, SPLITS)):
            if not file.is_file():
                raise UserError(f"{directory} lacks {file.name}; run `twotower ingest` again")
        return dataset

    def split(self, name: str) -> Path:
        """Returns the Parquet file of the split `name`: train, validation or test."""
        return self.path / f"{name}.parquet"

    @property
    def movies(self) -> Path:
        """Parquet file of the catalogue."""
        return self.path / MOVIES_FILE


# Scales in use, the likelier first: the first one that nearly all ratings lie on is taken.
_WHOLE: Sequence[Scale] = ((1, 5), (0, 5), (1, 10), (0, 10), (-5, 5), (-10, 10), (0, 100), (-100, 100))
_PARTS: Sequence[Scale] = ((0.5, 5), *_WHOLE[1:])
USUAL_SCALES = frozenset({*_WHOLE, *_PARTS})
# A smaller share of the ratings may be mistakes; they are then rejected as off the scale.
_MISTAKES = 0.01


def parse_scale(text: str) -> tuple[float, float] | None:
    """Reads `--rating-scale LEAST,GREATEST`; "" is None. Raises `UserError` if it is not of that form."""
    if not text:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not -1e6 <= low < high <= 1e6:
        raise UserError(
            f"--rating-scale {text} is not understood; write the least and the greatest, e.g. 1,5"
        )
    return low, high


def usual_scale(ratings: Sequence[float]) -> Scale:
    """Returns the first scale in use that a person's few ratings, at least one, all lie on.

    Theirs may well leave out both ends; on no usual scale it is from the least to the greatest.
    """
    usual = _PARTS if any(rating != round(rating) for rating in ratings) else _WHOLE
    fitting = (scale for scale in usual if all(scale[0] <= rating <= scale[1] for rating in ratings))
    return next(fitting, (min(ratings), max(ratings)))


def find_scale(connection: Any, asked: Scale | None, known: set[Scale | None]) -> Scale:
    """Finds the least and the greatest rating of `rows`, in stars.

    `connection` holds the table `rows`; `asked` is the value of `--rating-scale`, None if it is not given;
    `known` are the scales that the layouts of the files state, None for a layout that states none; one that
    nearly all ratings lie on counts. Raises
    `UserError` if the ratings lie on no scale in use.
    """
    if asked:
        return asked
    rows, parts, zeros, ones, least, greatest = one_row(
        connection,
        """
        SELECT count(*), count(*) FILTER (rating <> round(rating)), count(*) FILTER (rating = 0),
            count(*) FILTER (rating = 1), min(rating), max(rating)
        FROM rows WHERE reason = 0
        """,
    )
    stated = next(iter(known)) if len(known) == 1 else None
    if not rows:
        return stated or (1.0, 5.0)
    if stated and fit_scale(connection, [stated], rows):
        return stated
    if zeros and zeros + ones == rows:
        scale: Scale = (0, 1)
    else:
        usual = _PARTS if parts > _MISTAKES * rows else _WHOLE
        scale = fit_scale(connection, usual, rows) or (least, greatest)
    if scale[0] == scale[1]:
        raise UserError(
            f"every rating is {least:g}, which is on no scale in use; name the scale with --rating-scale"
        )
    log(f"ratings lie from {scale[0]:g} to {scale[1]:g}; --rating-scale says otherwise")
    return scale


# A value at or below 0 in a greater share of the rows may mean that there is no rating.
_MARKS = 0.1


def find_mark(connection: Any) -> str | None:
    """Returns a message about a value of `rows` that seems to mean that there is no rating, else None."""
    rows, marked, least, greatest, highest = one_row(
        connection,
        """
        SELECT count(*), count(*) FILTER (rating <= 0), min(rating), max(rating) FILTER (rating <= 0),
            max(rating)
        FROM rows WHERE reason = 0
        """,
    )
    if marked <= _MARKS * rows or marked == rows or least != greatest or (least, highest) == (0, 1):
        return None
    return (
        f"{least:g} stands in {marked / rows:.0%} of the rows, and all other ratings are above 0; if it "
        f"means that there is no rating, leave these rows out with --not-rated {least:g}"
    )


def fit_scale(connection: Any, scales: Sequence[Scale], rows: int) -> Scale | None:
    """Returns the first of `scales` that nearly all of so many rows of `rows` lie on, else None."""
    for low, high in scales:
        (inside,) = one_row(
            connection, "SELECT count(*) FROM rows WHERE reason = 0 AND rating BETWEEN ? AND ?", [low, high]
        )
        if inside >= (1 - _MISTAKES) * rows:
            return low, high
    return None


_QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
# A histogram of more levels than this is drawn on so many equal parts of the scale.
_LEVELS = 200


def measure(connection: Any, movies: int, scale: Scale) -> dict[str, Any]:
    """Measures the rows in `taken`: the fields of `Statistics` from `users` to `time_span`.

    `connection` holds the view `taken`; `movies` is their number in the catalogue, `scale` the least and the
    greatest rating, in stars.
    """
    rows, mean = one_row(connection, "SELECT count(*), avg(rating::DOUBLE) FROM taken")
    users, per_user = _counts(connection, "user")
    rated, per_movie = _counts(connection, "movie")
    return {
        "users": users,
        "movies_rated": rated,
        "share_of_movies_rated": rated / movies if movies else 0.0,
        "density": rows / (users * rated) if rows else 0.0,
        "rating_mean": mean,
        "rating_histogram": _histogram(connection, scale),
        "ratings_per_user": per_user,
        "ratings_per_movie": per_movie,
        "time_span": _time_span(connection),
    }


def _counts(connection: Any, column: str) -> tuple[int, dict[str, int]]:
    """Counts the values of `column`, and gives quantiles of the number of rows of each."""
    number, values = one_row(
        connection,
        f"""
        SELECT count(*), quantile_disc(n, ?) FROM (SELECT count(*) AS n FROM taken GROUP BY "{column}")
        """,
        [list(_QUANTILES)],
    )
    quantiles = zip(_QUANTILES, values or (), strict=False)
    return number, {f"{quantile:g}": value for quantile, value in quantiles}


def _histogram(connection: Any, scale: Scale) -> dict[str, int]:
    """Counts the rows of each rating."""
    found = connection.execute(
        "SELECT rating, count(*) FROM taken GROUP BY rating ORDER BY rating LIMIT ?", [_LEVELS + 1]
    ).fetchall()
    if len(found) > _LEVELS:
        low, high = scale
        found = connection.execute(
            """
            SELECT $low + round((rating - $low) / $step) * $step AS level, count(*)
            FROM taken GROUP BY level ORDER BY level
            """,
            {"low": low, "step": (high - low) / _LEVELS},
        ).fetchall()
    return {f"{rating:g}": count for rating, count in found}


def _time_span(connection: Any) -> tuple[int, int] | None:
    """Finds the first and the last time, in seconds since 1970; None where no row has one."""
    if not has_column(connection, "classified", "time"):
        return None
    first, last = one_row(connection, "SELECT min(time), max(time) FROM taken")
    return None if first is None else (first, last)

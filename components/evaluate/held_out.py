"""Held-out ratings, from Interactions or from files, the history that predictions may read, and slices."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from components.errors import UserError
from components.ingest.database import has_column
from components.ingest.dataset import SplitSettings
from components.ingest.settings import STARS, Feedback, ReadOptions
from components.metrics import gate_k
from components.progress import log
from components.vocabulary.interactions import Interactions, UserRatings, chunks
from components.vocabulary.vocabulary import Vocabulary

Array = npt.NDArray[Any]

# The number of users, spread evenly, whose lists of recommendations are measured. Metrics of lists do not get
# surer with more, and a list costs far more than a rank.
_LISTED_USERS = 2000
# Every movie is scored for every user, so of a large product of both only a sample of the users is measured,
# but not of fewer: a metric of so many users has an interval of a percent.
_MOST_SCORES = 20_000_000_000
_FEWEST_USERS = 10_000

_UNKNOWN_SPLIT = SplitSettings(kind="", seed=0, validation_fraction=0.0, test_fraction=0.0)


@dataclass(frozen=True)
class Batch:
    """Some users with their known and their held-out ratings."""

    users: Array  # int64 [n], user indices
    user_ids: Array  # str objects [n]
    history: UserRatings  # the known ratings of the n users
    pairs: UserRatings  # their held-out ratings
    listed: Array  # the rows of the users whose lists of best movies are wanted


@dataclass(frozen=True)
class HeldOut:
    """The pairs of one split, grouped by user; users without pairs are left out."""

    users: Array  # int64 [n], user indices
    user_ids: Array  # str objects [n]
    pairs: UserRatings  # the held-out ratings of the n users, p in all
    known: UserRatings  # the ratings that may be read, of every user of the data (by user index)
    movie_ids: Array  # str objects [M], the catalogue
    rating_scale: tuple[float, float]  # the least and the greatest rating that the data allow, in stars
    population: int  # the number of users with pairs; more than n if only a sample of them is measured
    fingerprint: str = ""  # of the data that the pairs come from, for the verdict
    split: SplitSettings = _UNKNOWN_SPLIT  # of the same data
    feedback: Feedback = STARS  # with "implicit", ratings are weights, which nobody predicts

    @cached_property
    def user_of_pair(self) -> Array:
        """The place in `users` of each pair's user, int32 [p]."""
        return self.pairs.owners

    @cached_property
    def listed(self) -> Array:
        """The places in `users` of a sample whose lists of recommendations are measured, int64 [s]."""
        count = len(self.users)
        return np.linspace(0, count - 1, min(count, _LISTED_USERS)).astype(np.int64)

    @cached_property
    def k(self) -> int:
        """The length of the lists that the gate measures retrieval by."""
        return gate_k(int(np.count_nonzero(self.known.movie_counts(len(self.movie_ids)))))

    @cached_property
    def choices(self) -> int:
        """The most movies that a user can be recommended; 0 without users."""
        known = self.known.counts[self.users]
        return len(self.movie_ids) - int(known.min()) if len(known) else 0

    @classmethod
    def test_of(cls, interactions: Interactions, vocabulary: Vocabulary) -> Self:
        """The test split, with training and validation ratings known."""
        held_out = cls.of(
            interactions.split("test"), interactions.known(), vocabulary, interactions.rating_scale
        )
        return replace(
            held_out,
            fingerprint=interactions.fingerprint,
            split=interactions.split_settings,
            feedback=interactions.feedback,
        )

    @classmethod
    def of(
        cls, asked: UserRatings, known: UserRatings, vocabulary: Vocabulary, rating_scale: tuple[float, float]
    ) -> Self:
        """The ratings `asked`, with those in `known` known; both are of the users of `vocabulary`."""
        users = np.flatnonzero(asked.counts)
        population, most = len(users), max(_MOST_SCORES // max(len(vocabulary.movie_ids), 1), _FEWEST_USERS)
        if population > most:
            users = np.sort(np.random.default_rng(0).choice(users, most, replace=False))
            log(f"of {population:,} users with held-out ratings {most:,} are measured, drawn at random")
        return cls(
            users=users,
            user_ids=vocabulary.user_ids[users],
            pairs=asked.select(users),
            known=known,
            movie_ids=vocabulary.movie_ids,
            rating_scale=rating_scale,
            population=population,
        )

    def batches(self, size: int) -> Iterator[Batch]:
        """The users in order, `size` at a time."""
        for part in chunks(len(self.users), size):
            users = self.users[part]
            yield Batch(
                users=users,
                user_ids=self.user_ids[part],
                history=self.known.select(users),
                pairs=self.pairs[part],
                listed=self.listed[(self.listed >= part.start) & (self.listed < part.stop)] - part.start,
            )


@dataclass(frozen=True)
class Slice:
    """Some of the held-out pairs."""

    name: str  # stable, for programs, such as "light_users"
    pairs: Array  # bool [p]


# The most rated movies that together hold this share of the known ratings are the head, the next the middle.
_HEAD, _MIDDLE = 0.5, 0.8


def slices(held_out: HeldOut, years: Array) -> list[Slice]:
    """Divides the pairs by activity of the user, by popularity of the movie, and by the movie's decade.

    New users have no known rating; of the others, light ones are the third with the fewest, heavy ones the
    third with the most. The head are the most rated movies that hold half of the known ratings, the middle
    those that hold the next 30%, the tail all others. `years` is int32 [M], 0 where unknown.
    """
    of_users = held_out.known.counts[held_out.users]
    low, high = np.quantile(of_users[of_users > 0], [1 / 3, 2 / 3]) if of_users.any() else (0, 0)
    known = of_users[held_out.user_of_pair]
    counts = held_out.known.movie_counts(len(held_out.movie_ids))
    before = share_of_more_popular(counts)[held_out.pairs.movies]
    decades = years[held_out.pairs.movies] // 10 * 10
    parts = {
        "new_users": known == 0,
        "light_users": (known > 0) & (known <= low),
        "heavy_users": (known > 0) & (known > high),
        "head_movies": before < _HEAD,
        "middle_movies": (before >= _HEAD) & (before < _MIDDLE),
        "tail_movies": before >= _MIDDLE,
        **{f"movies_of_the_{decade}s": decades == decade for decade in np.unique(decades[decades > 0])},
    }
    return [Slice(name, pairs) for name, pairs in parts.items() if pairs.any()]


def share_of_more_popular(counts: Array) -> Array:
    """Of each movie, the share of the ratings that fall on movies with more; `counts` and result are [M]."""
    order = np.argsort(-counts, kind="stable")
    shares = np.empty(len(counts))
    shares[order] = (np.cumsum(counts[order]) - counts[order]) / max(counts.sum(), 1)
    return shares


_FLAG = "--ratings"
_MEMORY_GB = 3.0


class NamedRatings(NamedTuple):
    """Ratings, with the ids of their users and movies: str objects [users] and [movies]."""

    user_ids: Array
    movie_ids: Array
    ratings: UserRatings


def read_ratings(
    names: str, columns: str, rating_scale: tuple[float, float], options: ReadOptions, forget: str = ""
) -> NamedRatings:
    """Reads the files `names`; of several ratings of one user and movie the latest is taken.

    Raises `UserError` if a file cannot be read, or holds no rating.

    Args:
      names: paths, gs:// or s3:// URIs, several by comma, or a pattern.
      columns: user=…,movie=…,rating=…; "" for the layouts that are known.
      rating_scale: ratings beyond it are left out, as are lines that are none; the log says how many.
      options: of reading the files.
      forget: files that name users whose ratings are left out; "" for none.
    """
    from components.ingest import inputs, layouts, rows
    from components.ingest.database import database
    from components.ingest.forgotten import ForgetList, leave_out
    from components.ingest.implicit import ANY_COUNT, read_counts

    with tempfile.TemporaryDirectory(prefix="twotower-evaluate-") as directory:
        scratch = Path(directory)
        user, events = options.user, options.implicit
        roles = layouts.parse_columns(columns, one_user=bool(user), implicit=events)
        forgotten = ForgetList.read(forget, options, scratch)
        opened = inputs.open_all(
            names, _FLAG, scratch, lambda file: layouts.fits(file, "", roles, events), user
        )
        with forgotten.withheld():
            files = [(file, layouts.layout_of(file, "", roles, events)) for file in opened]
        timed = any("time" in layout.positions for _, layout in files)
        with database(scratch, _MEMORY_GB) as connection:
            rows.create_tables(connection, timed)
            for part in (part for file in opened for part in file.open_parts()):
                layout = layouts.layout_of(part, "", roles, events)
                rows.append(connection, part, layout, options, timed, for_test=True)
            leave_out(connection, forgotten)
            if events:
                read_counts(connection, any(layout.counts for _, layout in files))
            found = _valid_rows(connection, ANY_COUNT if events else rating_scale, events)
    if len(found.ratings.movies) == 0:
        if events:
            raise UserError(f"{_FLAG} {names} holds no event; name a file of events")
        low, high = rating_scale
        raise UserError(
            f"{_FLAG} {names} holds no rating from {low:g} to {high:g}; "
            "name a file of ratings on the scale of the indexes"
        )
    return found


def _valid_rows(connection: Any, rating_scale: tuple[float, float], events: bool) -> NamedRatings:
    from components.ingest.split import WEIGHT

    fine = "reason = 0 AND rating BETWEEN $low AND $high"
    scale = dict(zip(("low", "high"), rating_scale, strict=True))
    (refused,) = connection.execute(
        f"SELECT count(*) FROM rows WHERE reason > 0 OR (reason = 0 AND NOT ({fine}))", scale
    ).fetchone()
    if refused:
        log(f"{refused:,} lines are left out: they are no ratings, or beyond the scale")
    latest = "last(rating ORDER BY rowid)"
    if has_column(connection, "rows", "time"):  # as in `ingest`: where all have times, the latest counts
        by_time = "last(rating ORDER BY time, rowid)"
        latest = f"CASE WHEN count(time) = count(*) THEN {by_time} ELSE {latest} END"
    if events:
        latest = WEIGHT.format("sum(rating::DOUBLE)") + "::FLOAT"
    columns = connection.execute(
        f"""
        SELECT user_id, movie_id, {latest} AS stars
        FROM rows WHERE {fine}
        GROUP BY user_id, movie_id ORDER BY user_id, movie_id
        """,
        scale,
    ).fetchnumpy()
    user_ids, owners = np.unique(columns["user_id"], return_inverse=True)
    movie_ids, movies = np.unique(columns["movie_id"], return_inverse=True)
    return NamedRatings(
        user_ids, movie_ids, UserRatings.group(owners, movies, columns["stars"], len(user_ids))
    )

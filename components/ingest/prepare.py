"""Turns input files into a RatingsDataset, or into a description of the one that they would give."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.display import date, percent, quantile, table
from components.errors import UserError
from components.ingest import inputs, layouts, movie_tables, rejects, rows, split
from components.ingest.catalogue import (
    Catalogue,
    add_rated_movies,
    create_table,
    cure_of_unknown,
    write_catalogue,
)
from components.ingest.database import database, one_row
from components.ingest.dataset import (
    MOVIES_FILE,
    REJECTS_FILE,
    SPLITS,
    IngestSettings,
    MovieTableCounts,
    SplitSettings,
    Statistics,
    find_mark,
    find_scale,
    measure,
    parse_scale,
)
from components.ingest.forgotten import FLAG, ForgetList, leave_out
from components.ingest.implicit import ANY_COUNT, count_of, find_events, read_counts, weight_scale
from components.ingest.inputs import STDIN, InputFile, fingerprint_of, spooled
from components.ingest.layouts import Layout
from components.ingest.rejects import RejectReason, Rejects
from components.ingest.settings import IMPLICIT, STARS, ReadOptions, check_feedback
from components.power import foretell
from components.progress import log


def read_settings(
    *, columns: str, rating_scale: str, format: str, ingest_settings: dict[str, Any], **others: Any
) -> IngestSettings:
    """Reads the settings from the flags.

    Raises `UserError` as `parse_columns`, `parse_scale` and `ReadOptions.read` do.
    """
    read = ReadOptions.read(ingest_settings)
    check_feedback(read, rating_scale)
    return IngestSettings(
        format=format,
        columns=layouts.parse_columns(columns, format, one_user=bool(read.user), implicit=read.implicit),
        rating_scale=parse_scale(rating_scale),
        read=read,
        **others,
    )


@dataclass(frozen=True)
class InputSources:
    """The input files, opened, with their layouts."""

    ratings: Sequence[tuple[InputFile, Layout]]  # each with its layout; those of the test split come last
    test_files: int  # number of files of the test split
    movies: Sequence[InputFile]  # the movie tables, the first of two that disagree counts; may be empty
    forget: ForgetList  # users whose ratings are left out
    fingerprint: str  # identifies the files and these users

    @property
    def timed(self) -> bool:
        """True if any of the ratings have a time."""
        return any("time" in layout.positions for _, layout in self.ratings)


def open_sources(
    ratings: str,
    movies: str,
    test_ratings: str,
    settings: IngestSettings,
    scratch: Path,
    fingerprint: str = "",
    forget: str = "",
) -> InputSources:
    """Opens the input files and finds their layouts; objects of a bucket are copied to `scratch`.

    Raises `UserError` if one of them cannot be used.
    """

    def is_ratings(file: InputFile) -> bool:
        return layouts.fits(file, settings.format, settings.columns, settings.read.implicit)

    def ratings_in(text: str, flag: str) -> list[InputFile]:
        return inputs.open_all(text, flag, scratch, is_ratings, settings.read.user)

    def is_movie_table(file: InputFile) -> bool:
        return movie_tables.fits(file, settings.read)

    forgotten = ForgetList.read(forget, settings.read, scratch)
    tables = inputs.open_all(movies, "--movies", scratch, is_movie_table) if movies else []
    training = ratings_in(ratings, "--ratings")
    testing = ratings_in(test_ratings, "--test-ratings") if test_ratings else []
    with forgotten.withheld():
        found = [
            (file, layouts.layout_of(file, settings.format, settings.columns, settings.read.implicit))
            for file in (*training, *testing)
        ]
    if not fingerprint:
        texts = {"--ratings": ratings, "--movies": movies, "--test-ratings": test_ratings}
        stored = [str(spooled(scratch, flag)) if text == STDIN else text for flag, text in texts.items()]
        fingerprint = fingerprint_of(*stored, forgotten=forgotten.fingerprint)
    sources = InputSources(found, len(testing), tables, forgotten, fingerprint)
    if settings.split != "random" and not sources.timed:
        raise UserError(
            f"--split {settings.split} needs a column with times; use --split random, or name the column"
        )
    return sources


@dataclass(frozen=True)
class Examined:
    """The content of a RatingsDataset of the input files."""

    statistics: Statistics
    rejects: Rejects  # the rows that are not kept
    refusal: str | None  # why there can be no such dataset; None if there can
    notices: Sequence[str]  # of what the user may not expect in the files


def examine(connection: Any, sources: InputSources, settings: IngestSettings, rejects_file: Path) -> Examined:
    """Reads, classifies and divides all rows into tables of `connection`; lists the rejects in a file.

    Raises `UserError` if a file cannot be read.
    """
    started = time.monotonic()
    catalogue = movie_tables.read(sources.movies, settings.read) if sources.movies else Catalogue()
    files = _read(connection, sources, settings)
    forgotten = leave_out(connection, sources.forget)
    if not sources.movies or settings.read.unknown_movies == "keep":
        add_rated_movies(connection, catalogue)
    attributes = create_table(connection, catalogue)
    events = settings.read.implicit
    counted = any(layout.counts for _, layout in sources.ratings)
    notice = read_counts(connection, counted) if events else find_mark(connection)
    not_rated, least, greatest = one_row(
        connection,
        f"""
        SELECT count(*) FILTER (reason = {RejectReason.NOT_RATED:d}), min(rating) FILTER (reason = 0),
            max(rating) FILTER (reason = 0)
        FROM rows
        """,
    )
    if events:
        added = split.classify_rows(connection, ANY_COUNT, settings)
        scale = weight_scale(connection)
    else:
        scale = find_scale(connection, settings.rating_scale, {layout.scale for _, layout in sources.ratings})
        notice = notice or find_events(connection, scale, settings.rating_scale is not None)
        added = split.classify_rows(connection, scale, settings)
    rejected = rejects.write(connection, files, rejects_file, sources.forget.is_named_in)
    rejected.count_unlisted(RejectReason.NOT_RATED, not_rated)
    rejected.count_unlisted(RejectReason.FORGOTTEN_USER, forgotten.rows)
    rejected.count_unlisted(RejectReason.DUPLICATE, added)
    if settings.read.unknown_movies == "drop":
        rejected.harmless |= {RejectReason.UNKNOWN_MOVIE}
    kept = one_row(connection, "SELECT count(*) FROM classified WHERE reason <= 0")[0]
    rows_read = kept + rejected.total
    log(f"{rows_read:,} rows read, {kept:,} kept, {rejected.total:,} rejected")
    taken = split.take(connection, settings)
    statistics = Statistics(
        feedback=IMPLICIT if events else STARS,
        rows_read=rows_read,
        rows_kept=kept,
        rows_rejected=rejected.total,
        rejected_by_reason={reason.text: count for reason, count in rejected.by_reason.most_common()},
        duplicates=rejected.by_reason[RejectReason.DUPLICATE],
        forgotten=forgotten,
        rows_left_out=kept - sum(count for _, count in taken.items()),
        movies=len(catalogue.movie_ids),
        movie_table=MovieTableCounts(**catalogue.counts),
        attributes=attributes,
        rating_scale=(float(scale[0]), float(scale[1])),
        splits=taken,
        split=SplitSettings(
            kind="given" if sources.test_files else settings.split,
            seed=settings.seed,
            validation_fraction=settings.validation_fraction,
            test_fraction=settings.test_fraction,
        ),
        **measure(connection, len(catalogue.movie_ids), scale),
        fingerprint=sources.fingerprint,
        seconds=round(time.monotonic() - started, 3),
    )
    tables = ", ".join(file.name for file in sources.movies)
    cures = {}
    if least is not None and not events:
        cures[RejectReason.RATING_OFF_THE_SCALE] = (
            f"the ratings lie from {least:g} to {greatest:g}: name their scale with --rating-scale "
            f"{least:g},{greatest:g}, or correct the file"
        )
    if not kept and not events:
        cures[RejectReason.RATING_NOT_A_NUMBER] = "if they are true and false, add --feedback implicit"
    if sources.movies and rejected.by_reason[RejectReason.UNKNOWN_MOVIE]:
        cures[RejectReason.UNKNOWN_MOVIE] = cure_of_unknown(connection, tables, catalogue)
    refusal = rejected.excess(rows_read, settings.max_reject_rate, cures)
    refusal = refusal or split.shortage(taken, statistics.rows_left_out)
    notices = filter(None, [notice, catalogue.malformed_rows(tables)])
    return Examined(statistics, rejected, refusal, list(notices))


def prepare(connection: Any, sources: InputSources, settings: IngestSettings, directory: Path) -> Statistics:
    """Writes all files of a RatingsDataset but its statistics, which it returns.

    Raises `UserError` if a file cannot be read, too many rows are rejected, or too few are left.
    """
    examined = examine(connection, sources, settings, directory / REJECTS_FILE)
    for notice in examined.notices:
        log(notice)
    if examined.refusal:
        raise UserError(examined.refusal)
    write_catalogue(connection, directory / MOVIES_FILE)
    for name in SPLITS:
        split.write(connection, name, directory / f"{name}.parquet")
    log(", ".join(f"{name}: {count:,} rows" for name, count in examined.statistics.splits.items()))
    return examined.statistics


def _read(connection: Any, sources: InputSources, settings: IngestSettings) -> list[InputFile]:
    """Reads the ratings into the table `rows`; returns the files whose lines are its rows."""
    read: list[InputFile] = []
    rows.create_tables(connection, sources.timed)
    first_test_file = len(sources.ratings) - sources.test_files
    for number, (file, layout) in enumerate(sources.ratings):
        log(f"reading {file.name} ({layout.name})")
        for_test = number >= first_test_file
        for part in file.open_parts():
            if part is not file:  # parts may differ in the order of their columns
                layout = layouts.layout_of(part, settings.format, settings.columns, settings.read.implicit)
            read.append(rows.append(connection, part, layout, settings.read, sources.timed, for_test))
    return read


def describe(
    ratings: str, movies: str, test_ratings: str, forget: str, settings: IngestSettings, memory_gb: float
) -> tuple[InputSources, Examined]:
    """Reads the files as `ingest` does, spilling to the directory for temporary files (TMPDIR).

    Returns the files, and the content of a RatingsDataset of them, or why there can be none. Raises
    `UserError` if a file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="twotower-describe-") as directory:
        scratch = Path(directory)
        sources = open_sources(ratings, movies, test_ratings, settings, scratch, forget=forget)
        with database(scratch, memory_gb) as connection:
            return sources, examine(connection, sources, settings, scratch / REJECTS_FILE)


_MOST_FILES = 5
_MOST_LEVELS = 21
_BAR = 30


def description(sources: InputSources, examined: Examined) -> Iterator[Any]:
    """Yields the blocks of the description of ratings files on a terminal, each at most 80 columns wide."""
    from rich.text import Text

    statistics = examined.statistics
    yield Text("\n".join(_files(sources)))
    yield Text("\n".join(_summary(statistics)))
    if statistics.rating_histogram:
        if statistics.feedback == STARS:
            yield _histogram(statistics.rating_histogram)
        yield _quantiles(statistics)
    if examined.rejects.total:
        yield _rejects(examined.rejects)
    for notice in examined.notices:
        yield Text(notice, style="yellow")
    if examined.refusal:
        yield Text(f"ingest would refuse this: {examined.refusal}", style="bold red")
    else:
        yield Text("ingest would take this", style="bold green")
        if doubt := foretell(statistics.splits.test):
            yield Text(doubt, style="yellow")


def _files(sources: InputSources) -> Iterator[str]:
    for file, layout in sources.ratings[:_MOST_FILES]:
        yield f"{file.name} ({layout.name})"
    if len(sources.ratings) > _MOST_FILES:
        yield f"and {len(sources.ratings) - _MOST_FILES} more"
    yield from (f"{table.name} (movies)" for table in sources.movies)


def _summary(statistics: Statistics) -> Iterator[str]:
    yield (
        f"{statistics.rows_read:,} rows read, {statistics.rows_kept:,} kept, "
        f"{statistics.rows_rejected:,} rejected, {statistics.rows_left_out:,} left out"
    )
    if statistics.forgotten.listed:
        yield f"{FLAG}: {statistics.forgotten}"
    yield (
        f"{statistics.users:,} users, {statistics.movies_rated:,} of {statistics.movies:,} movies rated "
        f"({statistics.share_of_movies_rated:.1%}), {statistics.density:.2%} of all pairs"
    )
    if statistics.attributes:
        yield "attributes of movies: " + ", ".join(
            f"{name} ({of})" for name, of in statistics.attributes.items()
        )
    low, high = statistics.rating_scale
    if statistics.feedback == IMPLICIT:
        yield f"feedback without stars; a user has at most {count_of(high):,.4g} events with a movie"
    elif statistics.rating_mean is not None:
        yield f"scale from {low:g} to {high:g}, mean {statistics.rating_mean:.4g}"
    if statistics.time_span:
        yield "from {} to {}".format(*map(date, statistics.time_span))
    splits = ", ".join(f"{count:,} for {name}" for name, count in statistics.splits.items())
    yield f"{splits} ({statistics.split.kind} split)"


def _histogram(histogram: dict[str, int]) -> Any:
    total, levels = sum(histogram.values()), _levels(histogram)
    bars = (
        (level, f"{count:,}", percent(count / total), "█" * round(_BAR * count / max(levels.values())))
        for level, count in levels.items()
    )
    numbers = ("stars", "rows", "share")
    return table("Ratings", (*numbers, ""), bars, numbers)


def _levels(histogram: dict[str, int]) -> dict[str, int]:
    """Joins neighbouring levels under the least of them, so that they fit on a screen."""
    together = -(-len(histogram) // _MOST_LEVELS)
    levels = list(histogram.items())
    return {
        levels[place][0]: sum(count for _, count in levels[place : place + together])
        for place in range(0, len(levels), together)
    }


def _quantiles(statistics: Statistics) -> Any:
    quantiles = [quantile(position) for position in statistics.ratings_per_user]
    counts = {"user": statistics.ratings_per_user, "movie": statistics.ratings_per_movie}
    lines = ((name, *(f"{count:,}" for count in of_name.values())) for name, of_name in counts.items())
    return table("Ratings per user and per movie", ("", *quantiles), lines, quantiles)


def _rejects(rejected: Rejects) -> Any:
    lines = []
    for reason, count in rejected.by_reason.most_common():
        first = rejected.examples.get(reason)
        text = f": {first.text[:80]!r}" if first and first.text else ""
        place = f"{first.file} line {first.line}{text}" if first else ""
        lines.append((reason.text, f"{count:,}", place))
    return table("Rows that would be rejected", ("reason", "rows", "first"), lines, ("rows",))

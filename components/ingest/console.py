"""The description of input files on a terminal."""

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from components.display import date, percent, quantile, table
from components.ingest.prepare import Examined, Sources
from components.ingest.rejects import Rejects

_MOST_FILES = 5
_MOST_LEVELS = 21
_BAR = 30


def description(sources: Sources, examined: Examined) -> Iterator[RenderableType]:
    """What a person wants to see of ratings files, one block after another, each fit for 80 columns."""
    statistics = examined.statistics
    yield _files(sources)
    yield _story(statistics)
    if statistics["rating_histogram"]:
        yield _histogram(statistics["rating_histogram"])
        yield _quantiles(statistics)
    if examined.rejects.total:
        yield _rejects(examined.rejects)
    yield _conclusion(examined)


def _files(sources: Sources) -> Text:
    lines = [f"{file.name} ({layout.name})" for file, layout in sources.ratings[:_MOST_FILES]]
    if more := len(sources.ratings) - len(lines):
        lines.append(f"and {more} more")
    lines += [f"{sources.movies.name} (movies)"] if sources.movies else []
    return Text("\n".join(lines))


def _story(statistics: dict[str, Any]) -> Text:
    lines = [
        "{rows_read:,} rows read, {rows_kept:,} kept, {rows_rejected:,} rejected, "
        "{rows_left_out:,} left out".format_map(statistics),
        "{users:,} users, {movies_rated:,} of {movies:,} movies rated ({share_of_movies_rated:.1%}), "
        "{density:.2%} of all pairs".format_map(statistics),
    ]
    low, high = statistics["rating_scale"]
    if statistics["rating_mean"] is not None:
        lines.append(f"scale from {low:g} to {high:g}, mean {statistics['rating_mean']:.4g}")
    if statistics["time_span"]:
        first, last = map(date, statistics["time_span"])
        lines.append(f"from {first} to {last}")
    splits = ", ".join(f"{count:,} for {name}" for name, count in statistics["splits"].items())
    lines.append(f"{splits} ({statistics['split']['kind']} split)")
    return Text("\n".join(lines))


def _histogram(histogram: dict[str, int]) -> Table:
    total, levels = sum(histogram.values()), _levels(histogram)
    rows = (
        (level, f"{count:,}", percent(count / total), "█" * round(_BAR * count / max(levels.values())))
        for level, count in levels.items()
    )
    numbers = ("stars", "rows", "share")
    return table("Ratings", (*numbers, ""), rows, numbers)


def _levels(histogram: dict[str, int]) -> dict[str, int]:
    """As many levels as fit on a screen: neighbours are put together, under the least of them."""
    together = -(-len(histogram) // _MOST_LEVELS)
    levels = list(histogram.items())
    return {
        levels[place][0]: sum(count for _, count in levels[place : place + together])
        for place in range(0, len(levels), together)
    }


def _quantiles(statistics: dict[str, Any]) -> Table:
    quantiles = [quantile(position) for position in statistics["ratings_per_user"]]
    rows = (
        (name, *(f"{count:,}" for count in statistics[f"ratings_per_{name}"].values()))
        for name in ("user", "movie")
    )
    return table("Ratings per user and per movie", ("", *quantiles), rows, quantiles)


def _rejects(rejects: Rejects) -> Table:
    rows = []
    for reason, count in rejects.by_reason.most_common():
        first = rejects.examples[reason]
        text = f": {first.text[:80]!r}" if first.text else ""
        rows.append((reason.text, f"{count:,}", f"{first.file} line {first.line}{text}"))
    return table("Rows that would be rejected", ("reason", "rows", "first"), rows, ("rows",))


def _conclusion(examined: Examined) -> Text:
    if examined.refusal:
        return Text(f"ingest would refuse this: {examined.refusal}", style="bold red")
    return Text("ingest would take this", style="bold green")

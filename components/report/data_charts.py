"""The pictures of the data."""

from collections.abc import Mapping
from itertools import pairwise

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from components.report.svg import BASELINE, CHALLENGER, SECOND, Picture, drawn
from components.report.units import quantile_name

# The widest that a bar is where ratings lie far apart, in stars.
_FULL_STEP = 1.0


def stars_given(histogram: Mapping[str, int]) -> Picture:
    """The share of each rating. `histogram`: how many rows, by stars."""
    stars, total = [float(level) for level in histogram], sum(histogram.values())
    step = min((after - before for before, after in pairwise(sorted(stars))), default=_FULL_STEP)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(stars, [100 * count / total for count in histogram.values()], 0.8 * step, color=BASELINE)
        axes.set_xlabel("stars given")
        axes.set_ylabel("ratings, %")
        axes.grid(False, axis="x")

    return drawn("Which stars users give", "Of all ratings kept, the share of each.", draw)


def activity(per_user: Mapping[str, int], per_movie: Mapping[str, int]) -> Picture:
    """How many ratings users give and movies get. Both hold a number of ratings by quantile, "0" to "1"."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for counts, name, colour, style in (
            (per_user, "of a user", CHALLENGER, "-"),
            (per_movie, "of a movie", SECOND, "--"),
        ):
            axes.plot(range(len(counts)), list(counts.values()), style, color=colour, marker="o", label=name)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
        axes.minorticks_off()
        axes.set_xticks(range(len(per_user)), [quantile_name(quantile) for quantile in per_user])
        axes.set_ylabel("ratings")
        axes.legend()

    return drawn(
        "How many ratings users and movies have",
        "From the least to the most: at 90%, nine of ten have at most so many.",
        draw,
    )

"""Charts of the report as inline SVG that follows light and dark mode."""

import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise
from typing import Any, Concatenate, ParamSpec

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from components.display import quantile
from components.evaluate.details import CalibrationBucket, Residual, TopKCurve
from components.metrics import BASELINES, CHALLENGER, METRICS, RMSE, TOP_100_UNSEEN, Metric, short
from components.train.artifact import LogEntry

# matplotlib knows no CSS variables: a colour that occurs nowhere else stands for each, and is replaced in the
# finished SVG.
_COLOURS = {
    "ink": "#010101",
    "faint": "#020202",
    "challenger": "#030303",
    "champion": "#040404",
    "baseline": "#050505",
    "second": "#060606",
}
INK, FAINT, BASELINE, SECOND = (_COLOURS[name] for name in ("ink", "faint", "baseline", "second"))

_STYLE = {
    "svg.fonttype": "none",  # text stays text: small, selectable, in the page's font
    "svg.hashsalt": "twotower",  # the same data give the same page
    "font.size": 10,
    "axes.titlesize": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "grid.alpha": 0.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}
# Inches at 72 dots each; narrow, so that the text can still be read where the picture fills a phone.
SIZE = (4.4, 2.9)

P = ParamSpec("P")
_Draw = Callable[Concatenate[Axes, P], None]


@dataclass(frozen=True)
class Picture:
    """A drawing with its words."""

    title: str
    note: str  # how to read it
    svg: Markup  # the drawing, which has no title of its own


def drawn(title: str, note: str, draw: Callable[[Figure], None], size: tuple[float, float] = SIZE) -> Picture:
    """Draws a picture by `draw`. `size` is in inches; the page scales it."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="tight")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Picture(title, note, Markup(_themed(text.getvalue())))  # matplotlib escapes the text that it draws


def _picture(title: str, note: str) -> Callable[[_Draw[P]], Callable[P, Picture]]:
    """Makes the function below, which draws on the axes that it takes first, return a picture."""

    def decorate(draw: _Draw[P]) -> Callable[P, Picture]:
        @wraps(draw)
        def make(*args: P.args, **kwargs: P.kwargs) -> Picture:
            return drawn(title, note, lambda figure: draw(figure.subplots(), *args, **kwargs))

        return make

    return decorate


def _themed(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg


def mark(name: str) -> str:
    """Returns the marker of a scorer's points."""
    return "o" if name == CHALLENGER else "D"


def line(name: str) -> dict[str, Any]:
    """Returns colour, dashes and label of a scorer, the same in every picture."""
    colour, style = BASELINES[name].look if name in BASELINES else (name, "-")
    return {"color": _COLOURS.get(colour, BASELINE), "linestyle": style, "label": short(name)}


Interval = Sequence[float] | None

_TICKS = (1, 3, 10, 30, 100, 300)


def _heading(metric: Metric) -> str:
    return "Stars off" if metric.in_stars else "Movies found of 100"


def standings(metric: Metric, of_scorers: Mapping[str, tuple[float, Interval]]) -> Picture:
    """Draws a metric of every scorer, the best uppermost: value and interval, in people's units."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        worst_first = sorted(
            of_scorers, key=lambda name: of_scorers[name][0], reverse=metric.better == "less"
        )
        for place, name in enumerate(worst_first):
            value, interval = of_scorers[name]
            low, high = interval or (value, value)
            colour = line(name)["color"]
            axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.4)
            axes.plot([value], [place], "o", color=colour, markersize=6)
            digits = 3 if metric.in_stars else 1
            text = f"{value:.{digits}f} ±{(high - low) / 2:.{digits}f}"
            axes.annotate(text, (high, place), (7, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(worst_first)), [short(name) for name in worst_first])
        axes.set_ylim(-0.6, len(worst_first) - 0.4)
        axes.grid(False, axis="y")
        low, high = axes.get_xlim() if metric.in_stars else (0.0, axes.get_xlim()[1])
        axes.set_xlim(low, high + 0.3 * (high - low))  # space for the last figure

    note = f"{_heading(metric)}: {metric.better} is better; ± is the 95% interval."
    return drawn("", note, draw, (4.0, 0.55 + 0.33 * len(of_scorers)))


def training_curves(log: Sequence[LogEntry], kept: int) -> list[Picture]:
    """Draws losses and validation metrics over the steps of training; nothing if there are fewer than two.

    `kept` is the place in the log of the weights that became the model; -1 if it is not known.
    """
    if len(log) < 2:
        return []
    mark = " The dashed line is where the weights were taken." if kept >= 0 else ""
    return [
        _over_steps(
            "What training minimised",
            "Mean losses while training: both should fall and level off.",
            (("retrieval_loss", "retrieval loss"), ("rating_loss", "rating loss")),
            log,
            kept,
        ),
        _over_steps(
            "What it brought on validation rows",
            f"Upper: movies found of 100, should rise. Lower: stars off, should fall.{mark}"
            if log[-1].validation_rmse is not None
            else f"Movies found of 100, should rise.{mark}",
            (
                (f"validation_{TOP_100_UNSEEN}", "found of 100 (top-100, unseen)"),
                (f"validation_{RMSE}", "stars off (RMSE)"),
            ),
            log,
            kept,
        ),
    ]


def _over_steps(
    title: str, note: str, panels: Sequence[tuple[str, str]], log: Sequence[LogEntry], kept: int
) -> Picture:
    """Draws two curves, one above the other: each has a scale of its own, and neither hides the other."""

    def draw(figure: Figure) -> None:
        drawn_panels = [panel for panel in panels if any(getattr(one, panel[0]) is not None for one in log)]
        both = figure.subplots(len(drawn_panels), sharex=True, squeeze=False)[:, 0]
        for axes, (key, label), colour in zip(
            both, drawn_panels, (_COLOURS[CHALLENGER], SECOND), strict=False
        ):
            metric = METRICS.get(key.removeprefix("validation_"))
            scale = metric.in_people_units(1.0) if metric else 1.0
            measured = [one for one in log if getattr(one, key) is not None]
            values = [scale * getattr(one, key) for one in measured]
            axes.plot([one.step for one in measured], values, color=colour, marker="o", markersize=3)
            axes.set_title(label, loc="left")
            if kept >= 0:
                axes.axvline(log[kept].step, color=FAINT, linestyle="--", linewidth=1.2)
        both[-1].set_xlabel("training steps")

    return drawn(title, note, draw, (4.4, 3.5))


@_picture(
    "Movies found of 100, by the length of the list",
    "Of 100 movies that users chose later, how many a list of the k best unseen movies holds.",
)
def top_k_curve(axes: Axes, curve: TopKCurve) -> None:
    """Draws the share of test rows among the k best unseen movies, for growing k."""
    for name, values in curve.accuracy.items():
        axes.plot(curve.k, [100 * value for value in values], **line(name))
    axes.set_xscale("log")
    axes.set_xticks(_TICKS, [str(k) for k in _TICKS])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_xlabel("length of the list (k)")
    axes.legend()


@_picture(
    "Are 4 stars 4 stars?",
    "Each point is a tenth of the test rows. On the grey line, users gave on average what was predicted.",
)
def calibration(axes: Axes, buckets: Mapping[str, Sequence[CalibrationBucket]]) -> None:
    """Draws the mean rating given against the mean rating predicted."""
    for name, of_scorer in buckets.items():
        predicted, given = zip(*((bucket.predicted, bucket.given) for bucket in of_scorer), strict=True)
        axes.plot(predicted, given, marker="o", markersize=4, **line(name))
    low, high = axes.get_xlim()
    axes.plot([low, high], [low, high], color=FAINT, linewidth=1.5, zorder=0)
    axes.set_xlabel("stars predicted")
    axes.set_ylabel("stars given")
    axes.legend()


@_picture(
    "How far off, by the stars given",
    "Prediction minus stars given, on average. All draw towards the middle; shorter bars are better.",
)
def residuals(axes: Axes, levels: Mapping[str, Sequence[Residual]]) -> None:
    """Draws the mean error of the predictions, for each rating that was given."""
    errors = {name: [level.mean_error for level in of_scorer] for name, of_scorer in levels.items()}
    _bars(axes, errors, [f"{level.given:g}★" for level in next(iter(levels.values()))])
    axes.axhline(0, color=FAINT, linewidth=1)
    axes.set_xlabel("stars given")


@_picture(
    "What is recommended, against what is rated",
    "Movies in ten groups with a tenth of all ratings each, the most rated left. On the dashed line, a "
    "group is recommended as often as it is rated.",
)
def long_tail(axes: Axes, shares: Mapping[str, Sequence[float]]) -> None:
    """Draws the share of recommendations in each tenth of the ratings, the most rated movies first."""
    percent = {name: [100 * share for share in of_scorer] for name, of_scorer in shares.items()}
    _bars(axes, percent, ["hits", *map(str, range(2, 10)), "rare"])
    axes.axhline(10, color=FAINT, linewidth=1.5, linestyle="--")
    axes.set_ylabel("recommendations, %")


def by_slice(metric: Metric, rows: Sequence[tuple[str, Mapping[str, tuple[float, Interval]]]]) -> Picture:
    """Draws a metric of two scorers on every slice, the challenger's with its interval.

    `rows` are the slices' names and, by scorer, value and interval in people's units.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (_, of_scorers) in enumerate(reversed(rows)):
            for name, (value, interval) in of_scorers.items():
                colour = line(name)["color"]
                if name == CHALLENGER and interval:
                    axes.plot(interval, [place, place], color=colour, linewidth=4, alpha=0.35)
                axes.plot([value], [place], mark(name), color=colour, markersize=6)
        for name in dict.fromkeys(name for _, of_scorers in rows for name in of_scorers):
            axes.plot([], [], mark(name), color=line(name)["color"], label=short(name))
        axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)

    note = f"Farther {'left' if metric.better == 'less' else 'right'} is better."
    return drawn(_heading(metric), note, draw, (4.4, 1.0 + 0.27 * len(rows)))


def _bars(axes: Axes, heights: Mapping[str, Sequence[float]], places: Sequence[str]) -> None:
    width = 0.8 / len(heights)
    for number, (name, values) in enumerate(heights.items()):
        left = [place + (number - (len(heights) - 1) / 2) * width for place in range(len(values))]
        axes.bar(left, values, width, color=line(name)["color"], label=line(name)["label"])
    axes.set_xticks(range(len(places)), places)
    axes.grid(False, axis="x")
    axes.legend()


# The widest that a bar is where ratings lie far apart, in stars.
_FULL_STEP = 1.0


@_picture("Which stars users give", "Of all ratings kept, the share of each.")
def stars_given(axes: Axes, histogram: Mapping[str, int]) -> None:
    """Draws the share of each rating. `histogram`: number of rows by stars."""
    stars, total = [float(level) for level in histogram], sum(histogram.values())
    step = min((after - before for before, after in pairwise(sorted(stars))), default=_FULL_STEP)
    axes.bar(stars, [100 * count / total for count in histogram.values()], 0.8 * step, color=BASELINE)
    axes.set_xlabel("stars given")
    axes.set_ylabel("ratings, %")
    axes.grid(False, axis="x")


@_picture(
    "How many ratings users and movies have",
    "From the least to the most: at 90%, nine of ten have at most so many.",
)
def activity(axes: Axes, per_user: Mapping[str, int], per_movie: Mapping[str, int]) -> None:
    """Draws quantiles of the ratings of users and of movies: numbers of ratings by quantile, "0" to "1"."""
    for counts, name, colour, style in (
        (per_user, "of a user", _COLOURS[CHALLENGER], "-"),
        (per_movie, "of a movie", SECOND, "--"),
    ):
        axes.plot(range(len(counts)), list(counts.values()), style, color=colour, marker="o", label=name)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axes.yaxis.set_major_formatter(lambda count, _: f"{count:,.0f}")
    axes.minorticks_off()
    axes.set_xticks(range(len(per_user)), [quantile(position) for position in per_user])
    axes.set_ylabel("ratings")
    axes.legend()

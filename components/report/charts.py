"""Which pictures the page has, and what is in them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.report.looks import line, mark
from components.report.svg import CHALLENGER, FAINT, SECOND, Picture, drawn
from components.report.units import plain

Interval = Sequence[float] | None

_TICKS = (1, 3, 10, 30, 100, 300)
# Value and half the width of its interval.
_FIGURES = {"found": "{:.1f} ±{:.1f}", "stars": "{:.3f} ±{:.3f}"}


def standings(note: str, kind: str, of_scorers: Mapping[str, tuple[float, Interval]]) -> Picture:
    """One number of every scorer, the best uppermost, each with its interval.

    Args:
      note: of the picture.
      kind: "found", of 100 movies, where more is better, or "stars", where less is.
      of_scorers: value and interval by scorer.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        worst_first = sorted(of_scorers, key=lambda name: of_scorers[name][0], reverse=kind == "stars")
        for place, name in enumerate(worst_first):
            value, interval = of_scorers[name]
            low, high = interval or (value, value)
            colour = line(name)["color"]
            axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.4)
            axes.plot([value], [place], "o", color=colour, markersize=6)
            text = _FIGURES[kind].format(value, (high - low) / 2)
            axes.annotate(text, (high, place), (7, 0), textcoords="offset points", va="center")
        axes.set_yticks(range(len(worst_first)), [plain(name) for name in worst_first])
        axes.set_ylim(-0.6, len(worst_first) - 0.4)
        axes.grid(False, axis="y")
        low, high = (0.0, axes.get_xlim()[1]) if kind == "found" else axes.get_xlim()
        axes.set_xlim(low, high + 0.3 * (high - low))  # room for the last figure

    return drawn("", note, draw, (4.0, 0.55 + 0.33 * len(of_scorers)))


def training_curves(log: Sequence[Mapping[str, Any]], kept: int) -> list[Picture]:
    """Losses, and validation metrics, over the steps of training; nothing if there are fewer than two.

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
            f"Upper: movies found of 100, should rise. Lower: stars off, should fall.{mark}",
            (
                ("validation_top_100_accuracy_unseen", "found of 100 (top-100, unseen)"),
                ("validation_rmse", "stars off (RMSE)"),
            ),
            log,
            kept,
        ),
    ]


def _over_steps(
    title: str,
    note: str,
    panels: Sequence[tuple[str, str]],
    log: Sequence[Mapping[str, Any]],
    kept: int,
) -> Picture:
    """Two curves, one above the other: each has a scale of its own, and neither hides the other."""

    def draw(figure: Figure) -> None:
        both = figure.subplots(2, sharex=True)
        for axes, (key, label), colour in zip(both, panels, (CHALLENGER, SECOND), strict=True):
            scale = 100 if "accuracy" in key else 1
            points = [(entry["step"], scale * entry[key]) for entry in log if _is_number(entry.get(key))]
            axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                color=colour,
                marker="o",
                markersize=3,
            )
            axes.set_title(label, loc="left")
            if kept >= 0:
                axes.axvline(log[kept]["step"], color=FAINT, linestyle="--", linewidth=1.2)
        both[1].set_xlabel("training steps")

    return drawn(title, note, draw, (4.4, 3.5))


def top_k_curve(ks: Sequence[int], accuracy: Mapping[str, Sequence[float]]) -> Picture:
    """The share of test rows among the k best unseen movies, for growing k."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, values in accuracy.items():
            axes.plot(ks, [100 * value for value in values], **line(name))
        axes.set_xscale("log")
        axes.set_xticks(_TICKS, [str(k) for k in _TICKS])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("length of the list (k)")
        axes.legend()

    return drawn(
        "Movies found of 100, by the length of the list",
        "Of 100 movies that users went on to rate, how many a list of the k best unseen movies holds.",
        draw,
    )


def calibration(buckets: Mapping[str, Sequence[Mapping[str, float]]]) -> Picture:
    """Mean rating given against mean rating predicted; on the diagonal, 4 stars mean 4 stars."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, of_scorer in buckets.items():
            predicted, given = ([bucket[key] for bucket in of_scorer] for key in ("predicted", "given"))
            axes.plot(predicted, given, marker="o", markersize=4, **line(name))
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1.5, zorder=0)
        axes.set_xlabel("stars predicted")
        axes.set_ylabel("stars given")
        axes.legend()

    return drawn(
        "Are 4 stars 4 stars?",
        "Each point is a tenth of the test rows. On the grey line, users gave on average what was predicted.",
        draw,
    )


def residuals(levels: Mapping[str, Sequence[Mapping[str, float]]]) -> Picture:
    """How far predictions are off, for each rating that was given."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _bars(
            axes,
            {name: [level["mean_error"] for level in of_scorer] for name, of_scorer in levels.items()},
            [f"{level['given']:g}★" for level in next(iter(levels.values()))],
        )
        axes.axhline(0, color=FAINT, linewidth=1)
        axes.set_xlabel("stars given")

    return drawn(
        "How far off, by the stars given",
        "Prediction minus stars given, on average. All draw towards the middle; shorter bars are better.",
        draw,
    )


def long_tail(shares: Mapping[str, Sequence[float]]) -> Picture:
    """Where recommendations fall, from the most to the least rated movies, each tenth as often rated."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _bars(
            axes,
            {name: [100 * share for share in of_scorer] for name, of_scorer in shares.items()},
            ["hits", *map(str, range(2, 10)), "rare"],
        )
        axes.axhline(10, color=FAINT, linewidth=1.5, linestyle="--")
        axes.set_ylabel("recommendations, %")

    return drawn(
        "What is recommended, against what is rated",
        "Movies in ten groups with a tenth of all ratings each, the most rated left. On the dashed line, a "
        "group is recommended as often as it is rated.",
        draw,
    )


def by_slice(
    title: str, note: str, rows: Sequence[tuple[str, Mapping[str, tuple[float, Interval]]]]
) -> Picture:
    """One number of two scorers on every slice, the challenger's with its interval.

    `rows` are the slices' names and, by scorer, value and interval.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, (_, of_scorers) in enumerate(reversed(rows)):
            for name, (value, interval) in of_scorers.items():
                colour = line(name)["color"]
                if name == "challenger" and interval:
                    axes.plot(interval, [place, place], color=colour, linewidth=4, alpha=0.35)
                axes.plot([value], [place], mark(name), color=colour, markersize=6)
        for name in dict.fromkeys(name for _, of_scorers in rows for name in of_scorers):
            axes.plot([], [], mark(name), color=line(name)["color"], label=plain(name))
        axes.set_yticks(range(len(rows)), [name for name, _ in reversed(rows)])
        axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2)

    return drawn(title, note, draw, (4.4, 1.0 + 0.27 * len(rows)))


def _bars(axes: Axes, heights: Mapping[str, Sequence[float]], places: Sequence[str]) -> None:
    width = 0.8 / len(heights)
    for number, (name, values) in enumerate(heights.items()):
        left = [place + (number - (len(heights) - 1) / 2) * width for place in range(len(values))]
        axes.bar(left, values, width, color=line(name)["color"], label=line(name)["label"])
    axes.set_xticks(range(len(places)), places)
    axes.grid(False, axis="x")
    axes.legend()


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)

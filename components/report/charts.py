"""Pictures as inline SVG that follow the page's colours, light and dark."""

import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from components.evaluate.names import words

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
INK, FAINT, CHALLENGER, CHAMPION, BASELINE, SECOND = _COLOURS.values()

_STYLE = {
    "svg.fonttype": "none",  # text stays text: small, selectable, in the page's font
    "svg.hashsalt": "twotower",  # the same data give the same page
    "font.size": 9,
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
_SIZE = (4.6, 3.0)
_TICKS = (1, 3, 10, 30, 100, 300)
# Scorer -> colour and dashes.
_LOOKS = {
    "challenger": (CHALLENGER, "-"),
    "champion": (CHAMPION, "-"),
    "popularity": (BASELINE, ":"),
    "ease": (SECOND, "--"),
    "factors": (SECOND, "--"),
    "bias": (BASELINE, ":"),
    "global_mean": (BASELINE, "-."),
}


def training_curves(log: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Losses, and validation metrics, over the steps of training; nothing if there are fewer than two."""
    panels = (
        ("retrieval_loss", "retrieval loss", "rating_loss", "rating loss"),
        (
            "validation_top_100_accuracy_unseen",
            "top-100 accuracy, unseen",
            "validation_rmse",
            "RMSE (stars)",
        ),
    )
    return [_over_steps(log, *panel) for panel in panels] if len(log) > 1 else []


def _over_steps(
    log: Sequence[Mapping[str, Any]], upper: str, upper_label: str, lower: str, lower_label: str
) -> Markup:
    """Two curves, one above the other: each has a scale of its own, and neither hides the other."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, sharex=True)
        for axes, key, label, colour in (
            (panels[0], upper, upper_label, CHALLENGER),
            (panels[1], lower, lower_label, SECOND),
        ):
            points = [(entry["step"], entry[key]) for entry in log if _is_number(entry.get(key))]
            steps, values = [step for step, _ in points], [value for _, value in points]
            axes.plot(steps, values, color=colour, marker="o", markersize=3)
            axes.set_title(label, loc="left")
        panels[1].set_xlabel("training steps")

    return _svg(draw, (4.6, 3.6))


def top_k_curve(ks: Sequence[int], accuracy: Mapping[str, Sequence[float]]) -> Markup:
    """The share of test rows among the k best unseen movies, for growing k."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, values in accuracy.items():
            axes.plot(ks, values, **_line(name))
        axes.set_xscale("log")
        axes.set_xticks(_TICKS, [str(k) for k in _TICKS])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("k, the length of the list")
        axes.set_title("Share of later rated movies in the list", loc="left")
        axes.legend()

    return _svg(draw)


def calibration(buckets: Mapping[str, Sequence[Mapping[str, float]]]) -> Markup:
    """Mean rating given against mean rating predicted; on the diagonal, 4 stars mean 4 stars."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for name, of_scorer in buckets.items():
            predicted, given = ([bucket[key] for bucket in of_scorer] for key in ("predicted", "given"))
            axes.plot(predicted, given, marker="o", markersize=4, **_line(name))
        low, high = axes.get_xlim()
        axes.plot([low, high], [low, high], color=FAINT, linewidth=1, zorder=0)
        axes.set_xlabel("predicted stars")
        axes.set_title("Stars given, on average", loc="left")
        axes.legend()

    return _svg(draw)


def residuals(levels: Mapping[str, Sequence[Mapping[str, float]]]) -> Markup:
    """How far predictions are off, for each rating that was given."""
    return _bars(
        {name: [level["mean_error"] for level in of_scorer] for name, of_scorer in levels.items()},
        [f"{level['given']:g}" for level in next(iter(levels.values()))],
        "stars given",
        "Prediction minus stars given, on average",
    )


def long_tail(shares: Mapping[str, Sequence[float]]) -> Markup:
    """Where recommendations fall, from the most to the least rated movies, each tenth as often rated."""
    return _bars(
        {name: [100 * share for share in of_scorer] for name, of_scorer in shares.items()},
        [str(tenth) for tenth in range(1, 11)],
        "tenths of all ratings, the most rated movies first",
        "Recommendations, %",
    )


def _bars(heights: Mapping[str, Sequence[float]], places: Sequence[str], label: str, title: str) -> Markup:
    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        width = 0.8 / len(heights)
        for number, (name, values) in enumerate(heights.items()):
            left = [place + (number - (len(heights) - 1) / 2) * width for place in range(len(values))]
            axes.bar(left, values, width, color=_line(name)["color"], label=_line(name)["label"])
        axes.set_xticks(range(len(places)), places)
        axes.grid(False, axis="x")
        axes.set_xlabel(label)
        axes.set_title(title, loc="left")
        axes.legend()

    return _svg(draw)


def _line(name: str) -> dict[str, Any]:
    """The same look for a scorer in every picture."""
    colour, style = _LOOKS.get(name, (BASELINE, "-"))
    return {"color": colour, "linestyle": style, "label": words(name).removeprefix("the ")}


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and math.isfinite(value)


def _svg(draw: Callable[[Figure], None], size: tuple[float, float] = _SIZE) -> Markup:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="tight")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Markup(_themed(text.getvalue()))  # matplotlib escapes the text that it draws


def _themed(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg

"""Pictures as inline SVG that follow the page's colours, light and dark."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
_SIZE = (4.6, 2.9)


def training_curves(log: Sequence[Mapping[str, Any]]) -> list[Markup]:
    """Losses, and validation metrics, over the steps of training; nothing if there are fewer than two."""
    panels = (
        ("Losses while training", "retrieval_loss", "retrieval loss", "rating_loss", "rating loss"),
        (
            "On validation rows",
            "validation_top_100_accuracy_unseen",
            "top-100 accuracy, unseen",
            "validation_rmse",
            "RMSE (stars)",
        ),
    )
    return [_two_scales(log, *panel) for panel in panels] if len(log) > 1 else []


def _two_scales(
    log: Sequence[Mapping[str, Any]], title: str, left: str, left_label: str, right: str, right_label: str
) -> Markup:
    def draw(axes: Axes) -> None:
        axes.set_title(title, loc="left", fontweight="bold")
        other = axes.twinx()
        other.grid(False)
        for scale, key, label, colour in (
            (axes, left, left_label, CHALLENGER),
            (other, right, right_label, SECOND),
        ):
            scale.plot(*_points(log, key), color=colour, marker="o", markersize=3)
            scale.set_ylabel(label, color=colour)
        other.spines["right"].set_visible(True)
        axes.set_xlabel("training steps")

    return _svg(draw)


def _points(log: Sequence[Mapping[str, Any]], key: str) -> tuple[list[float], list[float]]:
    points = [(entry["step"], entry[key]) for entry in log if isinstance(entry.get(key), float | int)]
    return [step for step, _ in points], [value for _, value in points]


def _svg(draw: Any, size: tuple[float, float] = _SIZE) -> Markup:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
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

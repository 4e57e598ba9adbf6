"""Drawings as inline SVG that follow the page's colours, light and dark."""

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup
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


@dataclass(frozen=True)
class Picture:
    """A drawing with its words.

    Attributes:
      title: what it shows.
      note: how to read it.
      svg: the drawing, which has no title of its own.
    """

    title: str
    note: str
    svg: Markup


def drawn(title: str, note: str, draw: Callable[[Figure], None], size: tuple[float, float] = SIZE) -> Picture:
    """The picture that `draw` draws. `size` is in inches; the page scales it."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="tight")
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    return Picture(title, note, Markup(_themed(text.getvalue())))  # matplotlib escapes the text that it draws


def _themed(svg: str) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r" font-family: [^;\"]*;", "", svg)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg

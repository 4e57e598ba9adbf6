"""The same look and name for a scorer in every picture."""

from typing import Any

from components.report.svg import BASELINE, CHALLENGER, CHAMPION, SECOND
from components.report.units import plain

# Scorer -> colour and dashes.
_LOOKS = {
    "challenger": (CHALLENGER, "-"),
    "champion": (CHAMPION, "-"),
    "popularity": (BASELINE, ":"),
    "ease": (SECOND, "--"),
    "item_knn": (SECOND, "--"),
    "factors": (SECOND, "--"),
    "bias": (BASELINE, ":"),
    "global_mean": (BASELINE, "-."),
}


def mark(name: str) -> str:
    """The marker of a scorer's points."""
    return "o" if name == "challenger" else "D"


def line(name: str) -> dict[str, Any]:
    """The same look for a scorer in every picture."""
    colour, style = _LOOKS.get(name, (BASELINE, "-"))
    return {"color": colour, "linestyle": style, "label": plain(name)}

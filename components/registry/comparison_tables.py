"""Two runs or versions side by side, on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from components.registry.comparison import CHANCE, Comparison, Difference

# The metrics that everyone compares; `--all` shows the others too.
_FIRST = ("top_100_accuracy_unseen", "top_10_accuracy_unseen", "rmse")
_SHORT = {
    "top_100_accuracy_unseen": "top-100 unseen",
    "top_10_accuracy_unseen": "top-10 unseen",
    "rmse": "RMSE (stars)",
}


def comparison_tables(comparison: Comparison, every_metric: bool = False) -> list[RenderableType]:
    """What is better and by how much, and the settings and data that differ."""
    shown = [one for one in comparison.metrics if every_metric or one.metric in _FIRST]
    parts: list[RenderableType] = [
        Text(f"A {comparison.first}\nB {comparison.second}"),
        Text(_conclusion(comparison, shown), style="bold"),
        _metrics(shown),
    ]
    for title, differing in (
        ("settings that differ", comparison.settings),
        ("data that differ", comparison.data),
    ):
        parts.append(_differing(title, differing) if differing else Text(f"no {title}"))
    return parts


def _conclusion(comparison: Comparison, shown: Sequence[Difference]) -> str:
    better = {one.better for one in shown} & {"first", "second"}
    if not better:
        text = "Neither is better beyond chance."
    elif len(better) == 2:
        text = "Each is better in something."
    else:
        text = f"{'A' if better == {'first'} else 'B'} is better."
    if comparison.same_rows:
        return text
    return f"{text} They were measured on different test rows: take that with care."


def _metrics(differences: Sequence[Difference]) -> Table:
    table = _table("", "metric", "A", "B", "B - A", "better")
    for one in differences:
        by = "-" if one.by is None else f"{one.by:+.4f}"
        better = {"first": "A", "second": "B", CHANCE: "chance"}.get(one.better, "")
        table.add_row(_SHORT.get(one.metric, one.metric), _figure(one.first), _figure(one.second), by, better)
    return table


def _differing(title: str, values: Mapping[str, tuple[Any, Any]]) -> Table:
    table = _table(title, "", "A", "B")
    for name, (first, second) in values.items():
        table.add_row(name, _text(first), _text(second))
    return table


def _text(value: Any) -> Text:
    return Text("-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(title) if title else None, title_justify="left", title_style="bold")
    table.box, table.pad_edge = None, False
    for name in columns:
        table.add_column(name, overflow="fold")
    return table

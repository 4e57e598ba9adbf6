"""The verdict on a terminal."""

from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from components.evaluate.names import (
    ACCURACY,
    ACCURACY_UNSEEN,
    ERRORS,
    MAE,
    MRR,
    NDCG,
    RMSE,
    TOP_K,
)

# Metric -> what its row is called where the table's title says the rest.
_ROWS = {
    **{ACCURACY_UNSEEN.format(k): f"top-{k}, unseen" for k in reversed(TOP_K)},
    **{ACCURACY.format(k): f"top-{k}" for k in reversed(TOP_K)},
    NDCG.format(100): "NDCG@100, unseen",
    MRR: "MRR, unseen",
    RMSE: "RMSE (stars)",
    MAE: "MAE (stars)",
}
_MARKS = {"pass": "[green]✓[/green]", "fail": "[red]✗[/red]", "skipped": "[dim]–[/dim]"}


def verdict_tables(verdict: dict[str, Any]) -> list[RenderableType]:
    """What a person wants to see of a verdict: the metrics side by side, the rules, the conclusion."""
    return [_metrics(verdict), _rules(verdict), _conclusion(verdict)]


def _metrics(verdict: dict[str, Any]) -> Table:
    metrics = verdict["metrics"]
    columns = {"challenger": metrics["challenger"]}
    if metrics["champion"] is not None:
        columns["champion"] = metrics["champion"]
    columns |= {name.replace("_", " "): values for name, values in metrics["baselines"].items()}
    table = Table(title=_title(verdict), title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("metric")
    for name in columns:
        table.add_column(name, justify="right")
    for metric, title in _ROWS.items():
        if any(metric in values for values in columns.values()):
            table.add_row(title, *_cells(metric, list(columns.values())))
    return table


def _title(verdict: dict[str, Any]) -> str:
    rows, users, movies = verdict["test_rows"], verdict["test_users"], verdict["movies"]
    return f"{rows:,} test rows of {users:,} users, ranked among {movies:,} movies"


def _cells(metric: str, of_columns: list[dict[str, float | None]]) -> list[str]:
    """The values of one row; the best one stands out."""
    present = [value for values in of_columns if (value := values.get(metric)) is not None]
    best = (min if metric in ERRORS else max)(present, default=None)
    cells = []
    for values in of_columns:
        value = values.get(metric)
        text = "" if metric not in values else "not finite" if value is None else f"{value:.4f}"
        cells.append(f"[bold]{text}[/bold]" if value is not None and value == best else text)
    return cells


def _rules(verdict: dict[str, Any]) -> Table:
    table = Table(
        title="Rules of the gate", title_justify="left", title_style="bold", box=None, pad_edge=False
    )
    for header in ("", "rule", "why"):
        table.add_column(header)
    for rule in verdict["rules"]:
        style = "dim" if rule["verdict"] == "skipped" else ""
        table.add_row(_MARKS[rule["verdict"]], rule["name"], escape(rule["why"]), style=style)
    return table


def _conclusion(verdict: dict[str, Any]) -> Text:
    return Text(verdict["reason"], style="bold green" if verdict["blessed"] else "bold red")

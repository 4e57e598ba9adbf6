"""The verdict on a terminal."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from components.evaluate.names import (
    ACCURACY,
    ACCURACY_UNSEEN,
    CHAMPION,
    EASE,
    ERRORS,
    GLOBAL_MEAN,
    ITEM_KNN,
    MAE,
    MRR,
    NDCG,
    POPULARITY,
    RMSE,
    TOP_K,
)

# Metric -> what its row is called, and scorer -> its column: short, so that a table fits into 80 characters.
_ROWS = {
    **{ACCURACY_UNSEEN.format(k): f"top-{k} unseen" for k in reversed(TOP_K)},
    **{ACCURACY.format(k): f"top-{k}" for k in reversed(TOP_K)},
    NDCG.format(100): "NDCG@100",
    MRR: "MRR",
    RMSE: "RMSE (stars)",
    MAE: "MAE (stars)",
}
_COLUMNS = {POPULARITY: "popular", GLOBAL_MEAN: "mean", EASE: "EASE", ITEM_KNN: "nearest"}
# Of each of these groups of rules only the failing ones are listed.
_GROUPS = {
    "data": "Rules about the data beside the champion's",
    "slices": "Rules about users and movies of a kind",
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
    columns |= {_COLUMNS.get(name, name): values for name, values in metrics["baselines"].items()}
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
    in_all = verdict.get("test_users_in_all", users)
    drawn = f" drawn from {in_all:,}" if in_all > users else ""
    return f"{rows:,} test rows of {users:,} users{drawn}, ranked among {movies:,} movies"


def _cells(metric: str, of_columns: list[dict[str, float | None]]) -> list[str]:
    """The values of one row; the best one stands out."""
    present = [value for values in of_columns if (value := values.get(metric)) is not None]
    best = (min if metric in ERRORS else max)(present, default=None)
    cells = []
    for values in of_columns:
        value = values.get(metric)
        text = "" if metric not in values else "NaN" if value is None else f"{value:.4f}"
        cells.append(f"[bold]{text}[/bold]" if value is not None and value == best else text)
    return cells


def _rules(verdict: dict[str, Any]) -> Table:
    table = Table(title="Rules", title_justify="left", title_style="bold", box=None, pad_edge=False)
    for header in ("", "rule", "why"):
        table.add_column(header)
    for rule in verdict["rules"]:
        if rule_group(rule) is None or rule["verdict"] == "fail":
            style = "dim" if rule["verdict"] == "skipped" else ""
            table.add_row(_MARKS[rule["verdict"]], rule["name"], escape(rule["why"]), style=style)
    for name, title in _GROUPS.items():
        verdicts = Counter(rule["verdict"] for rule in verdict["rules"] if rule_group(rule) == name)
        if verdicts:
            counts = f"{verdicts['pass']} pass, {verdicts['fail']} fail, {verdicts['skipped']} skipped."
            mark = _MARKS["fail" if verdicts["fail"] else "pass" if verdicts["pass"] else "skipped"]
            table.add_row(mark, name, f"{title}: {counts}")
    return table


def rule_group(rule: Mapping[str, Any]) -> str | None:
    """The group that a rule is counted in, unless it fails; None for a rule that stands for itself."""
    if rule["name"].startswith("data_"):
        return "data"
    return "slices" if f"_vs_{CHAMPION}_" in rule["name"] else None


def _conclusion(verdict: dict[str, Any]) -> Text:
    return Text(verdict["reason"], style="bold green" if verdict["blessed"] else "bold red")
